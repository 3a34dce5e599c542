"""What the API answers: a test compares it with the OpenAPI document. Members that a newer server adds are ignored."""

from __future__ import annotations

from datetime import datetime

import msgspec

#: Statuses in which a job has ended.
TERMINAL = frozenset({"completed", "failed", "cancelled", "expired"})


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with a request."""

    path: str
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A problem document (RFC 9457). ``code`` is stable, for programs; ``detail`` is for people."""

    code: str
    detail: str = ""
    status: int = 0
    title: str = ""
    type: str = "about:blank"
    errors: list[Fault] | None = None


class Accepted(msgspec.Struct, frozen=True):
    """A job is recorded, durably; ``deduplicated`` if an earlier request had recorded it."""

    id: str
    status: str
    deduplicated: bool


class BatchItem(msgspec.Struct, frozen=True):
    """What became of one item of a batch: a job, or a problem."""

    index: int
    id: str | None = None
    status: str | None = None
    deduplicated: bool | None = None
    error: Problem | None = None


class Batch(msgspec.Struct, frozen=True):
    """What became of each item, in order."""

    accepted: int
    rejected: int
    results: list[BatchItem]


class Triggered(msgspec.Struct, frozen=True):
    """The id of the job that was started: the same value from either backend."""

    id: str


class TriggeredMany(msgspec.Struct, frozen=True):
    """The ids of several jobs; ``id`` is the first."""

    id: str
    ids: list[str] = []


class StatusChange(msgspec.Struct, frozen=True):
    """A job's status after a control action."""

    id: str
    status: str


class EventAccepted(msgspec.Struct, frozen=True):
    """The job keeps the event until its workflow asks for it; ``id`` is the job's."""

    id: str
    event: str


class TokenCompleted(msgspec.Struct, frozen=True):
    """The token is complete, or its time is over."""

    success: bool


class Progress(msgspec.Struct, frozen=True):
    """How far a job is."""

    done: float
    total: float | None
    unit: str


class JobError(msgspec.Struct, frozen=True):
    """Why something failed."""

    code: str
    message: str
    step: str | None
    attempt: int | None
    cause: str | None


class Wait(msgspec.Struct, frozen=True):
    """What a job waits for, and why."""

    kind: str
    key: str
    reason: str
    due_at: datetime | None


class Cost(msgspec.Struct, frozen=True):
    """What a job has used so far of what the platform bills."""

    rows_read: int
    rows_written: int
    requests: int
    calls: int
    subrequests: int
    queue_operations: int
    blob_writes: int
    blob_reads: int
    alarms_set: int
    alarms_fired: int
    slices: int
    active_ms: int
    storage_bytes: int
    estimated_usd: float


class Job(msgspec.Struct, frozen=True):
    """A job, exact at the moment of the answer."""

    id: str
    workflow: str
    version: int
    status: str
    progress: Progress | None
    metadata: dict[str, object]
    result: object
    error: JobError | None
    tags: list[str]
    parent_id: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempts: int
    slices: int
    crashes: int
    steps: int
    rows_written: int
    revision: int
    waits: list[Wait]
    tenant: str | None
    cost: Cost

    @property
    def has_ended(self) -> bool:
        """Whether the job has ended, one way or another."""
        return self.status in TERMINAL


class Step(msgspec.Struct, frozen=True):
    """A step of a job's journal."""

    key: str
    kind: str
    status: str
    attempt: int
    started_at: datetime
    finished_at: datetime | None
    due_at: datetime | None
    error: JobError | None
    counters: dict[str, int] | None


class Steps(msgspec.Struct, frozen=True):
    """The steps in the order in which they began."""

    steps: list[Step]


class Event(msgspec.Struct, frozen=True):
    """One line of a job's history."""

    id: int
    at: datetime
    kind: str
    key: str | None
    data: object


class Events(msgspec.Struct, frozen=True):
    """A part of a job's history."""

    events: list[Event]


class JobSummary(msgspec.Struct, frozen=True):
    """A job as the catalog knows it, which may be a moment behind."""

    id: str
    workflow: str
    status: str
    tags: list[str]
    parent_id: str | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    error: str | None
    tenant: str | None


class JobPage(msgspec.Struct, frozen=True):
    """One page of jobs, newest first.

    ``incomplete`` names the shards of the catalog that did not answer or are being rebuilt: their jobs may be missing.
    """

    jobs: list[JobSummary]
    next_cursor: str | None
    incomplete: list[str] = []


class BulkItem(msgspec.Struct, frozen=True):
    """What became of one job or dead letter: its job's status, or a problem."""

    id: str
    job_id: str | None = None
    status: str | None = None
    error: Problem | None = None


class Bulk(msgspec.Struct, frozen=True):
    """What became of each."""

    done: int
    refused: int
    results: list[BulkItem]
    next_cursor: str | None = None
    incomplete: list[str] = []
