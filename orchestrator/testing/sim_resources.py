"""Object storage and database of a simulation: they take time, and fail in the ways of the real ones."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, TypeVar

from orchestrator.errors import RetryableError
from orchestrator.ports import BlobInfo
from orchestrator.testing.host import Copy

if TYPE_CHECKING:
    from orchestrator.testing.simulation import Simulation

T = TypeVar("T")
#: A slow request to object storage takes up to this long.
_SLOW_MS = 20_000


class SimBlobs:
    """The simulation's object storage as one copy reaches it, implementing :class:`orchestrator.ports.Blobs`."""

    def __init__(self, simulation: Simulation, copy: Copy) -> None:
        self._simulation = simulation
        self._copy = copy
        self._blobs = simulation.blobs

    async def head(self, key: str) -> BlobInfo | None:
        """See :class:`orchestrator.ports.Blobs`."""
        await self._before()
        return await self._blobs.head(key)

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes | None:
        """See :class:`orchestrator.ports.Blobs`."""
        await self._before()
        return await self._blobs.get(key, offset=offset, length=length)

    async def put(self, key: str, data: bytes) -> None:
        """See :class:`orchestrator.ports.Blobs`."""
        await self._before()
        await self._blobs.put(key, data)
        await self._after()

    async def put_stream(self, key: str, pieces: AsyncIterable[bytes], size: int) -> None:
        """See :class:`orchestrator.ports.Blobs`."""
        await self._before()
        await self._blobs.put_stream(key, pieces, size)
        await self._after()

    async def delete(self, *keys: str) -> None:
        """See :class:`orchestrator.ports.Blobs`."""
        await self._before()
        await self._blobs.delete(*keys)
        await self._after()

    async def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> list[str]:
        """See :class:`orchestrator.ports.Blobs`."""
        await self._before()
        return await self._blobs.list(prefix, after=after, limit=limit)

    async def _before(self) -> None:
        plan, name = self._simulation.plan, self._copy.host.name
        if plan.strikes("blob_slow", name):
            await self._simulation.sleep(round(_SLOW_MS * plan.draw("blob_slow", name, len(plan.struck))))
        await self._after()

    async def _after(self) -> None:
        """Whether a change that failed took effect is not known to who asked for it."""
        await self._simulation.pass_time(self._copy, "blob")
        if self._simulation.plan.strikes("blob_fails", self._copy.host.name):
            raise ConnectionError("the object storage gave no answer")


class DatabaseFaults:
    """What may happen to the statements of one copy; the hook of its session."""

    def __init__(self, simulation: Simulation, copy: Copy) -> None:
        self._simulation = simulation
        self._copy = copy

    async def __call__(self, what: str) -> None:
        """Let time pass, and strike."""
        plan, name = self._simulation.plan, self._copy.host.name
        await self._simulation.pass_time(self._copy, f"database {what}")
        if what == "committed":
            if plan.strikes("database_commit_unknown", name):
                raise RetryableError("the connection was lost", code="database_unavailable")
        elif what == "commit":
            if plan.strikes("database_deadlock", name):
                raise RetryableError("deadlock detected", code="database_conflict")
        elif plan.strikes("database_fails", name):
            raise RetryableError("the server is not accepting connections", code="database_unavailable")
        elif plan.strikes("database_disconnects", name):
            raise RetryableError("the connection was lost", code="database_unavailable")
