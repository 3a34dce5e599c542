"""The part of a document's text that is in memory."""

from __future__ import annotations

from codecs import utf_8_decode, utf_16_be_decode, utf_16_le_decode

from steps.parsing.errors import DocumentError
from steps.parsing.limits import RANGE_BYTES_MAX
from steps.parsing.model import ByteReader

_DECODERS = {"utf-8": utf_8_decode, "utf-16-le": utf_16_le_decode, "utf-16-be": utf_16_be_decode}


class Window:
    """Decoded text from some byte offset on, extended on demand.

    Args:
        reader: the document.
        encoding: ``utf-8``, ``utf-16-le`` or ``utf-16-be``.
        offset: byte offset of the first character.
        range_bytes: size of a read.
        head: bytes from ``offset`` on that are already known.
    """

    def __init__(self, reader: ByteReader, encoding: str, offset: int, range_bytes: int, head: bytes = b"") -> None:
        self._reader = reader
        self._encoding = encoding
        self._decode = _DECODERS[encoding]
        self._start = offset
        self._base_range = self._range = range_bytes
        #: Offset of the next byte to fetch, and bytes fetched but not decoded, because a character is cut in half.
        self._next = offset + len(head)
        self._undecoded = head
        self.text = ""
        #: The text reaches to the document's end.
        self.final = False
        if head:
            self._append(b"")

    def offset_at(self, position: int) -> int:
        """Return the byte offset of ``text[position]``."""
        if self.text.isascii() and self._encoding == "utf-8":
            return self._start + position
        return self._start + len(self.text[:position].encode(self._encoding))

    async def more(self, position: int) -> None:
        """Drop the text before ``position`` and append the next range.

        Ranges double while nothing is dropped, so that a long unit is searched and copied in linear time.

        Raises:
            DocumentError: ``invalid_encoding``, ``not_text``, ``document_changed``.
        """
        self._range = self._base_range if position else min(self._range * 2, max(RANGE_BYTES_MAX, self._base_range))
        self._start = self.offset_at(position)
        self.text = self.text[position:]
        missing = self._reader.size_bytes - self._next
        data = b""
        if missing > 0:
            data = await self._reader.read(self._next, min(self._range, missing))
            if not data:
                raise DocumentError("The document became shorter while it was being read.", code="document_changed")
            self._next += len(data)
        self._append(data)

    def _append(self, data: bytes) -> None:
        raw = self._undecoded + data
        raw_offset = self._next - len(raw)
        self.final = self._next >= self._reader.size_bytes
        try:
            piece, used = self._decode(raw, "strict", self.final)
        except UnicodeDecodeError as error:
            raise self._undecodable(raw, raw_offset, error) from None
        nul = piece.find("\0")
        if nul >= 0:
            at = raw_offset + len(piece[:nul].encode(self._encoding))
            message = f"The document is not text: it contains a NUL character at offset {at}."
            raise DocumentError(message, code="not_text", details={"offset": at})
        self._undecoded = raw[used:]
        self.text += piece

    def _undecodable(self, raw: bytes, raw_offset: int, error: UnicodeDecodeError) -> DocumentError:
        at = raw_offset + error.start
        name = self._encoding.upper().replace("-LE", "").replace("-BE", "")
        found = "" if self._encoding != "utf-8" else f" 0x{raw[error.start]:02x}"
        message = f"The document is not valid {name}: unexpected byte{found} at offset {at}."
        return DocumentError(message, code="invalid_encoding", details={"offset": at})
