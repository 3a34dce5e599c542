"""A document that is parsed here: its content is loaded by whichever step needs it first, and never stored."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from orchestrator import NonRetryableError
from orchestrator.model import Progress
from steps.chunks import TextChunk
from steps.content import ChunkPage
from steps.content.current import CurrentBlobs, CurrentHttp
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
from steps.platform.document_input import (
    DocumentInput,
    FileSource,
    ManagedFileSource,
    TextSource,
    load_document_input,
)
from steps.services import services
from steps.vectors import MetadataValue

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


class ParsedContent:
    """Implements :class:`steps.content.Content` with the built-in parser.

    Args:
        document_id: the ``document`` row.
    """

    has_chunk_file = False

    def __init__(self, document_id: str) -> None:
        self._document_id = document_id
        self._opened: _Opened | None = None

    async def load(self) -> tuple[DocumentInput, Mapping[str, MetadataValue]]:
        """See :class:`steps.content.Content`."""
        found = (await self._open()).input
        return found, found.metadata

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

    async def read(self, cursor: bytes | None, limit: int, /) -> ChunkPage:
        """See :class:`steps.content.Content`."""
        opened = await self._open()
        page = await opened.source.read(cursor, limit)
        return ChunkPage(
            items=[_text_chunk(chunk) for chunk in page.items],
            cursor=page.cursor,
            done=page.done,
            pages=page.pages,
            progress=_progress(page, opened.reader.size_bytes),
        )

    async def _open(self) -> _Opened:
        if self._opened is None:
            found = await load_document_input(services().database(), self._document_id)
            if found is None:
                raise NonRetryableError("Document not found", code="document_not_found")
            self._opened = await _open(found)
        return self._opened


class _Opened(msgspec.Struct, frozen=True):
    input: DocumentInput
    reader: ByteReader
    source: DocumentSource
    filename: str
    mime_type: str | None


async def _open(found: DocumentInput) -> _Opened:
    source = found.source
    mime_type: str | None = None
    reader: ByteReader
    if isinstance(source, TextSource):
        # The parser service is told this name, whatever the document is called (domain.md §3.1).
        reader, filename = InlineReader(source.text), f"{found.document_id}.txt"
    elif isinstance(source, ManagedFileSource):
        reader, filename = await BlobReader.open(CurrentBlobs(), source.key), _filename(found.name, source.key)
    elif isinstance(source, FileSource):
        reader = await HttpReader.open(CurrentHttp(), source.file_url)
        filename, mime_type = _filename(found.name, urlsplit(source.file_url).path), reader.content_type
    else:
        raise NonRetryableError("Crawled pages and videos have no file", code="document_source_unavailable")
    parsed = DocumentSource(
        reader, document_id=found.document_id, filename=filename, mime_type=mime_type, options=found.config.options
    )
    return _Opened(found, reader, parsed, filename, mime_type)


def _text_chunk(chunk: Chunk) -> TextChunk:
    metadata: dict[str, MetadataValue] = {"sequence_number": chunk.sequence_number}
    if chunk.page_number is not None:
        metadata["page_number"] = chunk.page_number
    return TextChunk(chunk.id, chunk.text, metadata)


def _progress(page: ParsedPage, size_bytes: int) -> Progress:
    """Return how far into the document a page reaches: in bytes, or in pages of a paged format."""
    if page.cursor is None:
        return Progress(size_bytes, size_bytes, "bytes") if page.pages is None else Progress(page.pages, page.pages, "pages")  # fmt: skip  # noqa: E501
    position = decode_cursor(page.cursor, size_bytes).position
    if isinstance(position, TextPosition):
        return Progress(position.offset, size_bytes, "bytes")
    return Progress(position.page_index, position.page_count, "pages")


def _filename(name: str | None, address: str) -> str:
    """Return the name that tells the format: the given one if it has an extension, else that of the address."""
    return name if name and "." in name else address
