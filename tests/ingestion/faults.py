"""A bucket that stops the job's object before or after its k-th operation."""

from __future__ import annotations

from collections.abc import AsyncIterable, Coroutine
from typing import TypeVar

from orchestrator.ports import BlobInfo, Blobs
from orchestrator.testing import Crash
from tests.ingestion.harness import Stage

T = TypeVar("T")


class CrashingBlobs:
    """Implements :class:`orchestrator.ports.Blobs` over another one.

    Args:
        inner: does the work.
        before: operation, 1-based, that is never made; 0 for none.
        after: operation whose answer is never seen; 0 for none.
    """

    def __init__(self, inner: Blobs, before: int, after: int) -> None:
        self._inner = inner
        self._before = before
        self._after = after
        self.operations = 0

    async def head(self, key: str) -> BlobInfo | None:
        return await self._run(self._inner.head(key))

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes | None:
        return await self._run(self._inner.get(key, offset=offset, length=length))

    async def put(self, key: str, data: bytes) -> None:
        await self._run(self._inner.put(key, data))

    async def put_stream(self, key: str, pieces: AsyncIterable[bytes], size: int) -> None:
        await self._run(self._inner.put_stream(key, pieces, size))

    async def delete(self, *keys: str) -> None:
        await self._run(self._inner.delete(*keys))

    async def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> list[str]:
        return await self._run(self._inner.list(prefix, after=after, limit=limit))

    async def _run(self, operation: Coroutine[None, None, T]) -> T:
        self.operations += 1
        number = self.operations
        if number == self._before:
            operation.close()
            raise Crash
        result = await operation
        if number == self._after:
            raise Crash
        return result


class BucketCrash:
    """Makes the main bucket of a stage's next runs stop the job's object.

    Args:
        stage: whose runs.
    """

    def __init__(self, stage: Stage) -> None:
        self._blobs: CrashingBlobs | None = None
        self._at = (0, 0)
        stage.wrap_blobs = self._wrap

    @property
    def operations(self) -> int:
        """How many operations the last run has made."""
        assert self._blobs is not None
        return self._blobs.operations

    def arm(self, *, before: int = 0, after: int = 0) -> None:
        """Say at which operation the next run stops."""
        self._at = (before, after)

    def _wrap(self, blobs: Blobs) -> Blobs:
        self._blobs = CrashingBlobs(blobs, *self._at)
        return self._blobs
