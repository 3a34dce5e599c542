"""Embeds chunks and stores their vectors, a few calls at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence

import msgspec

from orchestrator import NonRetryableError, RetryableError, RetryPolicy, current_step
from steps.embeddings import MAX_TEXTS_PER_CALL, Embedded, Embedder
from steps.vectors import MetadataValue, VectorRow, VectorStore

#: Six attempts, waiting 2, 4, 8, 16 and 32 s (domain.md §3.4).
EMBEDDING_RETRY = RetryPolicy(max_attempts=6, initial_interval_ms=2_000, max_interval_ms=32_000, jitter="none")
#: Calls under way together. Each holds its vectors (3 MB for 30 of 3,072 dimensions) and the JSON around them, of the
#: 128 MB that a Worker has for everything; and connections are limited to 6 (platform.md §1.1).
MAX_PARALLEL_CALLS = 4


class TextChunk(msgspec.Struct, frozen=True):
    """A piece of a document's text, in the form that ``chunks.json`` keeps (domain.md §3.2).

    Attributes:
        id: unique in its document; every vector's id is made of it.
        text: what is embedded.
        metadata: of the chunk itself: ``sequence_number``, and ``page_number`` of paged formats.
    """

    id: str
    text: str
    metadata: dict[str, MetadataValue]


async def store_chunks(
    chunks: Sequence[TextChunk], metadata: Mapping[str, MetadataValue], embedder: Embedder, store: VectorStore
) -> int:
    """Embed the chunks and store them; return the tokens charged. Repeating it stores the same rows again.

    Args:
        chunks: of one document.
        metadata: of the document; must have ``documentId``. A chunk's own metadata wins.
        embedder: the namespace's provider.
        store: the namespace's vector store.

    Raises:
        RetryableError: another attempt may succeed.
        NonRetryableError: it cannot, or this was the last attempt at embedding.
    """
    groups = deque(chunks[at : at + MAX_TEXTS_PER_CALL] for at in range(0, len(chunks), MAX_TEXTS_PER_CALL))
    tokens = 0

    async def work() -> None:
        nonlocal tokens
        while groups:
            group = groups.popleft()
            embedded = await _embed(embedder, group)
            await store.upsert([vector_row(c, v, metadata) for c, v in zip(group, embedded.vectors, strict=True)])
            tokens += embedded.tokens

    workers = [asyncio.ensure_future(work()) for _ in range(min(MAX_PARALLEL_CALLS, len(groups)))]
    try:
        await asyncio.gather(*workers)
    except BaseException:
        # The step has failed: nothing of it may go on once it is tried again.
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        raise
    return tokens


def vector_row(chunk: TextChunk, vector: list[float], metadata: Mapping[str, MetadataValue]) -> VectorRow:
    """Return a chunk as it is stored (domain.md §3.3)."""
    return VectorRow(f"{metadata['documentId']}#{chunk.id}", vector, chunk.text, {**metadata, **chunk.metadata})


async def _embed(embedder: Embedder, chunks: Sequence[TextChunk]) -> Embedded:
    try:
        return await embedder.embed([chunk.text for chunk in chunks])
    except RetryableError as error:
        attempt = current_step().attempt
        if attempt < EMBEDDING_RETRY.max_attempts:
            raise
        message = f"Failed after {attempt} attempts. Last error: {error}"
        raise NonRetryableError(message, code=error.error_code, details=error.details) from error
