"""What goes into the parser and what comes out."""

from __future__ import annotations

from typing import Protocol

import msgspec

from steps.parsing.errors import DocumentError
from steps.parsing.limits import CHUNK_SIZE_MAX, CHUNK_SIZE_MIN


class ByteReader(Protocol):
    """A document of known size that can be read from any position: a stored object, an HTTP resource, inline text."""

    @property
    def size_bytes(self) -> int:
        """Size of the whole document."""
        ...

    async def read(self, offset: int, length: int) -> bytes:
        """Return the bytes of ``[offset, offset + length)``, fewer only at the document's end."""
        ...


class Chunk(msgspec.Struct, frozen=True):
    """A piece of a document's text, as it is embedded and stored (domain.md §3.2)."""

    #: UUID, a function of the document's id and the sequence number.
    id: str
    #: Trimmed, never empty.
    text: str
    #: 0-based over the whole document.
    sequence_number: int
    #: 1-based; PDF only.
    page_number: int | None = None
    #: Titles above the chunk, such as ``Guide > Install``; Markdown and HTML only.
    heading: str | None = None


class ParseOptions(msgspec.Struct, frozen=True):
    """How a document is cut into chunks.

    Args:
        chunk_size: most characters (code points) of a chunk. 2048 is the platform's default (domain.md §1.8).
        delimiter: where to cut first when a chunk is full; after its last occurrence.
    """

    chunk_size: int = 2048
    delimiter: str | None = None

    def validate(self) -> None:
        """Check the bounds.

        Raises:
            DocumentError: code ``invalid_options``.
        """
        if not CHUNK_SIZE_MIN <= self.chunk_size <= CHUNK_SIZE_MAX:
            message = f"The chunk size must be between {CHUNK_SIZE_MIN} and {CHUNK_SIZE_MAX} characters."
            raise DocumentError(message, code="invalid_options")
        if self.delimiter is not None and len(self.delimiter) > CHUNK_SIZE_MIN:
            message = f"The delimiter must not be longer than {CHUNK_SIZE_MIN} characters."
            raise DocumentError(message, code="invalid_options")


class ParsedPage(msgspec.Struct, frozen=True):
    """Some consecutive chunks, and where to go on."""

    #: At most ``limit`` chunks. May be empty before the end: a long stretch without text is also work.
    items: list[Chunk]
    #: Opaque; None when the document is finished.
    cursor: bytes | None
    done: bool
    #: Code points of the items' texts.
    characters: int
    #: PDF: the number of pages of the whole document. None for other formats.
    pages: float | None
