"""What callers send and get, as the OpenAPI document shows it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from orchestrator.lifecycle import JobStatus, StepStatus
from orchestrator.limits import (
    MAX_BATCH_JOBS,
    MAX_DELAY_MS,
    MAX_IDEMPOTENCY_KEY_CHARS,
    MAX_NAME_CHARS,
    MAX_TAG_CHARS,
    MAX_TAGS,
)
from orchestrator.model import JobOptions

#: Greatest head start a caller may ask for: a year in seconds.
MAX_PRIORITY = 366 * 86_400
#: Longest cursor; ours are shorter.
MAX_CURSOR_CHARS = 512

Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-24T12:00:00.000Z"])]


def timestamp(at_ms: int) -> str:
    """Return a Unix time in ms as ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def timestamp_or_none(at_ms: int | None) -> str | None:
    """Return :func:`timestamp` of a time, or None."""
    return None if at_ms is None else timestamp(at_ms)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("control characters are not allowed")
    return text


def _ms(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number of seconds or an ISO 8601 duration is expected")
    return value


def _in_range(delay: timedelta) -> timedelta:
    if not timedelta() <= delay <= timedelta(milliseconds=MAX_DELAY_MS):
        raise ValueError(f"between 0 and {MAX_DELAY_MS // 1000} seconds are allowed")
    return delay


Tag = Annotated[str, Field(min_length=1, max_length=MAX_TAG_CHARS), AfterValidator(_printable)]
Delay = Annotated[timedelta, Field(strict=False), BeforeValidator(_no_boolean), AfterValidator(_in_range)]
IdempotencyKey = Annotated[str, Field(min_length=1, max_length=MAX_IDEMPOTENCY_KEY_CHARS)]


class Body(BaseModel):
    """Base of what callers send: a member nobody knows is a mistake, not a wish granted silently."""

    model_config = ConfigDict(extra="forbid", strict=True)


class OptionsIn(Body):
    """Options of one job."""

    idempotency_key: IdempotencyKey | None = Field(
        default=None, description="Requests with the same workflow and key are one job", examples=["upload-42"]
    )
    delay: Delay = Field(
        default=timedelta(),
        description="Wait this long before starting: seconds, or an ISO 8601 duration",
        examples=[30, "PT1H"],
    )
    ttl: Delay = Field(
        default=timedelta(), description="Expire if it has not started after this long; 0 is never", examples=[3600]
    )
    max_duration: Delay = Field(
        default=timedelta(),
        description="Fail if it is not done this long after its start; 0 is never",
        examples=["P1D"],
    )
    priority: int = Field(default=0, ge=0, le=MAX_PRIORITY, description="Seconds of head start over waiting jobs")
    tags: list[Tag] = Field(default_factory=list[str], max_length=MAX_TAGS, examples=[["org_1"]])
    mode: Literal["queue", "direct"] = Field(default="queue", description="direct: start at once, without the queue")

    def to_options(self, *, idempotency_key: str | None) -> JobOptions:
        """Return the engine's form of these options."""
        return JobOptions(
            idempotency_key=idempotency_key,
            delay_ms=_ms(self.delay),
            ttl_ms=_ms(self.ttl),
            max_duration_ms=_ms(self.max_duration),
            priority=self.priority,
            tags=tuple(dict.fromkeys(self.tags)),
            mode=self.mode,
        )


class JobIn(Body):
    """Ask for a job."""

    workflow: str = Field(min_length=1, max_length=MAX_NAME_CHARS, examples=["diagnostic-echo"])
    payload: object = Field(default=None, description="What the workflow's payload model asks for")
    options: OptionsIn = OptionsIn()


class BatchIn(Body):
    """Ask for many jobs. Each item is judged by itself."""

    items: list[object] = Field(
        min_length=1,
        max_length=MAX_BATCH_JOBS,
        json_schema_extra={"items": {"$ref": "#/components/schemas/JobIn"}},
    )


class CancelIn(Body):
    """Say why a job is to stop."""

    reason: str = Field(default="", max_length=1000)


class RetryIn(Body):
    """Where a retried job begins again: the failed steps unless told otherwise."""

    from_step: str | None = Field(default=None, min_length=1, max_length=2 * MAX_NAME_CHARS, examples=["load"])
    scratch: bool = Field(default=False, description="Forget every step")

    @model_validator(mode="after")
    def _one_of_them(self) -> RetryIn:
        if self.scratch and self.from_step is not None:
            raise ValueError("from_step and scratch exclude each other")
        return self


class EventIn(Body):
    """An event for a job."""

    data: object = Field(default=None, description="What the workflow gets")
    id: str | None = Field(default=None, min_length=1, max_length=MAX_NAME_CHARS, description="Counts once")


class TokenIn(BaseModel):
    """What completes a token."""

    data: object = None


class TriggerIn(BaseModel):
    """The plan's producer call: the job's body, and the organization's plan, which gives the priority."""

    model_config = ConfigDict(strict=True)

    body: object = Field(examples=[{"jobId": "job_1", "organizationId": "org_1"}])
    plan: str | None = Field(default=None, max_length=64, examples=["pro"])


class TriggerManyIn(BaseModel):
    """Several calls in one: none is recorded when one of them is invalid."""

    model_config = ConfigDict(strict=True)

    items: list[object] = Field(
        min_length=1,
        max_length=MAX_BATCH_JOBS,
        description="The jobs' bodies, bare or each as {body, plan}",
        examples=[[{"organizationId": "org_1"}]],
    )


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


class DeadLettersOut(BaseModel):
    """One page of dead letters, newest first."""

    dead_letters: list[DeadLetterOut]
    next_cursor: str | None
