"""The ``Blobs`` port on R2."""

from __future__ import annotations

from collections.abc import AsyncIterable

from durable.bridge import Bucket
from orchestrator.meter import Meter
from orchestrator.ports import BlobInfo


class R2Blobs:
    """Objects in R2, implementing :class:`orchestrator.ports.Blobs`.

    Args:
        bucket: the bucket.
        meter: counts the operations by what they cost; deleting is free.
    """

    def __init__(self, bucket: Bucket, meter: Meter | None = None) -> None:
        self._bucket = bucket
        self._meter = meter or Meter()

    async def head(self, key: str) -> BlobInfo | None:
        """See :class:`orchestrator.ports.Blobs`."""
        self._reads()
        found = await self._bucket.head(key)
        return None if found is None else BlobInfo(*found)

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes | None:
        """See :class:`orchestrator.ports.Blobs`."""
        self._reads()
        if length == 0:
            return b"" if await self._bucket.head(key) is not None else None
        return await self._bucket.get(key, offset, length)

    async def put(self, key: str, data: bytes) -> None:
        """See :class:`orchestrator.ports.Blobs`."""
        self._writes()
        await self._bucket.put(key, data)

    async def put_stream(self, key: str, pieces: AsyncIterable[bytes], size: int) -> None:
        """See :class:`orchestrator.ports.Blobs`."""
        await self._bucket.put_stream(key, pieces, size)

    async def delete(self, *keys: str) -> None:
        """See :class:`orchestrator.ports.Blobs`."""
        for start in range(0, len(keys), 1_000):
            self._meter.subrequests += 1
            await self._bucket.delete(list(keys[start : start + 1_000]))

    async def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> list[str]:
        """See :class:`orchestrator.ports.Blobs`."""
        self._writes()
        return await self._bucket.list(prefix, after, limit)

    def _reads(self) -> None:
        self._meter.subrequests += 1
        self._meter.blob_reads += 1

    def _writes(self) -> None:
        self._meter.subrequests += 1
        self._meter.blob_writes += 1
