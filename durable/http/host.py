"""What the API needs from the outside: the jobs, a clock, randomness and its key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

from starlette.requests import Request

from durable.alerts.model import AlertsView
from durable.audit import AuditEntry, AuditOutcome, AuditQuery
from durable.catalog_model import (
    CatalogCounts,
    CountsQuery,
    DeadLetterPage,
    DeadLetterQuery,
    JobPage,
    JobQuery,
    Redriven,
    ShardState,
)
from durable.http.access import NOBODY, Principal
from durable.http.memory import GateMemory
from durable.keys import KeyQuery, KeyRecord
from durable.schedule_index import SchedulePage, ScheduleQuery
from orchestrator.export import ExportPage
from orchestrator.lane import LaneView
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import RATE_PER_S
from orchestrator.model import ControlJob, Created, CreateJob, DeadLetter, Event, JobOwner, JobView, RetryJob, StepView
from orchestrator.ports import Clock, Entropy
from orchestrator.schedule import Schedule
from orchestrator.schedule_model import Backfilled, CreatedSchedule, ScheduleView
from orchestrator.tokens import TokenAddress, TokenSigner
from orchestrator.workflow import Registry


class JobsBackend(Protocol):
    """The jobs and their catalog. Every method may raise what ``orchestrator.errors`` has for requests.

    A part of the platform that does not answer is a ``RetryableError``, its code ``object_overloaded`` when it asks
    to be left alone for a while.
    """

    async def create(self, request: CreateJob) -> Created:
        """Record a job, durably, or find it recorded."""
        ...

    async def enqueue(self, queue: str, job_ids: Sequence[str]) -> None:
        """Send jobs' ids to a queue."""
        ...

    async def expect(self, job_ids: Sequence[str]) -> None:
        """Have jobs looked for that no message leads to, unless they tell of themselves."""
        ...

    async def owner(self, job_id: str) -> JobOwner:
        """Return whose a job is, from its own object."""
        ...

    async def view(self, job_id: str) -> JobView:
        """Return a job's status, from its own object."""
        ...

    async def steps(self, job_id: str) -> list[StepView]:
        """Return the steps of a job's journal."""
        ...

    async def events(self, job_id: str, after: int) -> list[Event]:
        """Return a job's history after an event number, oldest first; as much as fits an answer."""
        ...

    async def export(self, job_id: str, cursor: str | None) -> ExportPage:
        """Return the next rows of a job's journal, values included."""
        ...

    async def cancel(self, job_id: str, reason: str) -> JobStatus:
        """Ask a job to stop; return its status."""
        ...

    async def pause(self, job_id: str) -> JobStatus:
        """Have a job start nothing new; return its status."""
        ...

    async def resume(self, job_id: str) -> JobStatus:
        """Have a paused job go on; return its status."""
        ...

    async def retry(self, job_id: str, request: RetryJob) -> JobStatus:
        """Run a job that ended without success again; return its status."""
        ...

    async def delete(self, job_id: str) -> None:
        """Delete an ended job for good."""
        ...

    async def supersede(self, job_id: str, generation: int) -> None:
        """Have the first job of a key send requests straight to a later one."""
        ...

    async def control(self, job_id: str, request: ControlJob) -> JobStatus:
        """Do something to a job if it still is in a status for which it was asked; return its status."""
        ...

    async def deliver_event(self, job_id: str, name: str, event_id: str | None, data: object) -> None:
        """Hand an event to a job, which may wait for it now or later. One event id counts once."""
        ...

    async def complete_token(self, address: TokenAddress, data: object) -> None:
        """Complete a token once; completing it again, or too late, changes nothing."""
        ...

    async def lane(self, name: str) -> LaneView:
        """Return a lane as operators see it."""
        ...

    async def pause_lane(self, name: str) -> LaneView:
        """Have a lane start nothing more."""
        ...

    async def resume_lane(self, name: str) -> LaneView:
        """Have a lane start jobs again."""
        ...

    async def list_jobs(self, query: JobQuery) -> JobPage:
        """Return jobs from the catalog."""
        ...

    async def list_dead_letters(self, query: DeadLetterQuery) -> DeadLetterPage:
        """Return dead letters from the catalog."""
        ...

    async def get_dead_letter(self, letter_id: str) -> DeadLetter:
        """Return a dead letter from the catalog."""
        ...

    async def mark_redriven(self, redriven: Redriven) -> None:
        """Have the catalog take note that a dead letter was tried again."""
        ...

    async def counts(self, query: CountsQuery) -> CatalogCounts:
        """Return the catalog's numbers."""
        ...

    async def shard_states(self) -> list[ShardState]:
        """Return how complete the catalog's shards are."""
        ...

    async def alerts(self) -> AlertsView:
        """Return the alerts, and notices that have not arrived."""
        ...

    async def rebuild_shards(self, names: Sequence[str]) -> list[ShardState]:
        """Have shards of the catalog ask the jobs again for everything."""
        ...


