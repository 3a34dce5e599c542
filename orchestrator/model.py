"""Values that cross the engine's edges: requests, records, notices and views."""

from __future__ import annotations

from typing import Literal

import msgspec

from orchestrator.errors import ErrorRecord
from orchestrator.lifecycle import JobStatus, StepStatus
from orchestrator.limits import RETENTION_MS


class JobBudget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much a job may use before it is paused; None is no limit."""

    rows_written: int | None = None
    rows_read: int | None = None
    slices: int | None = None
    active_ms: int | None = None
    calls: int | None = None
    subrequests: int | None = None
    estimated_usd: float | None = None


class JobOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a caller may say about one job."""

    #: Two requests with the same workflow and key are one job.
    idempotency_key: str | None = None
    #: The key means a new job this long after its last one was created; 0 is as long as that one is kept.
    idempotency_window_ms: int = 0
    #: What the key means after its job has ended: that job, a new one unless it completed, or a new one always.
    idempotency_on_ended: Literal["return", "new_if_failed", "new"] = "return"
    #: An ended job is deleted after this long; 0 is never.
    retention_ms: int = RETENTION_MS
    #: Wait this long before starting.
    delay_ms: int = 0
    #: Start this long after the last call with the key; each further one replaces the payload. 0 is at once.
    debounce_ms: int = 0
    #: However many calls come, start this long after the first; 0 is ten times ``debounce_ms``.
    debounce_max_ms: int = 0
    #: A job that has not started after this long expires; 0 is never.
    ttl_ms: int = 0
    #: A job that is not done this long after it started fails; 0 is never. Paused time does not count.
    max_duration_ms: int = 0
    #: What it may use before it is paused, beside its workflow's own limits.
    budget: JobBudget = JobBudget()
    #: Seconds of head start over other waiting jobs.
    priority: int = 0
    tags: tuple[str, ...] = ()
    #: What the limits of the workflow's lane count the job as, by kind of key; children inherit it.
    lane_keys: dict[str, str] = {}
    #: ``queue``: through the workflow's queue; ``direct``: handed to the job's own object at once.
    mode: Literal["queue", "direct"] = "queue"
    #: Whose job it is. Keys that are restricted to another tenant do not learn that it exists; children inherit it.
    tenant: str | None = None


class ParentRef(msgspec.Struct, frozen=True):
    """The operation that a job is a child of."""

    job_id: str
    operation: str
    key: str
    #: The parent has not asked to be told how the child ends.
    detached: bool = False


class CreateJob(msgspec.Struct, frozen=True, kw_only=True):
    """Ask a job's own object to record the job."""

    job_id: str
    workflow: str
    payload: object
    options: JobOptions = JobOptions()
    parent: ParentRef | None = None
    #: How many jobs of the same key came before.
    generation: int = 0


class Created(msgspec.Struct, frozen=True):
    """The job is recorded; ``deduplicated`` when it already was."""

    id: str
    status: JobStatus
    deduplicated: bool
    #: The generation of the job to ask instead: the key means a later job than this one.
    successor: int | None = None
    #: Whether this request made it, now or when it came before: not so when the key led to somebody else's job.
    own: bool = True


class RetryJob(msgspec.Struct, frozen=True, kw_only=True):
    """Where a retried job begins again; the failed steps unless told otherwise."""

    from_step: str | None = None
    scratch: bool = False


class ControlJob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One action on a job, if it still is in the status for which it was chosen."""

    action: Literal["cancel", "pause", "resume", "retry", "delete"]
    #: The statuses in which it may be done; any when empty.
    only_in: tuple[JobStatus, ...] = ()
    reason: str = ""
    retry: RetryJob = RetryJob()
    #: Limits that a resumed job gets instead of its own.
    budget: JobBudget = JobBudget()


class StopJob(msgspec.Struct, frozen=True, kw_only=True):
    """Ask a job to stop, and to tell ``watcher`` when it has ended."""

    watcher: ParentRef
    reason: str = ""
    #: A job of another workflow is not meant; any when empty.
    workflows: tuple[str, ...] = ()


class Progress(msgspec.Struct, frozen=True):
    """How far a job is, in a unit people know."""

    done: float
    total: float | None = None
    unit: str = "items"


class ChildOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a child ended."""

    key: str
    job_id: str
    status: JobStatus
    result: object = None
    error: ErrorRecord | None = None

    @property
    def ok(self) -> bool:
        """Whether the child completed."""
        return self.status is JobStatus.COMPLETED


class ChildNotice(msgspec.Struct, frozen=True):
    """A child tells its parent how it ended."""

    operation: str
    outcome: ChildOutcome


