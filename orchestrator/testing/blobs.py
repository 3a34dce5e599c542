"""Object storage in memory, for tests."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable

from orchestrator.ports import BlobInfo

#: R2's bounds: of a key in bytes, and of a listing.
_MAX_KEY_BYTES, _MAX_LISTED = 1_024, 1_000


class MemoryBlobs:
    """Implements :class:`orchestrator.ports.Blobs`."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    def names(self) -> list[str]:
        """Return every key."""
        return sorted(self._objects)

    async def head(self, key: str) -> BlobInfo | None:
        """See :class:`orchestrator.ports.Blobs`."""
        data = self._objects.get(key)
        return None if data is None else BlobInfo(len(data), hashlib.sha256(data).hexdigest()[:32])

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes | None:
        """See :class:`orchestrator.ports.Blobs`."""
        if offset < 0:
            raise ValueError("an offset is not negative")
        data = self._objects.get(key)
        if data is None:
            return None
        return data[offset:] if length is None else data[offset : offset + length]

    async def put(self, key: str, data: bytes) -> None:
        """See :class:`orchestrator.ports.Blobs`."""
        _check_key(key)
        self._objects[key] = bytes(data)

    async def put_stream(self, key: str, pieces: AsyncIterable[bytes], size: int) -> None:
        """See :class:`orchestrator.ports.Blobs`."""
        _check_key(key)
        data = b"".join([piece async for piece in pieces])
        if len(data) != size:
            raise ValueError(f"the pieces are {len(data)} bytes, and {size} were announced")
        self._objects[key] = data

    async def delete(self, *keys: str) -> None:
        """See :class:`orchestrator.ports.Blobs`."""
        for key in keys:
            self._objects.pop(key, None)

    async def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> list[str]:
        """See :class:`orchestrator.ports.Blobs`."""
        if not 0 < limit <= _MAX_LISTED:
            raise ValueError(f"a listing has 1 to {_MAX_LISTED} keys")
        return sorted(key for key in self._objects if key.startswith(prefix) and key > after)[:limit]


def _check_key(key: str) -> None:
    if len(key.encode()) > _MAX_KEY_BYTES:
        raise ValueError(f"a key has at most {_MAX_KEY_BYTES} bytes")