class SchedulesBackend(Protocol):
    """The schedules and their list. Raises like :class:`JobsBackend`."""

    async def create(self, schedule: Schedule) -> CreatedSchedule:
        """Record a schedule, durably, or find just the same one recorded."""
        ...

    async def view(self, schedule_id: str) -> ScheduleView:
        """Return a schedule, from its own object."""
        ...

    async def update(self, schedule_id: str, changes: Mapping[str, object]) -> ScheduleView:
        """Replace members of a schedule; return it."""
        ...

    async def delete(self, schedule_id: str) -> None:
        """Forget a schedule."""
        ...

    async def pause(self, schedule_id: str) -> ScheduleView:
        """Let planned times pass; return the schedule."""
        ...

    async def resume(self, schedule_id: str) -> ScheduleView:
        """Have a paused schedule go on; return it."""
        ...

    async def run_now(self, schedule_id: str, key: str) -> Created:
        """Start a job at once. One key is one job."""
        ...

    async def backfill(self, schedule_id: str, from_ms: int, to_ms: int) -> Backfilled:
        """Have past planned times run; both ends are included."""
        ...

    async def page(self, query: ScheduleQuery) -> SchedulePage:
        """Return schedules from the list."""
        ...


class KeysBackend(Protocol):
    """The API keys that were made. Raises like :class:`JobsBackend`."""

    async def add(self, record: KeyRecord) -> None:
        """Keep a key, durably."""
        ...

    async def get(self, key_id: str) -> KeyRecord | None:
        """Return a key, of use or not."""
        ...

    async def list(self, query: KeyQuery) -> list[KeyRecord]:
        """Return keys, newest first."""
        ...

    async def revoke(self, key_id: str) -> None:
        """End a key's use."""
        ...


class AuditBackend(Protocol):
    """The audit log. Raises like :class:`JobsBackend`."""

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Keep entries, durably."""
        ...

    async def settle(self, outcomes: Sequence[AuditOutcome]) -> None:
        """Note how actions were answered."""
        ...

    async def list(self, query: AuditQuery) -> list[AuditEntry]:
        """Return entries, newest first."""
        ...


class Log(Protocol):
    """Writes one structured log line; never payloads or secrets."""

    def __call__(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Write the line."""
        ...


async def _always() -> bool:
    return True


@dataclass(frozen=True)
class Host:
    """Everything one request may use. Its ``repr`` does not show the key."""

    backend: JobsBackend
    schedules: SchedulesBackend
    registry: Registry
    clock: Clock
    entropy: Entropy
    log: Log
    #: Waits so many seconds.
    pause: Callable[[float], Awaitable[None]]
    #: Returns the signer of wait tokens.
    signer: Callable[[], TokenSigner]
    #: Has the request answered by a WebSocket of a job, from an event number on and by the right of a key.
    watch: Callable[[str, int, str], None]
    api_key: str | None = field(repr=False)
    keys: KeysBackend
    audit: AuditBackend
    #: What the gate remembers between the requests of one isolate.
    memory: GateMemory
    #: Pages of these origins may read answers.
    cors_origins: frozenset[str] = frozenset()
    #: Requests per second that one caller may send to one isolate.
    rate_per_s: int = RATE_PER_S
    #: Tells whether the request's key still is of use, for answers that last.
    is_welcome: Callable[[], Awaitable[bool]] = _always
    #: On whose behalf the request acts; the gate says so once it knows.
    principal: Principal = NOBODY


def host_of(request: Request) -> Host:
    """Return the host that the server put into the request's scope."""
    return cast("Host", request.scope["env"])
