"""Reads a PDF page by page. Chunks do not cross pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pypdf import apply_configuration
from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError

from steps.parsing.cursor import PdfPosition
from steps.parsing.errors import DocumentError
from steps.parsing.limits import PDF_STREAM_BYTES_MAX, PDF_TRAILER_BYTES
from steps.parsing.model import ByteReader, ParseOptions
from steps.parsing.packer import Draft, Packer, PackerState
from steps.parsing.pdf_file import BlockFile, MissingBlockError
from steps.parsing.pdf_pages import LazyReader, PageTreeError

_Result = TypeVar("_Result")

_END_MARK = b"%%EOF"


class PdfRun:
    """A reading of a PDF, from some page on.

    Args:
        reader: the document.
        position: where to start; None at the start.
        next_sequence: chunks before this one were handed out already.
        options: how to cut.
        block_bytes: size of a read.
    """

    def __init__(
        self,
        reader: ByteReader,
        position: PdfPosition | None,
        next_sequence: int,
        options: ParseOptions,
        block_bytes: int,
    ) -> None:
        self._bytes = reader
        self._options = options
        self._file = BlockFile(reader, block_bytes)
        self._pdf: LazyReader | None = None
        self._at = position
        self._next_sequence = next_sequence
        self._queue: list[Draft] = []
        #: Position of the page that the rest of the queue is made of.
        self._unit = position

    @property
    def done(self) -> bool:
        """Whether every chunk was handed out."""
        return self._at is not None and self._at.page_index >= self._at.page_count and not self._queue

    @property
    def next_sequence(self) -> int:
        """Sequence number of the chunk to hand out next."""
        return self._next_sequence

    @property
    def pages(self) -> float | None:
        """Number of pages of the document; None before the first `take`."""
        return float(self._at.page_count) if self._at is not None else None

    def position(self) -> PdfPosition:
        """Return where a new run has to start to go on from here."""
        position = self._unit if self._queue else self._at
        if position is None:
            raise RuntimeError("take() comes first")
        return position

    async def take(self, limit: int) -> list[Draft]:
        """Return up to ``limit`` chunks, from at most ``limit`` pages.

        Raises:
            DocumentError: the document is damaged, encrypted or too complex.
        """
        pdf = self._pdf or await self._open()
        at = self._at or await self._count_pages(pdf)
        self._at = at
        pages_left = limit
        while len(self._queue) < limit and at.page_index < at.page_count and pages_left > 0:
            text = await self._read_page(pdf, at)
            if text is None:
                self._at = at = await self._walk_tree(pdf, at)
                continue
            self._unit, at = at, self._pack(text, at)
            self._at = at
            pages_left -= 1
        drafts = self._queue[:limit]
        del self._queue[:limit]
        self._next_sequence += len(drafts)
        return drafts

    def _pack(self, text: str, at: PdfPosition) -> PdfPosition:
        packer = Packer(self._options.chunk_size, self._options.delimiter, PackerState(sequence=at.sequence))
        packer.page = at.page_index + 1
        for line in text.split("\n"):
            line = line.rstrip()
            if line:
                packer.line(line)
            else:
                packer.end_paragraph()
        packer.flush()
        self._queue += [draft for draft in packer.drafts if draft.sequence >= self._next_sequence]
        return PdfPosition(at.page_index + 1, at.page_count, packer.sequence, at.walk)

    async def _open(self) -> LazyReader:
        await self._check_end()
        size = self._bytes.size_bytes
        pdf = await self._repeat(lambda: LazyReader(self._file, size), "The PDF cannot be read")
        if pdf.is_encrypted:
            # The constructor tried the empty user password; anything that needs the key tells whether it worked.
            await self._repeat(lambda: pdf.root_object, "The PDF cannot be read", pdf)
        self._pdf = pdf
        return pdf

    async def _check_end(self) -> None:
        end = await self._repeat(lambda: self._file.read_end(PDF_TRAILER_BYTES), "The PDF cannot be read")
        if _END_MARK not in end:
            size = self._bytes.size_bytes
            message = f"The PDF is cut off: its end marker is missing ({size} bytes were received)."
            raise DocumentError(message, code="truncated_pdf")

    async def _count_pages(self, pdf: LazyReader) -> PdfPosition:
        def count() -> PdfPosition:
            try:
                return PdfPosition(0, pdf.count_pages(), 0, walk=False)
            except PageTreeError:
                return PdfPosition(0, len(pdf.pages), 0, walk=True)

        return await self._repeat(count, "The page tree of the PDF cannot be read", pdf)

    async def _walk_tree(self, pdf: LazyReader, at: PdfPosition) -> PdfPosition:
        """Go on by walking the page tree, whose counts were right up to here."""
        count = await self._repeat(lambda: len(pdf.pages), "The page tree of the PDF cannot be read", pdf)
        return PdfPosition(at.page_index, count, at.sequence, walk=True)

    async def _read_page(self, pdf: LazyReader, at: PdfPosition) -> str | None:
        """Return the text of a page, or None when the page tree's counts turn out to be wrong."""
        index = at.page_index

        def extract() -> str | None:
            try:
                page = pdf.pages[index] if at.walk else pdf.find_page(index)
            except PageTreeError:
                return None
            return page.extract_text()

        text = await self._repeat(extract, f"Page {index + 1} of the PDF cannot be read", pdf)
        pdf.forget()
        self._file.release()
        if text is None or text.isascii():
            return text
        # Broken character maps yield halves of surrogate pairs, which no encoding of text can store.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    async def _repeat(self, action: Callable[[], _Result], failure: str, pdf: LazyReader | None = None) -> _Result:
        """Do something with the library, fetching blocks until it has all it needs."""
        while True:
            try:
                with apply_configuration(
                    zlib_maximum_output_length=PDF_STREAM_BYTES_MAX,
                    lzw_maximum_output_length=PDF_STREAM_BYTES_MAX,
                    run_length_maximum_output_length=PDF_STREAM_BYTES_MAX,
                    array_based_stream_maximum_output_length=PDF_STREAM_BYTES_MAX,
                    # Image data is stepped over; what is read is bounded by the block cache.
                    maximum_declared_stream_length=2**40,
                    disable_legacy_handling=True,
                ):
                    return action()
            except MissingBlockError as missing:
                if pdf is not None:
                    pdf.resume()
                await self._file.fetch(missing)
            except DocumentError:
                raise
            except Exception as error:
                # The library's documentation says that broken files may cause any exception.
                raise _document_error(error, failure) from error


def _document_error(error: Exception, failure: str) -> DocumentError:
    if isinstance(error, FileNotDecryptedError):
        return DocumentError("The PDF is encrypted and needs a password.", code="encrypted_pdf")
    if isinstance(error, DependencyError):
        message = "The PDF is encrypted with AES, which the built-in parser cannot read."
        return DocumentError(message, code="encrypted_pdf")
    if isinstance(error, LimitReachedError | RecursionError | MemoryError):
        return DocumentError(f"{failure}: it is too complex ({_reason(error)}).", code="document_too_complex")
    return DocumentError(f"{failure}: it is damaged ({_reason(error)}).", code="invalid_pdf")


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:200].rstrip(". ")
