"""Vector stores: where a document's chunks are kept for search (domain.md §3.5).

Start at :func:`steps.vectors.factory.vector_store_for`. A store is bound to one namespace and tenant.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

#: What a metadata value may be (domain.md §1.8).
MetadataValue = str | int | float | bool | list[str]
#: Requests under way together: a Worker has 6 outgoing connections (platform.md §1.1).
MAX_PARALLEL_REQUESTS = 5


class VectorRow(msgspec.Struct, frozen=True):
    """A chunk to store.

    Attributes:
        id: ``<documentId>#<chunkId>``, at most 64 bytes.
        vector: its embedding.
        text: its text, shown to searchers.
        metadata: the keys ``id``, ``vector`` and ``text`` are reserved: stores write them as ``_id``, ``_vector``
            and ``_text``.
    """

    id: str
    vector: list[float]
    text: str
    metadata: dict[str, MetadataValue]


class Match(msgspec.Struct, frozen=True):
    """A stored chunk near a query.

    Attributes:
        id: the row's id.
        score: cosine similarity, -1 to 1, higher is nearer.
        text: the chunk's text.
        metadata: as stored, so with reserved keys renamed.
    """

    id: str
    score: float
    text: str
    metadata: dict[str, MetadataValue]


class VectorStore(Protocol):
    """One namespace (and tenant) of a vector database."""

    async def upsert(self, rows: Sequence[VectorRow]) -> None:
        """Store the rows, replacing those with the same id; no rows makes no call.

        Raises:
            RetryableError: another attempt may succeed.
            NonRetryableError: the store refused the rows.
        """
        ...

    async def delete_document(self, document_id: str) -> int | None:
        """Remove every row whose metadata has this ``documentId``; a document or namespace unknown is no error.

        Returns:
            How many rows went, or None when the store does not say.

        Raises:
            RetryableError: another attempt may succeed.
            NonRetryableError: the store refused the request.
        """
        ...

    async def delete_documents(self, document_ids: Sequence[str]) -> Mapping[str, Exception]:
        """Remove every row of several documents; return what went wrong, by document.

        Args:
            document_ids: those that are not in the answer are gone.
        """
        ...

    async def drop(self) -> None:
        """Remove the whole namespace; one that is unknown is no error.

        Raises:
            RetryableError: another attempt may succeed.
            NonRetryableError: the store refused the request.
        """
        ...

    async def query(self, vector: Sequence[float], *, top_k: int, document_id: str | None = None) -> list[Match]:
        """Return the ``top_k`` rows nearest to ``vector``, nearest first; an unknown namespace has none.

        Args:
            vector: as long as the stored ones.
            top_k: at least 1.
            document_id: only rows of this document.

        Raises:
            RetryableError: another attempt may succeed.
            NonRetryableError: the store refused the request.
        """
        ...


async def delete_each(
    document_ids: Sequence[str], delete: Callable[[str], Awaitable[object]]
) -> Mapping[str, Exception]:
    """Remove documents one by one, a few at a time, for stores that take one document per request.

    Args:
        document_ids: whose rows are to go.
        delete: removes the rows of one document.
    """
    waiting, failed = deque(document_ids), dict[str, Exception]()

    async def work() -> None:
        while waiting:
            document_id = waiting.popleft()
            try:
                await delete(document_id)
            except Exception as error:
                failed[document_id] = error

    await asyncio.gather(*(work() for _ in range(min(MAX_PARALLEL_REQUESTS, len(waiting)))))
    return failed