class JobRow(msgspec.Struct, kw_only=True):
    """The one row of a job in its own object. Mutable: the journal's working copy."""

    job_id: str
    workflow: str
    version: int
    status: JobStatus
    phase: Literal["main", "undo", "on_failure", "on_cancel", "deleted"]
    #: Raised whenever another writer takes over; a commit with an older epoch is refused.
    epoch: int
    payload: bytes
    options: bytes
    parent: bytes | None
    created_at_ms: int
    started_at_ms: int | None
    finished_at_ms: int | None
    #: When this job next needs a tick for its own sake: start, continuation or watchdog.
    due_at_ms: int | None
    slices: int
    #: Since when the job is paused.
    paused_at_ms: int | None
    #: Raised by each retry of the job: children of an earlier run are other jobs.
    generation: int
    #: Slices that died since the last commit.
    crashes: int
    #: Slices that died, ever.
    crashes_total: int
    #: Whether a slice has begun and not ended.
    slice_open: bool
    #: Units the next slice may use.
    slice_units: int
    #: Raised with every change that callers can see.
    revision: int
    rows_written: int
    progress: bytes | None
    metadata: bytes | None
    result: bytes | None
    error: bytes | None
    #: What the job has used, and the limits that were raised since it began.
    account: bytes | None
    #: Why the job is paused, when nobody asked for that.
    pause_error: bytes | None


class StepRow(msgspec.Struct, kw_only=True):
    """The checkpoint of one operation."""

    key: str
    #: The order in which the workflow reached its operations.
    seq: int
    kind: str
    status: StepStatus
    attempt: int
    #: Slices this step killed while it ran alone.
    crashes: int = 0
    due_at_ms: int | None = None
    started_at_ms: int
    finished_at_ms: int | None = None
    value: bytes | None = None
    error: bytes | None = None
    #: The retry policy in force since the first failure: a deploy does not change a step that is being retried.
    policy: bytes | None = None


class Event(msgspec.Struct, frozen=True):
    """One line of a job's history."""

    seq: int
    at_ms: int
    kind: str
    key: str | None = None
    data: object = None


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    """A step as callers see it."""

    key: str
    kind: str
    status: StepStatus
    attempt: int
    started_at_ms: int
    finished_at_ms: int | None
    due_at_ms: int | None
    error: ErrorRecord | None
    #: Counters of a cursor loop or a fan-out.
    counters: dict[str, int] | None


class WaitView(msgspec.Struct, frozen=True, kw_only=True):
    """What a job waits for, and why."""

    kind: str
    key: str
    reason: str
    due_at_ms: int | None


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a job has used so far of what the platform bills."""

    rows_read: int = 0
    rows_written: int = 0
    #: Calls to the job's object, and calls that it made to others.
    requests: int = 0
    calls: int = 0
    #: Requests to anything else: HTTP, object storage, queues, AI.
    subrequests: int = 0
    queue_operations: int = 0
    blob_writes: int = 0
    blob_reads: int = 0
    alarms_set: int = 0
    alarms_fired: int = 0
    slices: int = 0
    active_ms: int = 0
    storage_bytes: int = 0
    #: By the published prices, as if no plan included anything.
    estimated_usd: float = 0.0


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """A job as callers see it: exact, from its own object."""

    id: str
    workflow: str
    version: int
    status: JobStatus
    progress: Progress | None
    metadata: dict[str, object]
    result: object
    error: ErrorRecord | None
    tags: tuple[str, ...]
    parent_id: str | None
    created_at_ms: int
    started_at_ms: int | None
    finished_at_ms: int | None
    slices: int
    crashes: int
    steps: int
    rows_written: int
    revision: int
    waits: tuple[WaitView, ...]
    #: How often the workflow was begun.
    attempts: int = 0
    cost: Cost = Cost()
    tenant: str | None = None


class JobOwner(msgspec.Struct, frozen=True, kw_only=True):
    """Whose a job is: what decides who may see it. It never changes."""

    workflow: str
    tenant: str | None


class DeadStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step that gave up, without which its workflow went on."""

    key: str
    kind: str
    attempts: int
    cause: str
    at_ms: int


class JobSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What the catalog knows of a job."""

    id: str
    workflow: str
    status: JobStatus
    tags: tuple[str, ...]
    parent_id: str | None
    created_at_ms: int
    updated_at_ms: int
    finished_at_ms: int | None
    #: When the job means to act next; the sweeper pokes jobs long past it.
    due_at_ms: int | None
    revision: int
    error: str | None
    tenant: str | None = None
    #: When the job could have started at the earliest, and when it did.
    ready_at_ms: int | None = None
    started_at_ms: int | None = None
    slices: int = 0
    crashes: int = 0
    rows_written: int = 0
    #: Whether the catalog hears of the job for the first time, as far as the job knows.
    first: bool = False
    #: How often the workflow was begun, and in which step it failed.
    attempts: int = 0
    failed_in: str | None = None
    #: Steps that the job has completed without, the first ones.
    dead_steps: tuple[DeadStep, ...] = ()


class DeletedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job is no more. ``created_at_ms`` tells it from a later job of the same id."""

    id: str
    created_at_ms: int
    deleted_at_ms: int


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A job, step or message that gave up."""

    id: str
    kind: Literal["job", "step", "message"]
    job_id: str | None
    workflow: str | None
    cause: str
    at_ms: int
    detail: object = None
    #: When it was tried again.
    redriven_at_ms: int | None = None
