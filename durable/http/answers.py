"""What callers get, as the OpenAPI document shows it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from orchestrator.lifecycle import JobStatus, StepStatus

Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-24T12:00:00.000Z"])]


def timestamp(at_ms: int) -> str:
    """Return a Unix time in ms as ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def timestamp_or_none(at_ms: int | None) -> str | None:
    """Return :func:`timestamp` of a time, or None."""
    return None if at_ms is None else timestamp(at_ms)


class AcceptedOut(BaseModel):
    """A job is recorded."""

    id: str = Field(examples=["run_01kx3m0d5v9q8w7e6r5t4y3u2z"])
    status: JobStatus
    deduplicated: bool = Field(description="Whether an earlier request had recorded this job")


class BatchItemOut(BaseModel):
    """What became of one item: a job, or a problem."""

    index: int
    id: str | None = None
    status: JobStatus | None = None
    deduplicated: bool | None = None
    error: dict[str, object] | None = Field(default=None, description="A problem document")


class BatchOut(BaseModel):
    """What became of each item, in order."""

    accepted: int
    rejected: int
    results: list[BatchItemOut]


class BulkItemOut(BaseModel):
    """What became of one job or dead letter: its job's status, or a problem."""

    id: str
    job_id: str | None = Field(default=None, description="A dead letter's job")
    status: JobStatus | None = None
    error: dict[str, object] | None = Field(default=None, description="A problem document")


class BulkOut(BaseModel):
    """What became of each, in order; repeat with ``next_cursor``, where there is one, for the rest."""

    done: int
    refused: int
    results: list[BulkItemOut]
    next_cursor: str | None = None


class RedrivenOut(BaseModel):
    """A dead letter was tried again."""

    id: str
    job_id: str
    status: JobStatus


class TriggerOut(BaseModel):
    """The job's id."""

    id: str = Field(examples=["run_01kx3m0d5v9q8w7e6r5t4y3u2z"])


class TriggerManyOut(TriggerOut):
    """The ids of several jobs; ``id`` is the first."""

    ids: list[str]


class StatusOut(BaseModel):
    """A job's status after a control action."""

    id: str
    status: JobStatus


class EventAcceptedOut(BaseModel):
    """The job keeps the event until its workflow asks for it."""

    id: str = Field(description="The job's id")
    event: str


class TokenOut(BaseModel):
    """The token is complete."""

    success: bool = True


class ProgressOut(BaseModel):
    """How far a job is."""

    done: float
    total: float | None
    unit: str


class ErrorOut(BaseModel):
    """Why something failed."""

    code: str
    message: str
    step: str | None
    attempt: int | None
    cause: str | None


class WaitOut(BaseModel):
    """What a job waits for, and why."""

    kind: str
    key: str
    reason: str
    due_at: Timestamp | None


class JobOut(BaseModel):
    """A job, exact at the moment of the answer."""

    id: str
    workflow: str
    version: int = Field(description="The workflow's version when the job was created")
    status: JobStatus
    progress: ProgressOut | None
    metadata: dict[str, object]
    result: object
    error: ErrorOut | None
    tags: list[str]
    parent_id: str | None
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    attempts: int = Field(description="How often the workflow was begun: 0 before its first slice")
    slices: int = Field(description="Alarm invocations that did work")
    crashes: int = Field(description="Slices that died and were resumed")
    steps: int
    rows_written: int
    revision: int
    waits: list[WaitOut] = Field(description="What the job waits for, and why")


class StepOut(BaseModel):
    """A step of a job's journal. Values stay private."""

    key: str
    kind: str
    status: StepStatus
    attempt: int
    started_at: Timestamp
    finished_at: Timestamp | None
    due_at: Timestamp | None
    error: ErrorOut | None
    counters: dict[str, int] | None


class StepsOut(BaseModel):
    """The steps in the order in which they began."""

    steps: list[StepOut]


class EventOut(BaseModel):
    """One line of a job's history."""

    id: int = Field(description="What Last-Event-ID refers to")
    at: Timestamp
    kind: str = Field(examples=["job.completed"])
    key: str | None
    data: object


class EventsOut(BaseModel):
    """A job's history; ask again with the last event's id for more."""

    events: list[EventOut]


class SummaryOut(BaseModel):
    """A job as the catalog knows it, which may be a moment behind."""

    id: str
    workflow: str
    status: JobStatus
    tags: list[str]
    parent_id: str | None
    created_at: Timestamp
    updated_at: Timestamp
    finished_at: Timestamp | None
    error: str | None


class JobsOut(BaseModel):
    """One page of jobs, newest first."""

    jobs: list[SummaryOut]
    next_cursor: str | None


class DeadLetterOut(BaseModel):
    """A job or message that gave up."""

    id: str
    kind: Literal["job", "message"]
    job_id: str | None
    workflow: str | None
    cause: str
    at: Timestamp
    detail: object
    redriven_at: Timestamp | None = Field(description="When it was tried again; a job's letter goes when it runs")


class DeadLettersOut(BaseModel):
    """One page of dead letters, newest first."""

    dead_letters: list[DeadLetterOut]
    next_cursor: str | None


class RateOut(BaseModel):
    """A token bucket."""

    count: int = Field(description="Tokens that flow in per period")
    per_ms: int
    burst: int = Field(description="Tokens of a full bucket")


class KeyLimitOut(BaseModel):
    """What holds for each value of a kind of key."""

    name: str = Field(examples=["organization"])
    concurrency: int | None
    rate: RateOut | None


class LaneOut(BaseModel):
    """A lane: its limits and how it stands."""

    name: str
    workflows: list[str] = Field(description="Whose jobs go through this lane")
    concurrency: int | None
    rate: RateOut | None
    fair: bool = Field(description="Whether values of the first kind of key take turns")
    limits: list[KeyLimitOut]
    paused: bool
    running: int
    waiting: int
    keys: dict[str, int] = Field(description="Permits out, by key with most", examples=[{"organization=o1": 5}])
    reasons: list[str] = Field(description="What keeps waiting jobs waiting")
    next_due_at: Timestamp | None = Field(description="When a rate lets the next job start")


class LanesOut(BaseModel):
    """The lanes of the workflows, by name."""

    lanes: list[LaneOut]
