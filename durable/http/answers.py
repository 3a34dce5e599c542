"""What callers get, as the OpenAPI document shows it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Header
from pydantic import BaseModel, Field

from durable.http.problems import Problem
from orchestrator.lifecycle import JobStatus, StepStatus

Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-24T12:00:00.000Z"])]

Incomplete = Annotated[
    list[str],
    Field(description="Shards of the catalog that did not answer, or are being rebuilt: their jobs may be missing"),
]


JobId = Annotated[str, Field(description="The job's id", examples=["run_01kx3m0d5v9q8w7e6r5t4y3u2z"])]
Workflow = Annotated[str, Field(examples=["trigger-ingestion-job"])]
Tag = Annotated[str, Field(examples=["org_1"])]
LetterId = Annotated[str, Field(examples=["job:run_01kx3m0d5v9q8w7e6r5t4y3u2z"])]
Cursor = Annotated[str, Field(description="Leads to the next page", examples=["MTc2Mzk4MjQwMDAwMDpydW5f"])]
StepKey = Annotated[str, Field(description="Its name; `#2` and so on for the same name again", examples=["load"])]


#: Headers of answers, as the document shows them.
LOCATION: dict[str, object] = {"Location": {"description": "Where it is found", "schema": {"type": "string"}}}
ETAG: dict[str, object] = {
    "ETag": {"description": "For `If-None-Match`: 304 while the answer is the same", "schema": {"type": "string"}}
}
NOT_MODIFIED: dict[str, object] = {"description": "The answer is the one that `If-None-Match` names", "headers": ETAG}
IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", description="Entity tags of answers that the caller has")
]


def timestamp(at_ms: int) -> str:
    """Return a Unix time in ms as ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def timestamp_or_none(at_ms: int | None) -> str | None:
    """Return :func:`timestamp` of a time, or None."""
    return None if at_ms is None else timestamp(at_ms)


class HealthOut(BaseModel):
    """The Worker runs."""

    status: Literal["ok"]


class WorkflowOut(BaseModel):
    """A workflow that jobs may be of."""

    name: str = Field(examples=["diagnostic-echo"])
    version: int
    queue: str = Field(description="The queue its jobs travel through", examples=["orchestrator-default-queue"])
    lane: str | None = Field(description="The lane whose limits they share", examples=["ingestion"])
    payload_schema: dict[str, object] = Field(
        description="JSON schema of the payload", examples=[{"type": "object", "properties": {}}]
    )


class WorkflowsOut(BaseModel):
    """The workflows by name."""

    workflows: list[WorkflowOut]


class AcceptedOut(BaseModel):
    """A job is recorded."""

    id: JobId
    status: JobStatus
    deduplicated: bool = Field(description="Whether an earlier request had recorded this job", examples=[False])


class BatchItemOut(BaseModel):
    """What became of one item: a job, or a problem."""

    index: int = Field(examples=[0])
    id: JobId | None = Field(default=None, examples=["run_01kx3m0d5v9q8w7e6r5t4y3u2z"])
    status: JobStatus | None = Field(default=None, examples=["queued"])
    deduplicated: bool | None = Field(default=None, examples=[False])
    error: Problem | None = None


class BatchOut(BaseModel):
    """What became of each item, in order."""

    accepted: int
    rejected: int = Field(examples=[0])
    results: list[BatchItemOut]


class BulkItemOut(BaseModel):
    """What became of one job or dead letter: its job's status, or a problem."""

    id: str = Field(examples=["run_01kx3m0d5v9q8w7e6r5t4y3u2z"])
    job_id: JobId | None = Field(default=None, description="A dead letter's job")
    status: JobStatus | None = Field(default=None, examples=["cancelling"])
    error: Problem | None = None


class BulkOut(BaseModel):
    """What became of each, in order; repeat with ``next_cursor``, where there is one, for the rest."""

    done: int
    refused: int = Field(examples=[0])
    results: list[BulkItemOut]
    next_cursor: Cursor | None = None
    incomplete: Incomplete = []


class RedrivenOut(BaseModel):
    """A dead letter was tried again."""

    id: LetterId
    job_id: JobId
    status: JobStatus


class TriggerOut(BaseModel):
    """The job's id."""

    id: JobId


class TriggerManyOut(TriggerOut):
    """The ids of several jobs, when several were asked for; ``id`` is the first."""

    ids: list[JobId] = Field(default_factory=list[str], examples=[["run_01kx3m0d5v9q8w7e6r5t4y3u2z"]])


class StatusOut(BaseModel):
    """A job's status after a control action."""

    id: JobId
    status: JobStatus = Field(examples=["cancelling"])


class EventAcceptedOut(BaseModel):
    """The job keeps the event until its workflow asks for it."""

    id: JobId
    event: str = Field(examples=["signed"])


class TokenOut(BaseModel):
    """The token is complete, now or since before, or its time is over."""

    success: bool = True


class ProgressOut(BaseModel):
    """How far a job is."""

    done: float = Field(examples=[120])
    total: float | None = Field(examples=[400])
    unit: str = Field(examples=["pages"])


class ErrorOut(BaseModel):
    """Why something failed."""

    code: str = Field(description="Stable, for programs", examples=["http_timeout"])
    message: str = Field(examples=["The embedding service did not answer within 60 s"])
    step: StepKey | None
    attempt: int | None
    cause: str | None = Field(description="What was behind it, where there is something", examples=[None])


class WaitOut(BaseModel):
    """What a job waits for, and why."""

    kind: str = Field(examples=["sleep"])
    key: str = Field(description="The step or lane", examples=["cool down"])
    reason: str = Field(examples=["sleeping"])
    due_at: Timestamp | None


