"""The ``Network`` port: what a job says to other objects and to the queues."""

from __future__ import annotations

import msgspec

from durable import envelope
from durable.bridge import Env, ObjectCallError
from durable.object_calls import catalog_calls
from durable.queues import binding_of
from durable.recording import record
from orchestrator.errors import ConflictError, RetryableError, UnknownJobError
from orchestrator.lane import LanePolicy, PermitAnswer, PermitBatch, PermitRequest, Release, Reserve, Reserved
from orchestrator.lifecycle import JobStatus
from orchestrator.meter import Meter
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

JOBS = "JOBS"
LANES = "LANES"


class ObjectNetwork:
    """Implements :class:`orchestrator.ports.Network` by calls between Durable Objects."""

    def __init__(self, env: Env, meter: Meter | None = None) -> None:
        self._env = env
        self._catalog = catalog_calls(env)
        self._meter = meter or Meter()

    async def create(self, request: CreateJob) -> Created:
        """See :class:`orchestrator.ports.Network`."""
        return await record(request, self._create, self._catalog.expect)

    async def dispatch(self, job_id: str) -> JobStatus:
        """Start a queued job."""
        return envelope.unwrap(await self._job(job_id, "dispatch"), JobStatus)

    async def finished(self, parent_id: str, notice: ChildNotice) -> None:
        """See :class:`orchestrator.ports.Network`."""
        envelope.unwrap(await self._job(parent_id, "child_finished", msgspec.json.encode(notice).decode()), type(None))

    async def inspect(self, job_id: str, key: str) -> ChildOutcome | None:
        """See :class:`orchestrator.ports.Network`."""
        text = await self._job(job_id, "outcome", key)
        try:
            return envelope.unwrap(text, ChildOutcome | None)  # type: ignore[arg-type]
        except UnknownJobError:
            return None

    async def watch(self, job_id: str, watcher: ParentRef) -> ChildOutcome | None:
        """See :class:`orchestrator.ports.Network`."""
        return envelope.unwrap(await self._job(job_id, "watch", _json(watcher)), ChildOutcome | None)  # type: ignore[arg-type]

    async def cancel(self, job_id: str, reason: str) -> JobStatus | None:
        """See :class:`orchestrator.ports.Network`."""
        await self._expect(job_id)
        try:
            return envelope.unwrap(await self._job(job_id, "cancel", reason), JobStatus)
        except (ConflictError, UnknownJobError):
            return None  # it has ended, or never began

    async def stop(self, job_id: str, request: StopJob) -> ChildOutcome | None:
        """See :class:`orchestrator.ports.Network`."""
        await self._expect(job_id)
        return envelope.unwrap(await self._job(job_id, "stop", _json(request)), ChildOutcome | None)  # type: ignore[arg-type]

    async def enqueue(self, queue: str, job_id: str) -> None:
        """See :class:`orchestrator.ports.Network`."""
        self._meter.subrequests += 1
        try:
            await self._env.send(binding_of(queue), {"id": job_id})
        except ObjectCallError as error:
            raise RetryableError(f"The queue {queue} took no message: {error}", code="queue_unavailable") from None

    async def publish(self, summary: JobSummary) -> None:
        """See :class:`orchestrator.ports.Network`."""
        self._meter.calls += 1
        await self._catalog.publish(summary)

    async def forget(self, job: DeletedJob) -> None:
        """See :class:`orchestrator.ports.Network`."""
        self._meter.calls += 1
        await self._catalog.forget(job)

    async def alive(self, job_id: str) -> bool:
        """See :class:`orchestrator.ports.Network`."""
        return envelope.unwrap(await self._job(job_id, "exists"), bool)

    async def request_permit(self, lane: LanePolicy, request: PermitRequest) -> PermitAnswer:
        """See :class:`orchestrator.ports.Network`."""
        text = await self._call(LANES, lane.name, "request", _json(PermitBatch(lane, (request,))))
        return envelope.unwrap(text, list[PermitAnswer])[0]

    async def release_permit(self, release: Release) -> None:
        """See :class:`orchestrator.ports.Network`."""
        envelope.unwrap(await self._call(LANES, release.lane, "release", _json([release.permit_id])), type(None))

    async def explain_permit(self, lane: str, permit_id: str) -> PermitAnswer | None:
        """See :class:`orchestrator.ports.Network`."""
        return envelope.unwrap(await self._call(LANES, lane, "explain", permit_id), PermitAnswer | None)  # type: ignore[arg-type]

    async def reserve(self, request: Reserve) -> Reserved:
        """See :class:`orchestrator.ports.Network`."""
        return envelope.unwrap(await self._call(LANES, request.bucket, "reserve", _json(request)), Reserved)

    async def offer(self, job_id: str, permit_id: str) -> bool:
        """See :class:`orchestrator.lane_engine.PermitNetwork`."""
        return envelope.unwrap(await self._job(job_id, "permit", permit_id), bool)

    async def _expect(self, job_id: str) -> None:
        """Have a job looked at that nobody waits for any more: the catalog may not have heard of it."""
        self._meter.calls += 1
        await self._catalog.expect(job_id, firm=True)

    async def _create(self, request: CreateJob) -> Created:
        return envelope.unwrap(await self._job(request.job_id, "create", _json(request)), Created)

    async def _job(self, job_id: str, method: str, *args: str) -> str:
        return await self._call(JOBS, job_id, method, *args)

    async def _call(self, binding: str, name: str, method: str, *args: str) -> str:
        self._meter.calls += 1
        try:
            return await self._env.call_object(binding, name, method, *args)
        except ObjectCallError as error:
            code = "object_overloaded" if error.overloaded else "object_unreachable"
            raise RetryableError(f"{method} of {name}: {error}", code=code) from None


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
