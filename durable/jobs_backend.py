"""The API's, the consumer's and the sweeper's way to the objects and queues."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TypeVar

from durable import envelope
from durable.alerts.model import AlertsView, Observation
from durable.bridge import Env, ObjectCallError
from durable.catalog_model import (
    CatalogCounts,
    CountsQuery,
    DeadLetterPage,
    DeadLetterQuery,
    JobPage,
    JobQuery,
    OverdueQuery,
    Redriven,
    ShardState,
)
from durable.catalog_shards import ShardedCatalog
from durable.envelope import text_of
from durable.object_calls import call_object, catalog_calls
from durable.object_network import JOBS, LANES
from durable.object_platform import write_log
from durable.queues import binding_of
from durable.recording import record
from durable.turns import in_turns
from orchestrator.errors import RetryableError
from orchestrator.export import ExportPage
from orchestrator.lane import LaneView
from orchestrator.lifecycle import JobStatus
from orchestrator.model import (
    ControlJob,
    Created,
    CreateJob,
    DeadLetter,
    Event,
    JobOwner,
    JobSummary,
    JobView,
    RetryJob,
    StepView,
)
from orchestrator.tokens import TokenAddress

T = TypeVar("T")

ALERTS = "ALERTS"
ALERTS_NAME = "alerts"
#: Jobs that the catalog is told of at the same time.
_AT_ONCE = 6
#: Messages per send (platform.md §2.1).
_MESSAGES = 100


class ObjectJobs:
    """Implements :class:`durable.http.host.JobsBackend`, and the ports of the consumer and the sweeper.

    Args:
        env: the Worker's bindings.
    """

    def __init__(self, env: Env) -> None:
        self._env = env
        self._calls = catalog_calls(env)

    @property
    def _catalog(self) -> ShardedCatalog:
        return ShardedCatalog(self._calls.layout, self._calls.shard)

    async def create(self, request: CreateJob) -> Created:
        """See :class:`durable.http.host.JobsBackend`."""
        return await record(request, self._create, self._calls.expect)

    async def enqueue(self, queue: str, job_ids: Sequence[str]) -> None:
        """See :class:`durable.http.host.JobsBackend`."""
        binding = binding_of(queue)
        try:
            for start in range(0, len(job_ids), _MESSAGES):
                bodies = [{"id": job_id} for job_id in job_ids[start : start + _MESSAGES]]
                await self._env.send_batch(binding, bodies)
        except ObjectCallError as error:
            raise RetryableError(f"The queue {queue} took no message: {error}", code="queue_unavailable") from None

    async def expect(self, job_ids: Sequence[str]) -> None:
        """See :class:`durable.http.host.JobsBackend`."""
        await in_turns(job_ids, self._calls.expect, at_once=_AT_ONCE)

    async def looked_for(self, job_id: str) -> None:
        """See :class:`durable.sweeper.SweeperPort`."""
        await self._calls.looked_for(job_id)

    async def owner(self, job_id: str) -> JobOwner:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._job(job_id, "owner", JobOwner)

    async def view(self, job_id: str) -> JobView:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._job(job_id, "view", JobView)

    async def steps(self, job_id: str) -> list[StepView]:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._job(job_id, "steps", list[StepView])

    async def events(self, job_id: str, after: int) -> list[Event]:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._job(job_id, "events", list[Event], str(after))

    async def export(self, job_id: str, cursor: str | None) -> ExportPage:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._job(job_id, "export", ExportPage, cursor or "")

    async def cancel(self, job_id: str, reason: str) -> JobStatus:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._job(job_id, "cancel", JobStatus, reason)

    async def pause(self, job_id: str) -> JobStatus:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._job(job_id, "pause", JobStatus)

    async def resume(self, job_id: str) -> JobStatus:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._job(job_id, "resume", JobStatus)

    async def retry(self, job_id: str, request: RetryJob) -> JobStatus:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._again(job_id, "retry", text_of(request))

    async def delete(self, job_id: str) -> None:
        """See :class:`durable.http.host.JobsBackend`."""
        await self._again(job_id, "delete")

    async def supersede(self, job_id: str, generation: int) -> None:
        """See :class:`durable.http.host.JobsBackend`."""
        await self._job(job_id, "supersede", type(None), str(generation))

    async def control(self, job_id: str, request: ControlJob) -> JobStatus:
        """See :class:`durable.http.host.JobsBackend`."""
        if request.action in {"retry", "delete"}:
            return await self._again(job_id, "control", text_of(request))
        return await self._job(job_id, "control", JobStatus, text_of(request))

    async def deliver_event(self, job_id: str, name: str, event_id: str | None, data: object) -> None:
        """See :class:`durable.http.host.JobsBackend`."""
        await self._job(job_id, "deliver_event", type(None), name, event_id or "", text_of(data))

    async def complete_token(self, address: TokenAddress, data: object) -> None:
        """See :class:`durable.http.host.JobsBackend`."""
        await self._job(address.job_id, "complete_token", type(None), address.key, text_of(data))

    async def dispatch(self, job_id: str) -> JobStatus:
        """Start a queued job; one that was started already is left alone."""
        return await self._job(job_id, "dispatch", JobStatus)

    async def list_jobs(self, query: JobQuery) -> JobPage:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._catalog.list_jobs(query)

    async def list_dead_letters(self, query: DeadLetterQuery) -> DeadLetterPage:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._catalog.list_dead_letters(query)

    async def get_dead_letter(self, letter_id: str) -> DeadLetter:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._catalog.get_dead_letter(letter_id)

    async def mark_redriven(self, redriven: Redriven) -> None:
        """See :class:`durable.http.host.JobsBackend`."""
        await self._catalog.mark_redriven(redriven)

    async def counts(self, query: CountsQuery) -> CatalogCounts:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._catalog.counts(query)

    async def shard_states(self) -> list[ShardState]:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._catalog.states()

    async def alerts(self) -> AlertsView:
        """See :class:`durable.http.host.JobsBackend`."""
        return envelope.unwrap(await self._call(ALERTS, ALERTS_NAME, "view"), AlertsView)

    async def observe(self, observation: Observation) -> None:
        """See :class:`durable.alerts.round.AlertPort`."""
        text = await self._call(ALERTS, ALERTS_NAME, "observe", text_of(observation))
        envelope.unwrap(text, type(None))

    async def rebuild_shards(self, names: Sequence[str]) -> list[ShardState]:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._catalog.rebuild(names)

    async def overdue(self, query: OverdueQuery) -> tuple[list[str], list[str]]:
        """See :class:`durable.sweeper.SweeperPort`."""
        return await self._catalog.overdue(query)

    async def summary(self, job_id: str) -> JobSummary:
        """See :class:`durable.sweeper.SweeperPort`."""
        return await self._calls.summary(job_id)

    async def lane(self, name: str) -> LaneView:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._lane(name, "view")

    async def pause_lane(self, name: str) -> LaneView:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._lane(name, "pause")

    async def resume_lane(self, name: str) -> LaneView:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._lane(name, "resume")

    async def publish(self, summary: JobSummary) -> None:
        """Bring the catalog up to date."""
        await self._catalog.publish(summary)

    async def add_dead_letter(self, letter: DeadLetter) -> None:
        """Keep a dead letter."""
        await self._catalog.add_dead_letter(letter)

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Write one structured log line."""
        write_log(level, event, fields)

    async def _again(self, job_id: str, method: str, *args: str) -> JobStatus:
        """Have a job act that had ended: nobody would look at it if its alarm were lost before it tells of that."""
        status, _ = await asyncio.gather(
            self._job(job_id, method, JobStatus, *args), self._calls.expect(job_id, firm=True)
        )
        return status

    async def _create(self, request: CreateJob) -> Created:
        return await self._job(request.job_id, "create", Created, text_of(request))

    async def _job(self, job_id: str, method: str, into: type[T], *args: str) -> T:
        return envelope.unwrap(await self._call(JOBS, job_id, method, *args), into)

    async def _lane(self, name: str, method: str) -> LaneView:
        return envelope.unwrap(await self._call(LANES, name, method, name), LaneView)

    async def _call(self, binding: str, name: str, method: str, *args: str) -> str:
        return await call_object(self._env, binding, name, method, *args)