class CostOut(BaseModel):
    """What a job has used so far of what the platform bills."""

    rows_read: int
    rows_written: int
    requests: int = Field(description="Calls to the job's object")
    calls: int = Field(description="Calls that it made to other objects")
    subrequests: int = Field(description="Requests to anything else: HTTP, object storage, queues, AI")
    queue_operations: int
    blob_writes: int
    blob_reads: int
    alarms_set: int
    alarms_fired: int
    slices: int
    active_ms: int = Field(description="Wall time at work, read after input and output")
    storage_bytes: int
    estimated_usd: float = Field(description="By the published prices, as if no plan included anything")


class JobOut(BaseModel):
    """A job, exact at the moment of the answer."""

    id: JobId
    workflow: Workflow
    version: int = Field(description="The workflow's version when the job was created")
    status: JobStatus = Field(examples=["suspended"])
    progress: ProgressOut | None
    metadata: dict[str, object] = Field(description="What the workflow has set")
    result: object = Field(description="What the workflow returned; null before", examples=[None])
    error: ErrorOut | None = Field(examples=[None])
    tags: list[Tag]
    parent_id: JobId | None = Field(examples=[None])
    tenant: str | None = Field(description="Whose job it is", examples=["org_1"])
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None = Field(examples=[None])
    attempts: int = Field(description="How often the workflow was begun: 0 before its first slice")
    slices: int = Field(description="Alarm invocations that did work")
    crashes: int = Field(description="Slices that died and were resumed", examples=[0])
    steps: int
    rows_written: int
    cost: CostOut
    revision: int = Field(description="Raised when the status changes")
    waits: list[WaitOut] = Field(description="What the job waits for, and why")


class StepOut(BaseModel):
    """A step of a job's journal. Values stay private."""

    key: StepKey
    kind: str = Field(examples=["step"])
    status: StepStatus = Field(examples=["completed"])
    attempt: int
    started_at: Timestamp
    finished_at: Timestamp | None
    due_at: Timestamp | None = Field(examples=[None])
    error: ErrorOut | None = Field(examples=[None])
    counters: dict[str, int] | None = Field(description="What a loop or fan-out counts", examples=[None])


class StepsOut(BaseModel):
    """The steps in the order in which they began."""

    steps: list[StepOut]


class EventOut(BaseModel):
    """One line of a job's history."""

    id: int = Field(description="What Last-Event-ID refers to")
    at: Timestamp
    kind: str = Field(examples=["job.completed"])
    key: StepKey | None = Field(examples=[None])
    data: object


class EventsOut(BaseModel):
    """A job's history; ask again with the last event's id for more."""

    events: list[EventOut]


class SummaryOut(BaseModel):
    """A job as the catalog knows it, which may be a moment behind."""

    id: JobId
    workflow: Workflow
    status: JobStatus = Field(examples=["running"])
    tags: list[Tag]
    parent_id: JobId | None = Field(examples=[None])
    tenant: str | None = Field(description="Whose job it is", examples=["org_1"])
    created_at: Timestamp
    updated_at: Timestamp
    finished_at: Timestamp | None = Field(examples=[None])
    error: str | None = Field(examples=[None])


class JobsOut(BaseModel):
    """One page of jobs, newest first."""

    jobs: list[SummaryOut]
    next_cursor: Cursor | None
    incomplete: Incomplete = []


class DeadLetterOut(BaseModel):
    """A job, step or message that gave up."""

    id: LetterId
    kind: Literal["job", "step", "message"]
    job_id: JobId | None
    workflow: Workflow | None
    cause: str = Field(examples=["step_crashed: the step killed its slice 5 times"])
    at: Timestamp
    detail: object = Field(
        description="Of a job or step: `step`, `attempts`, and `payload`, where its payload and journal are",
        examples=[{"step": "charge", "attempts": 3, "payload": "/v1/jobs/run_01kx3m0d5v9q8w7e6r5t4y3u2z/export"}],
    )
    redriven_at: Timestamp | None = Field(
        description="When it was tried again; a job's letter goes when it runs", examples=[None]
    )


class DeadLettersOut(BaseModel):
    """One page of dead letters, newest first."""

    dead_letters: list[DeadLetterOut]
    next_cursor: Cursor | None
    incomplete: Incomplete = []


class ShardOut(BaseModel):
    """A shard of the catalog."""

    name: str = Field(examples=["catalog-4-0"])
    jobs: int = Field(description="Jobs it knows")
    complete: bool = Field(description="Whether it knows every job of its own")
    ledger: int = Field(description="Which ledger it reads while it is being rebuilt")
    skipped: int = Field(description="Jobs that did not answer while it is being rebuilt; it asks again")
    reads_on_at: Timestamp | None


class CatalogOut(BaseModel):
    """The shards of the catalog."""

    shards: list[ShardOut]


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

    name: str = Field(examples=["ingestion"])
    workflows: list[Workflow] = Field(description="Whose jobs go through this lane")
    concurrency: int | None
    rate: RateOut | None
    fair: bool = Field(description="Whether values of the first kind of key take turns")
    limits: list[KeyLimitOut]
    paused: bool
    running: int
    waiting: int
    keys: dict[str, int] = Field(description="Permits out, by key with most", examples=[{"organization=o1": 5}])
    reasons: list[str] = Field(
        description="What keeps waiting jobs waiting", examples=[["organization=o1 has 5 of 5 permits"]]
    )
    next_due_at: Timestamp | None = Field(description="When a rate lets the next job start")


class LanesOut(BaseModel):
    """The lanes of the workflows, by name."""

    lanes: list[LaneOut]
