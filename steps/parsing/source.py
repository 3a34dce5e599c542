"""The parser's entry: a document as a source of chunks, read batch by batch."""

from __future__ import annotations

from uuid import UUID, uuid5

from steps.parsing.cursor import CURSOR_VERSION, Cursor, PdfPosition, TextPosition, decode_cursor, encode_cursor
from steps.parsing.detect import Format, detect_format
from steps.parsing.errors import DocumentError
from steps.parsing.limits import RANGE_BYTES, SNIFF_BYTES
from steps.parsing.model import ByteReader, Chunk, ParsedPage, ParseOptions
from steps.parsing.packer import Draft
from steps.parsing.pdf_run import PdfRun
from steps.parsing.text_run import TextRun, start_position

#: Namespace of chunk ids; never to be changed, since stored vectors carry the ids.
_CHUNK_NAMESPACE = UUID("6f1d1f5c-9a3e-5b0a-8c53-27a1b8d0e4f2")

_DEFAULT_OPTIONS = ParseOptions()


def chunk_id(document_id: str, sequence_number: int) -> str:
    """Return the id of a chunk, the same in every run."""
    return str(uuid5(_CHUNK_NAMESPACE, f"{document_id}/{sequence_number}"))


class DocumentSource:
    """Reads a document in batches of chunks, each from where the last one ended.

    Args:
        reader: the document.
        document_id: its id, which the chunk ids are made from.
        filename: name or storage key, for its extension.
        mime_type: declared content type, if any.
        options: how to cut.
        range_bytes: size of a read; what is read does not depend on it.

    Raises:
        DocumentError: code ``invalid_options``.
    """

    def __init__(
        self,
        reader: ByteReader,
        *,
        document_id: str,
        filename: str | None,
        mime_type: str | None = None,
        options: ParseOptions = _DEFAULT_OPTIONS,
        range_bytes: int = RANGE_BYTES,
    ) -> None:
        options.validate()
        self._reader = reader
        self._document_id = document_id
        self._filename = filename
        self._mime_type = mime_type
        self._options = options
        self._range_bytes = range_bytes
        self._format: Format | None = None
        #: The run that made the last cursor: going on with it saves reading and parsing again. Never more than that.
        self._hot: tuple[bytes, TextRun | PdfRun] | None = None

    @property
    def format(self) -> Format | None:
        """The document's format; None before the first read."""
        return self._format

    async def read(self, cursor: bytes | None, limit: int) -> ParsedPage:
        """Read up to ``limit`` chunks from where ``cursor`` left off.

        Args:
            cursor: from the page before; None at the start.
            limit: most chunks to return, at least 1.

        Returns:
            The chunks, possibly none before the end, and the next cursor.

        Raises:
            DocumentError: the document cannot be parsed; see `steps.parsing.errors` for the codes.
        """
        if limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit}")
        run = await self._resume(cursor)
        drafts = await run.take(limit)
        if not run.done:
            following = self._encode(run)
            self._hot = (following, run)
            return self._page(drafts, following, run)
        if not run.next_sequence:
            raise self._empty()
        return self._page(drafts, None, run)

    async def _resume(self, cursor: bytes | None) -> TextRun | PdfRun:
        # Taken out at once: a run that failed half-way must not be gone on with.
        hot, self._hot = self._hot, None
        if cursor is None:
            return await self._start()
        if hot is not None and hot[0] == cursor:
            return hot[1]
        decoded = decode_cursor(cursor, self._reader.size_bytes)
        self._format = decoded.format
        position = decoded.position
        if isinstance(position, PdfPosition):
            return PdfRun(self._reader, position, decoded.next_sequence, self._options, self._range_bytes)
        return TextRun(self._reader, position, decoded.next_sequence, self._options, self._range_bytes)

    async def _start(self) -> TextRun | PdfRun:
        size = self._reader.size_bytes
        if not size:
            raise DocumentError("The document is empty: it has 0 bytes.", code="empty_document")
        head = await self._read_head(min(size, SNIFF_BYTES))
        self._format = detect_format(head, self._filename, self._mime_type)
        if self._format is Format.PDF:
            return PdfRun(self._reader, None, 0, self._options, self._range_bytes)
        position = start_position(self._format, head, self._filename)
        return TextRun(self._reader, position, 0, self._options, self._range_bytes, head)

    async def _read_head(self, length: int) -> bytes:
        head = b""
        while len(head) < length:
            data = await self._reader.read(len(head), length - len(head))
            if not data:
                raise DocumentError("The document became shorter while it was being read.", code="document_changed")
            head += data
        return head

    def _encode(self, run: TextRun | PdfRun) -> bytes:
        if self._format is None:
            raise RuntimeError("read() comes first")
        position: TextPosition | PdfPosition = run.position()
        size = self._reader.size_bytes
        return encode_cursor(Cursor(CURSOR_VERSION, self._format, size, run.next_sequence, position))

    def _page(self, drafts: list[Draft], cursor: bytes | None, run: TextRun | PdfRun) -> ParsedPage:
        items = [
            Chunk(chunk_id(self._document_id, draft.sequence), draft.text, draft.sequence, draft.page, draft.heading)
            for draft in drafts
        ]
        characters = sum(len(item.text) for item in items)
        return ParsedPage(items=items, cursor=cursor, done=cursor is None, characters=characters, pages=run.pages)

    def _empty(self) -> DocumentError:
        if self._format is Format.PDF:
            message = "The PDF contains no text; scanned pages would need text recognition."
        else:
            message = "The document is empty: it contains no text."
        return DocumentError(message, code="empty_document")
