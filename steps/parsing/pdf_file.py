"""A PDF as a seekable file of which only some blocks are in memory.

The PDF library reads synchronously, the document can only be fetched asynchronously. So a read of a block that is not
here raises `MissingBlockError`, the caller fetches it and repeats what it was doing. The error derives from
`BaseException`, because the library repairs damaged files by catching every `Exception`.
"""

from __future__ import annotations

import os
from collections import OrderedDict

from steps.parsing.errors import DocumentError
from steps.parsing.limits import PDF_CACHE_BYTES, PDF_CACHE_BYTES_MAX
from steps.parsing.model import ByteReader

#: Data of at least this size is stepped over when it belongs to an image; smaller data is not worth a look.
_IMAGE_BYTES_MIN = 4 * 1024
#: How far before its data an image's dictionary may begin.
_DICTIONARY_BYTES_MAX = 2 * 1024
#: Most blocks fetched ahead while a table is read from start to end.
_READ_AHEAD_BLOCKS_MAX = 8


class MissingBlockError(BaseException):
    """Blocks ``first`` to ``last`` are needed."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__()
        self.first = first
        self.last = last


class BlockFile:
    """The part of a binary file object that the PDF library uses.

    Args:
        reader: the document.
        block_bytes: size of a block, and of a read.
        cache_bytes: blocks kept between pages.
        cache_bytes_max: blocks that one page may use.
    """

    mode = "rb"

    def __init__(
        self,
        reader: ByteReader,
        block_bytes: int,
        cache_bytes: int = PDF_CACHE_BYTES,
        cache_bytes_max: int = PDF_CACHE_BYTES_MAX,
    ) -> None:
        self._reader = reader
        self._size = reader.size_bytes
        self._block_bytes = block_bytes
        self._kept_blocks = max(1, cache_bytes // block_bytes)
        self._most_blocks = max(1, cache_bytes_max // block_bytes)
        #: Least recently used first.
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        #: Blocks read since the last `release`. They stay, so that repeating makes progress.
        self._in_use: set[int] = set()
        self._position = 0
        #: The block of the last read, for the library's many reads of a single byte.
        self._current = b""
        self._current_start = 0
        self._last_fetched = -1
        self._ahead = 1

    @property
    def cached_bytes(self) -> int:
        """Memory in use."""
        return sum(map(len, self._blocks.values()))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move as `io.IOBase.seek` does."""
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            offset += self._size
        if offset < 0:
            raise ValueError(f"negative seek position {offset}")
        self._position = offset
        return offset

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Read as `io.RawIOBase.read` does.

        Raises:
            MissingBlockError: some of it is not in memory.
        """
        position = self._position
        start = position - self._current_start
        if size >= 0 and start >= 0 and start + size <= len(self._current):
            self._position = position + size
            return self._current[start : start + size]
        end = self._size if size < 0 else min(self._size, position + size)
        if end <= position:
            return b""
        if size >= _IMAGE_BYTES_MIN and self._is_image_data():
            # Text extraction never looks at pixels. The library only checks that ``endstream`` follows.
            self._position = end
            return b""
        data = self._read_blocks(position, end)
        self._position = end
        return data

    def read_end(self, size: int) -> bytes:
        """Return the file's last bytes.

        Raises:
            MissingBlockError: some of it is not in memory.
        """
        return self._read_blocks(max(0, self._size - size), self._size)

    def _read_blocks(self, position: int, end: int) -> bytes:
        size = self._block_bytes
        first, last = position // size, (end - 1) // size
        for index in range(first, last + 1):
            if index not in self._blocks:
                raise MissingBlockError(index, last)
        parts: list[bytes] = []
        for index in range(first, last + 1):
            self._blocks.move_to_end(index)
            self._in_use.add(index)
            parts.append(self._blocks[index])
        self._current = parts[-1]
        self._current_start = last * size
        joined = b"".join(parts) if len(parts) > 1 else parts[0]
        return joined[position - first * size : end - first * size]

    def _is_image_data(self) -> bool:
        """Tell whether the dictionary before the position is that of an image."""
        position = self._position
        if not position:
            return False
        start = max(0, position - _DICTIONARY_BYTES_MAX)
        first, last = start // self._block_bytes, (position - 1) // self._block_bytes
        if any(index not in self._blocks for index in range(first, last + 1)):
            return False
        before = self._read_blocks(start, position)
        dictionary = b"".join(before[before.rfind(b" obj") + 1 :].split())
        return dictionary.endswith(b"stream") and (
            b"/Subtype/Image/" in dictionary or b"/Subtype/Image>>" in dictionary
        )

    def release(self) -> None:
        """Let go of blocks beyond the cache's size, before the next page."""
        while len(self._blocks) > self._kept_blocks:
            self._blocks.popitem(last=False)
        self._in_use.clear()
        self._current = b""
        self._last_fetched = -1
        self._ahead = 1

    async def fetch(self, missing: MissingBlockError) -> None:
        """Fetch what was missing.

        Raises:
            DocumentError: code ``document_too_complex``, ``document_changed``.
        """
        # Consecutive misses mean that a long table is being read: fetch ahead, to repeat less.
        self._ahead = min(self._ahead * 2, _READ_AHEAD_BLOCKS_MAX) if missing.first == self._last_fetched + 1 else 1
        last_block = (self._size - 1) // self._block_bytes
        last = min(max(missing.last, missing.first + self._ahead - 1), last_block)
        if missing.last - missing.first >= self._most_blocks:
            raise self._too_large()
        for index in range(missing.first, last + 1):
            if index not in self._blocks:
                await self._fetch_block(index, required=index <= missing.last)
        self._last_fetched = last

    async def _fetch_block(self, index: int, required: bool) -> None:
        if len(self._blocks) >= self._most_blocks and not self._evict():
            if required:
                raise self._too_large()
            return
        start = index * self._block_bytes
        length = min(self._block_bytes, self._size - start)
        data = await self._reader.read(start, length)
        if len(data) != length:
            raise DocumentError("The document became shorter while it was being read.", code="document_changed")
        self._blocks[index] = data
        if required:
            self._in_use.add(index)

    def _evict(self) -> bool:
        for index in self._blocks:
            if index not in self._in_use:
                del self._blocks[index]
                return True
        return False

    def _too_large(self) -> DocumentError:
        limit = self._most_blocks * self._block_bytes // (1024 * 1024)
        message = f"The PDF is damaged or too complex: a single page needs more than {limit} MiB of the file at once."
        return DocumentError(message, code="document_too_complex")
