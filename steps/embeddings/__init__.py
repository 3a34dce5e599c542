"""Embeddings: text in, vectors out, over any of the platform's providers (domain.md §3.4).

Start at :func:`steps.embeddings.factory.embedder_for`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

#: Texts per call. The platform's constant (domain.md §2.2); every provider accepts at least 128 (Voyage).
MAX_TEXTS_PER_CALL = 30


class Embedded(msgspec.Struct, frozen=True):
    """The answer to one embedding call.

    Attributes:
        vectors: one vector per text, in the order of the texts.
        tokens: tokens the provider charged; 0 when it reports none.
    """

    vectors: list[list[float]]
    tokens: int


class Embedder(Protocol):
    """Turns texts into vectors with one HTTP call."""

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """Embed up to ``MAX_TEXTS_PER_CALL`` texts; none at all makes no call.

        Raises:
            RetryableError: another attempt may succeed; carries ``retry_after_ms`` when the provider said when.
            NonRetryableError: the provider refused the request, or its answer does not fit the texts.
        """
        ...
