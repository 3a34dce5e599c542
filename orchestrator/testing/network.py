"""What the jobs of a world say to other objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from orchestrator.control import stop
from orchestrator.engine import JobEngine
from orchestrator.errors import ConflictError, RetryableError, UnknownJobError
from orchestrator.lane import LanePolicy, PermitAnswer, PermitRequest, Release, Reserve, Reserved
from orchestrator.lifecycle import JobStatus
from orchestrator.model import (
    ChildNotice,
    ChildOutcome,
    Created,
    CreateJob,
    DeletedJob,
    JobSummary,
    ParentRef,
    StopJob,
)
from orchestrator.testing.host import Copy

if TYPE_CHECKING:
    from orchestrator.testing.objects import Objects

T = TypeVar("T")


class WorldNetwork:
    """Implements :class:`orchestrator.ports.Network`: calls between objects, the way that ``Objects.send`` takes."""

    def __init__(self, world: Objects, sender: Copy) -> None:
        self._world = world
        self._sender = sender

    async def create(self, request: CreateJob) -> Created:
        """See :class:`orchestrator.ports.Network`."""
        self._begin()
        return await self._world.create_job(self._sender, self._world.carry(request))

    async def finished(self, parent_id: str, notice: ChildNotice) -> None:
        """See :class:`orchestrator.ports.Network`."""
        self._sender.gate()
        if parent_id in self._world.unreachable:
            raise RetryableError("The object does not answer", code="object_unreachable")
        if not self._world.lose_notices:
            notice = self._world.carry(notice)
            await self._to_job("finished", parent_id, lambda engine: engine.child_finished(notice))

    async def inspect(self, job_id: str, key: str) -> ChildOutcome | None:
        """See :class:`orchestrator.ports.Network`."""

        async def outcome(engine: JobEngine) -> ChildOutcome | None:
            await engine.look()
            if engine.exists():
                engine.wake()  # looking at a job also mends a lost alarm
            found = engine.outcome(key)
            return None if found is None else self._world.carry(found)

        self._begin()
        try:
            return await self._world.wait_for(self._sender, "inspect", self._world.object(job_id), outcome)
        except UnknownJobError:
            return None

    async def watch(self, job_id: str, watcher: ParentRef) -> ChildOutcome | None:
        """See :class:`orchestrator.ports.Network`."""
        watcher = self._world.carry(watcher)

        def watch(engine: JobEngine) -> ChildOutcome | None:
            found = engine.watch(watcher)
            return None if found is None else self._world.carry(found)

        return await self._to_job("watch", job_id, watch)

    async def cancel(self, job_id: str, reason: str) -> JobStatus | None:
        """See :class:`orchestrator.ports.Network`."""
        self._sender.gate()
        await self._world.expect(self._sender, job_id)
        try:
            return await self._to_job("cancel", job_id, lambda engine: engine.cancel(reason))
        except (ConflictError, UnknownJobError):
            return None

    async def stop(self, job_id: str, request: StopJob) -> ChildOutcome | None:
        """See :class:`orchestrator.ports.Network`."""
        request = self._world.carry(request)
        self._sender.gate()
        await self._world.expect(self._sender, job_id)

        def call(engine: JobEngine) -> ChildOutcome | None:
            found = stop(engine, request)
            return None if found is None else self._world.carry(found)

        return await self._to_job("stop", job_id, call)

    async def enqueue(self, queue: str, job_id: str) -> None:
        """See :class:`orchestrator.ports.Network`."""
        await self._send("enqueue", queue, lambda: self._world.enqueue(queue, job_id))

    async def publish(self, summary: JobSummary) -> None:
        """See :class:`orchestrator.ports.Network`."""
        self._begin()
        await self._world.publish(self._sender, self._world.carry(summary))

    async def forget(self, job: DeletedJob) -> None:
        """See :class:`orchestrator.ports.Network`."""
        self._begin()
        await self._world.forget(self._sender, job)

    async def alive(self, job_id: str) -> bool:
        """See :class:`orchestrator.ports.Network`."""
        return await self._to_job("alive", job_id, lambda engine: engine.exists())

    async def request_permit(self, lane: LanePolicy, request: PermitRequest) -> PermitAnswer:
        """See :class:`orchestrator.ports.Network`."""
        request = self._world.carry(request)
        self._begin()
        return await self._world.lanes.request(self._sender, lane, request)

    async def release_permit(self, release: Release) -> None:
        """See :class:`orchestrator.ports.Network`."""
        await self._send("release permit", release.lane, lambda: self._world.lanes.release(release))

    async def explain_permit(self, lane: str, permit_id: str) -> PermitAnswer | None:
        """See :class:`orchestrator.ports.Network`."""
        return await self._send("explain permit", lane, lambda: self._world.lanes.explain(lane, permit_id))

    async def reserve(self, request: Reserve) -> Reserved:
        """See :class:`orchestrator.ports.Network`."""
        return await self._send("reserve", request.bucket, lambda: self._world.lanes.reserve(request))

    async def _to_job(self, what: str, job_id: str, call: Callable[[JobEngine], T]) -> T:
        return await self._send(what, job_id, lambda: self._world.reach(self._world.object(job_id), call))

    async def _send(self, what: str, to: str, call: Callable[[], T]) -> T:
        self._begin()
        return await self._world.send(self._sender, what, to, call)

    def _begin(self) -> None:
        """Hold a message until what it tells of is durable, and count it."""
        self._sender.gate()
        self._sender.meter.calls += 1
