"""The chunk loop of a document: reads its content batch by batch, and embeds, stores and keeps each batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec

from orchestrator import Batch, BatchSize, Page, current_step
from orchestrator.sources import PageLike
from steps.chunk_file import (
    Pieces,
    chunk_file_key,
    drop_pieces,
    encode_piece,
    join_pieces,
    put_piece,
    whole_file,
)
from steps.chunks import TextChunk, store_chunks
from steps.content import ChunkPage, Content
from steps.embeddings.factory import embedder_for
from steps.platform import documents
from steps.platform.document_input import DocumentInput, load_vector_store_config
from steps.platform.documents import Totals
from steps.services import Services, services
from steps.vectors import MetadataValue, VectorStore
from steps.vectors.factory import vector_store_for

#: Two embedding calls at first, sixteen at most, four of them at a time.
CHUNK_BATCH = BatchSize(initial=60, minimum=1, maximum=480)


class Stored(msgspec.Struct, frozen=True):
    """What the loop has done so far; its carried state.

    Attributes:
        totals: of the document.
        pieces: of the ``chunks.json`` that is being made.
    """

    totals: Totals = Totals()
    pieces: Pieces = Pieces()


class DocumentChunks:
    """One document's chunks while its job is in memory. Implements ``Source`` for the chunk loop.

    Args:
        document_id: the ``document`` row.
        content: where its chunks come from.
    """

    def __init__(self, document_id: str, content: Content) -> None:
        self._document_id = document_id
        self._content = content
        self._providers: _Providers | None = None

    async def read(self, cursor: object, limit: int, /) -> PageLike[TextChunk]:
        """Return the next chunks; none any more once the document is deleted or its row is gone (W-04)."""
        run_id, database = current_step().job_id, services().database()
        if not await documents.may_take_chunks(database, run_id, self._document_id, first=cursor is None):
            return Page[TextChunk]([], None, done=True)
        return await self._content.read(cursor if isinstance(cursor, bytes) else None, limit)

    async def store(self, batch: Batch[TextChunk, Stored]) -> Stored:
        """Embed, store and keep a batch of chunks; return what is stored with it."""
        page, before = cast("ChunkPage", batch.page), batch.state
        providers = await self._ready_providers()
        if page.restart:
            await providers.store.delete_document(self._document_id)
            return Stored()
        tokens = await store_chunks(batch.items, providers.metadata, providers.embedder, providers.store)
        pieces = await self._keep(batch, page, providers)
        if page.progress is not None:
            current_step().report(page.progress)
        totals = before.totals
        after = Totals(
            chunks=totals.chunks + len(batch.items),
            tokens=totals.tokens + tokens,
            characters=totals.characters + sum(len(chunk.text) for chunk in batch.items),
            paper_pages=totals.paper_pages if page.pages is None else page.pages,
        )
        return Stored(after, pieces)

    async def write_file(self, stored: Stored) -> None:
        """Write ``chunks.json`` from the pieces that the loop has kept."""
        providers = await self._ready_providers()
        key = chunk_file_key(providers.namespace_id, self._document_id)
        job_id, totals = current_step().job_id, stored.totals
        blobs = services().blobs
        await join_pieces(blobs, job_id, key, providers.metadata, stored.pieces, totals.chunks, totals.characters)

    async def _keep(self, batch: Batch[TextChunk, Stored], page: ChunkPage, providers: _Providers) -> Pieces:
        """Keep the chunks for ``chunks.json``: in one go when they are all there are, else as a piece of it."""
        pieces = batch.state.pieces
        if self._content.has_chunk_file or not batch.items:
            return pieces
        blobs = services().blobs
        if page.done and not pieces.count:
            key = chunk_file_key(providers.namespace_id, self._document_id)
            await blobs.put(key, whole_file(providers.metadata, batch.items))
            return pieces
        return await put_piece(blobs, current_step().job_id, pieces, encode_piece(batch.items))

    async def _ready_providers(self) -> _Providers:
        """Return the clients of this slice: those of an ended slice have closed connections."""
        current = services()
        if self._providers is None or self._providers.services is not current:
            self._providers = _Providers(current, *await self._content.load())
        return self._providers


class _Providers:
    def __init__(self, current: Services, found: DocumentInput, metadata: Mapping[str, MetadataValue]) -> None:
        self.services = current
        self.namespace_id = found.namespace_id
        self.metadata = metadata
        self.embedder = embedder_for(found.embedding, current.settings.embeddings, current.http, current.ai)
        self.store: VectorStore = vector_store_for(
            found.vectors,
            current.settings.vectors,
            found.namespace_id,
            found.tenant_id,
            current.http,
            current.database(),
        )


async def drop_chunk_pieces() -> None:
    """Remove the pieces of the running job's ``chunks.json``: it is written, or will never be."""
    await drop_pieces(services().blobs, current_step().job_id)


async def remove_vectors(document_id: str, namespace_id: str, tenant_id: str | None) -> None:
    """Remove every vector of the document."""
    current = services()
    database = current.database()
    config = await load_vector_store_config(database, namespace_id)
    store = vector_store_for(config, current.settings.vectors, namespace_id, tenant_id, current.http, database)
    await store.delete_document(document_id)


async def take_back(document_id: str, namespace_id: str, tenant_id: str | None) -> None:
    """Remove what was stored for a document that was deleted meanwhile: vectors and ``chunks.json`` (W-04)."""
    await remove_vectors(document_id, namespace_id, tenant_id)
    await services().blobs.delete(chunk_file_key(namespace_id, document_id))
