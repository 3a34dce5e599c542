"""A document's content as a source of chunks: loaded by whichever step needs it first, kept in memory, never stored."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from orchestrator import Batch, NonRetryableError, Page, current_step
from orchestrator.ports import BlobInfo, HttpResponse
from orchestrator.sources import PageLike
from steps.chunks import store_chunks
from steps.embeddings.factory import embedder_for
from steps.outbound import OutboundHttp
from steps.parsing import (
    BlobReader,
    ByteReader,
    Chunk,
    DocumentError,
    DocumentSource,
    Format,
    HttpReader,
    InlineReader,
    ParsedPage,
)
from steps.parsing.cursor import TextPosition, decode_cursor
from steps.parsing.detect import detect_format
from steps.parsing.limits import SNIFF_BYTES
from steps.platform import documents
from steps.platform.document_input import (
    DocumentInput,
    FileSource,
    ManagedFileSource,
    TextSource,
    load_document_input,
)
from steps.platform.documents import Totals
from steps.services import Services, services
from steps.vectors import VectorStore
from steps.vectors.factory import vector_store_for

_MIME_TYPES: Mapping[Format, str] = {
    Format.TEXT: "text/plain",
    Format.MARKDOWN: "text/markdown",
    Format.HTML: "text/html",
    Format.CSV: "text/csv",
    Format.JSON: "application/json",
    Format.JSONL: "application/x-ndjson",
    Format.PDF: "application/pdf",
}


class Properties(msgspec.Struct, frozen=True):
    """What is known of a document before it is parsed: ``"documentProperties"``."""

    size_bytes: int
    mime_type: str


class DocumentContent:
    """One document while its job is in memory. Implements ``Source`` for the chunk loop.

    Args:
        document_id: the ``document`` row.
    """

    def __init__(self, document_id: str) -> None:
        self._document_id = document_id
        self._opened: _Opened | None = None
        self._providers: _Providers | None = None

    async def properties(self) -> Properties:
        """Open the document and tell its size and kind.

        Raises:
            DocumentError: there is no such object, or it is of no kind that can be parsed.
            NonRetryableError: see :func:`steps.platform.document_input.load_document_input`.
        """
        opened = await self._open()
        reader = opened.reader
        if not reader.size_bytes:
            raise DocumentError("The document is empty: it has 0 bytes.", code="empty_document")
        head = await reader.read(0, min(SNIFF_BYTES, reader.size_bytes))
        found = detect_format(head, opened.filename, opened.mime_type)
        return Properties(reader.size_bytes, _MIME_TYPES[found])

    async def read(self, cursor: object, limit: int, /) -> PageLike[Chunk]:
        """Return the next chunks; none any more once the document is deleted or its row is gone (W-04)."""
        database = services().database()
        may_go_on = documents.begin_chunks if cursor is None else documents.is_processing
        if not await may_go_on(database, self._document_id):
            return Page[Chunk]([], None, done=True)
        opened = await self._open()
        return await opened.source.read(cursor if isinstance(cursor, bytes) else None, limit)

    async def store(self, batch: Batch[Chunk, Totals]) -> Totals:
        """Embed and store a batch of chunks; return the totals with it."""
        providers = await self._ready_providers()
        tokens = await store_chunks(batch.items, providers.metadata, providers.embedder, providers.store)
        page, totals = batch.page, batch.state
        pages = page.pages if isinstance(page, ParsedPage) else None
        if isinstance(page, ParsedPage):
            _report(page, (await self._open()).reader.size_bytes)
        return Totals(
            chunks=totals.chunks + len(batch.items),
            tokens=totals.tokens + tokens,
            characters=totals.characters + sum(len(chunk.text) for chunk in batch.items),
            paper_pages=totals.paper_pages if pages is None else pages,
        )

    async def _open(self) -> _Opened:
        if self._opened is None:
            settings = services().settings
            if settings.partition_api_url:
                raise NonRetryableError("external parser not available yet", code="external_parser_unavailable")
            found = await load_document_input(services().database(), self._document_id)
            if found is None:
                raise NonRetryableError("Document not found", code="document_not_found")
            self._opened = await _open(found)
        return self._opened

    async def _ready_providers(self) -> _Providers:
        """Return the clients of this slice: those of an ended slice have closed connections."""
        current = services()
        if self._providers is None or self._providers.services is not current:
            found = (await self._open()).input
            self._providers = _Providers(current, found)
        return self._providers


class _Opened(msgspec.Struct, frozen=True):
    input: DocumentInput
    reader: ByteReader
    source: DocumentSource
    filename: str
    mime_type: str | None


class _Providers:
    def __init__(self, current: Services, found: DocumentInput) -> None:
        self.services = current
        self.metadata = found.metadata
        self.embedder = embedder_for(found.embedding, current.settings.embeddings, current.http, current.ai)
        self.store: VectorStore = vector_store_for(
            found.vectors,
            current.settings.vectors,
            found.namespace_id,
            found.tenant_id,
            current.http,
            current.database(),
        )


async def _open(found: DocumentInput) -> _Opened:
    source = found.source
    mime_type: str | None = None
    reader: ByteReader
    if isinstance(source, TextSource):
        # The parser service is told this name, whatever the document is called (domain.md §3.1).
        reader, filename = InlineReader(source.text), f"{found.document_id}.txt"
    elif isinstance(source, ManagedFileSource):
        reader, filename = await BlobReader.open(_CurrentBlobs(), source.key), _filename(found.name, source.key)
    elif isinstance(source, FileSource):
        reader = await HttpReader.open(_CurrentHttp(), source.file_url)
        filename, mime_type = _filename(found.name, urlsplit(source.file_url).path), reader.content_type
    else:
        message = "Documents made by crawling or from videos cannot be processed yet"
        raise NonRetryableError(message, code="document_source_unavailable")
    parsed = DocumentSource(
        reader, document_id=found.document_id, filename=filename, mime_type=mime_type, options=found.options
    )
    return _Opened(found, reader, parsed, filename, mime_type)


def _report(page: ParsedPage, size_bytes: int) -> None:
    """Say how far into the document the stored text reaches: in bytes, or in pages of a paged format."""
    step = current_step()
    if page.cursor is None:
        total, unit = (size_bytes, "bytes") if page.pages is None else (page.pages, "pages")
        step.progress(total, total, unit)
        return
    position = decode_cursor(page.cursor, size_bytes).position
    if isinstance(position, TextPosition):
        step.progress(position.offset, size_bytes, "bytes")
    else:
        step.progress(position.page_index, position.page_count, "pages")


def _filename(name: str | None, address: str) -> str:
    """Return the name that tells the format: the given one if it has an extension, else that of the address."""
    return name if name and "." in name else address


class _CurrentBlobs:
    """The ``Blobs`` of whichever slice is reading."""

    async def head(self, key: str) -> BlobInfo | None:
        return await services().blobs.head(key)

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes | None:
        return await services().blobs.get(key, offset=offset, length=length)

    async def put(self, key: str, data: bytes) -> None:
        await services().blobs.put(key, data)

    async def delete(self, *keys: str) -> None:
        await services().blobs.delete(*keys)

    async def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> list[str]:
        return await services().blobs.list(prefix, after=after, limit=limit)


class _CurrentHttp:
    """The ``Http`` of whichever slice is reading, for addresses that customers name."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_ms: int = 30_000,
        max_body_bytes: int = 16_000_000,
    ) -> HttpResponse:
        current = services()
        http = OutboundHttp(current.http, current.settings.outbound)
        return await http.request(
            method, url, headers=headers, body=body, timeout_ms=timeout_ms, max_body_bytes=max_body_bytes
        )
