"""Embeddings from Cloudflare's Workers AI, through the binding rather than HTTP."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

import msgspec

from orchestrator.errors import NonRetryableError, OrchestratorError, RetryableError
from steps.embeddings import Embedded
from steps.embeddings.clients import matched, sendable

#: The platform's error messages begin with one of its numbers: ``5007: No such model …``.
_ERROR_NUMBER = re.compile(r"\b([35]\d{3}):")
#: Numbers of passing conditions: timeout, aborted, account rate or allowance, out of capacity.
_PASSING = frozenset({"3007", "3008", "3036", "3040"})
#: Of those, the ones that say "too many".
_LIMITED = frozenset({"3036", "3040"})


class WorkersAiError(Exception):
    """What an adapter raises when the binding threw; its text is the platform's message."""


class WorkersAi(Protocol):
    """The ``AI`` binding."""

    async def run(self, model: str, inputs_json: str) -> str:
        """Run a model on JSON inputs and return its JSON answer.

        Raises:
            WorkersAiError: the platform refused or failed.
        """
        ...


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None


class _Answer(msgspec.Struct, frozen=True):
    data: list[list[float]]
    usage: _Usage | None = None


class WorkersAiEmbedder:
    """The bge models of Workers AI."""

    def __init__(self, ai: WorkersAi, *, model: str) -> None:
        self._ai = ai
        self._model = model

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """See :class:`steps.embeddings.Embedder`."""
        if not texts:
            return Embedded([], 0)
        inputs = msgspec.json.encode({"text": sendable(texts)}).decode()
        try:
            answer_json = await self._ai.run(self._model, inputs)
        except WorkersAiError as error:
            raise _classified(str(error)) from error
        answer = _decode(answer_json)
        return matched(texts, answer.data, answer.usage.prompt_tokens if answer.usage else None)


def _classified(message: str) -> OrchestratorError:
    """Say whether another attempt may help. A message without a known number is a lost connection or an outage."""
    found = _ERROR_NUMBER.search(message)
    number = found.group(1) if found else None
    if number is None or number in _PASSING:
        code = "embedding_rate_limited" if number in _LIMITED else "embedding_unavailable"
        return RetryableError(message, code=code)
    return NonRetryableError(message, code="embedding_refused", details={"number": number})


def _decode(answer_json: str) -> _Answer:
    try:
        return msgspec.json.decode(answer_json, type=_Answer)
    except msgspec.ValidationError as error:
        raise NonRetryableError(f"Workers AI: unexpected answer: {error}", code="embedding_bad_answer") from error
    except msgspec.DecodeError as error:
        raise RetryableError("Workers AI: the answer is not complete JSON", code="embedding_unavailable") from error
