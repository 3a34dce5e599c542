"""The cursor: everything needed to go on, in a few kilobytes."""

from __future__ import annotations

import msgspec

from steps.parsing.detect import Format
from steps.parsing.errors import DocumentError
from steps.parsing.json_values import JsonState
from steps.parsing.markdown import MarkdownState
from steps.parsing.markup import HtmlState
from steps.parsing.packer import PackerState
from steps.parsing.plain import PlainState
from steps.parsing.tabular import CsvState

ParserState = PlainState | MarkdownState | HtmlState | CsvState | JsonState

#: Raised whenever the structs below, or what the parser makes of them, change incompatibly.
CURSOR_VERSION = 1


class TextPosition(msgspec.Struct, frozen=True, array_like=True, tag="text"):
    """A point between two units of a text-like document."""

    encoding: str
    newline: str
    #: Byte offset of the next unit.
    offset: int
    parser: ParserState
    packer: PackerState


class PdfPosition(msgspec.Struct, frozen=True, array_like=True, tag="pdf"):
    """A point between two pages."""

    #: 0-based.
    page_index: int
    page_count: int
    #: Sequence number of the page's first chunk.
    sequence: int
    #: The page tree's counts are wrong; pages are found by walking it.
    walk: bool


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where the next read starts.

    The position is that of the unit (a line, a record, a page) that made the next chunk. When only some of a unit's
    chunks were handed out, the unit is parsed again and chunks below ``next_sequence`` are dropped: a cursor never
    holds text that the document holds anyway.
    """

    version: int
    format: Format
    size_bytes: int
    next_sequence: int
    position: TextPosition | PdfPosition


_decoder = msgspec.msgpack.Decoder(Cursor)


def encode_cursor(cursor: Cursor) -> bytes:
    """Return the cursor as bytes."""
    return msgspec.msgpack.encode(cursor)


def decode_cursor(data: bytes, size_bytes: int) -> Cursor:
    """Return the cursor from bytes.

    Args:
        data: from `encode_cursor`.
        size_bytes: the document's size now.

    Raises:
        DocumentError: ``invalid_cursor``, or ``document_changed`` when the size differs from the one at the start.
    """
    try:
        cursor = _decoder.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise DocumentError("The cursor was not made by this version of the parser.", code="invalid_cursor") from None
    if cursor.version != CURSOR_VERSION:
        raise DocumentError("The cursor was made by another version of the parser.", code="invalid_cursor")
    if cursor.size_bytes != size_bytes:
        message = f"The document changed while it was being read: {cursor.size_bytes} bytes before, {size_bytes} now."
        raise DocumentError(message, code="document_changed")
    return cursor
