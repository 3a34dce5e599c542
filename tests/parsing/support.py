"""Documents in memory, and ways to read them."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TypeVar

import pytest

from steps.parsing import Chunk, DocumentError, DocumentSource, ParsedPage, ParseOptions
from steps.parsing.limits import RANGE_BYTES

_Result = TypeVar("_Result")


def drive(coroutine: Coroutine[object, object, _Result]) -> _Result:
    """Run a coroutine that never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        value: _Result = end.value
        return value
    raise AssertionError("the coroutine waits for something")


class MemoryReader:
    """A document in memory that counts what is read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads = 0
        self.bytes_read = 0

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    async def read(self, offset: int, length: int) -> bytes:
        data = self.data[offset : offset + length]
        self.reads += 1
        self.bytes_read += len(data)
        return data


class RepeatingReader:
    """A document of any size that repeats a text and takes no memory."""

    def __init__(self, unit: bytes, size_bytes: int) -> None:
        self._unit = unit
        self._size_bytes = size_bytes
        self.bytes_read = 0

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    async def read(self, offset: int, length: int) -> bytes:
        length = min(length, self._size_bytes - offset)
        self.bytes_read += length
        start = offset % len(self._unit)
        repeats = (start + length) // len(self._unit) + 1
        return (self._unit * repeats)[start : start + length]


def source_of(
    data: bytes | MemoryReader,
    filename: str | None,
    *,
    chunk_size: int = 2048,
    delimiter: str | None = None,
    mime_type: str | None = None,
    range_bytes: int = RANGE_BYTES,
) -> DocumentSource:
    """Return a source over bytes."""
    return DocumentSource(
        MemoryReader(data) if isinstance(data, bytes) else data,
        document_id="doc",
        filename=filename,
        mime_type=mime_type,
        options=ParseOptions(chunk_size=chunk_size, delimiter=delimiter),
        range_bytes=range_bytes,
    )


def read_pages(source: DocumentSource, limit: int = 1_000_000) -> list[ParsedPage]:
    """Read a document to its end with one limit."""
    pages: list[ParsedPage] = []
    cursor = None
    while True:
        page = drive(source.read(cursor, limit))
        pages.append(page)
        assert page.done == (page.cursor is None)
        if page.done:
            return pages
        cursor = page.cursor


def read_all(
    data: bytes,
    filename: str | None,
    *,
    chunk_size: int = 2048,
    delimiter: str | None = None,
    mime_type: str | None = None,
) -> list[Chunk]:
    """Return every chunk of a document."""
    source = source_of(data, filename, chunk_size=chunk_size, delimiter=delimiter, mime_type=mime_type)
    return [chunk for page in read_pages(source) for chunk in page.items]


def read_texts(text: str, filename: str, *, chunk_size: int = 2048, delimiter: str | None = None) -> list[str]:
    """Return the texts of every chunk of a document."""
    chunks = read_all(text.encode(), filename, chunk_size=chunk_size, delimiter=delimiter)
    return [chunk.text for chunk in chunks]


def error_of(
    data: bytes | MemoryReader, filename: str | None, *, mime_type: str | None = None, chunk_size: int = 2048
) -> DocumentError:
    """Read a document that must fail, and return why it did."""
    with pytest.raises(DocumentError) as caught:
        read_pages(source_of(data, filename, mime_type=mime_type, chunk_size=chunk_size), 100)
    return caught.value
