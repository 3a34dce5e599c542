"""What callers send, as the OpenAPI document shows it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from orchestrator.errors import ContradictionError
from orchestrator.lane import DEFAULT_KEY
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import (
    MAX_BATCH_JOBS,
    MAX_DELAY_MS,
    MAX_IDEMPOTENCY_KEY_CHARS,
    MAX_LANE_KEYS,
    MAX_NAME_CHARS,
    MAX_TAG_CHARS,
    MAX_TAGS,
    RETENTION_MS,
)
from orchestrator.model import JobBudget, JobOptions

#: Greatest head start a caller may ask for: a year in seconds.
MAX_PRIORITY = 366 * 86_400
#: Longest cursor; ours are shorter.
MAX_CURSOR_CHARS = 512


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


def ms_or_none(time: datetime | None) -> int | None:
    """Return a time as Unix time in ms, or None."""
    return None if time is None else round(time.timestamp() * 1000)


Time = Annotated[AwareDatetime, Field(strict=False, examples=["2026-11-24T12:00:00Z"])]
Tag = Annotated[str, Field(min_length=1, max_length=MAX_TAG_CHARS), AfterValidator(_printable)]
Delay = Annotated[timedelta, Field(strict=False), BeforeValidator(_no_boolean), AfterValidator(_in_range)]
LaneKey = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS), AfterValidator(_printable)]
Tenant = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS), AfterValidator(_printable)]
IdempotencyKey = Annotated[str, Field(min_length=1, max_length=MAX_IDEMPOTENCY_KEY_CHARS)]


class Body(BaseModel):
    """Base of what callers send: a member nobody knows is a mistake, not a wish granted silently."""

    model_config = ConfigDict(extra="forbid", strict=True)


class IdempotencyIn(Body):
    """When two requests are one job."""

    key: IdempotencyKey = Field(description="Requests with the same workflow and key are one job")
    window: Delay = Field(
        default=timedelta(),
        description="The key means a new job this long after its last one was created; 0: while that one is kept",
        examples=[86_400],
    )
    on_ended: Literal["return", "new_if_failed", "new"] = Field(
        default="return",
        description="What the key means after its job has ended: that job; a new one unless it completed; a new one, so"
        " that there is one job at a time, whatever its payload",
    )


class BudgetIn(Body):
    """How much a job may use before it is paused with the code `budget_exceeded`. Left out is the workflow's limit."""

    rows_written: int | None = Field(default=None, ge=1, examples=[1_000_000])
    rows_read: int | None = Field(default=None, ge=1)
    slices: int | None = Field(default=None, ge=1, description="Alarm invocations that do work")
    active: Delay | None = Field(default=None, description="Time at work: seconds, or an ISO 8601 duration")
    calls: int | None = Field(default=None, ge=1, description="Calls to other objects")
    subrequests: int | None = Field(default=None, ge=1, description="Requests to anything else")
    estimated_usd: float | None = Field(default=None, gt=0, strict=False, description="By the published prices")

    def to_budget(self) -> JobBudget:
        """Return the engine's form of it."""
        return JobBudget(
            rows_written=self.rows_written,
            rows_read=self.rows_read,
            slices=self.slices,
            active_ms=None if self.active is None else _ms(self.active),
            calls=self.calls,
            subrequests=self.subrequests,
            estimated_usd=self.estimated_usd,
        )


class OptionsIn(Body):
    """Options of one job."""

    idempotency_key: IdempotencyKey | None = Field(
        default=None, description="Requests with the same workflow and key are one job", examples=["upload-42"]
    )
    idempotency: IdempotencyIn | None = Field(default=None, description="idempotency_key, with a policy")
    retention: Delay = Field(
        default=timedelta(milliseconds=RETENTION_MS),
        description="Delete the job this long after its end; 0 is never",
        examples=["P30D"],
    )
    delay: Delay = Field(
        default=timedelta(),
        description="Wait this long before starting: seconds, or an ISO 8601 duration",
        examples=[30, "PT1H"],
    )
    run_at: Time | None = Field(
        default=None, description="Start then, not after a delay", examples=["2026-12-24T18:00Z"]
    )
    debounce: Delay = Field(
        default=timedelta(),
        description="Start this long after the last call with the idempotency key; each call replaces the payload",
        examples=[5],
    )
    debounce_max: Delay = Field(
        default=timedelta(),
        description="However many calls come, start this long after the first; 0 is ten times the debounce",
        examples=[60],
    )
    ttl: Delay = Field(
        default=timedelta(), description="Expire if it has not started after this long; 0 is never", examples=[3600]
    )
    max_duration: Delay = Field(
        default=timedelta(),
        description="Fail if it is not done this long after its start; 0 is never",
        examples=["P1D"],
    )
    budget: BudgetIn = BudgetIn()
    priority: int = Field(default=0, ge=0, le=MAX_PRIORITY, description="Seconds of head start over waiting jobs")
    tags: list[Tag] = Field(default_factory=list[str], max_length=MAX_TAGS, examples=[["org_1"]])
    lane_key: LaneKey | None = Field(
        default=None, description="Short for lane_keys with the one kind `key`", examples=["ns_1"]
    )
    lane_keys: dict[LaneKey, LaneKey] = Field(
        default_factory=dict[str, str],
        max_length=MAX_LANE_KEYS,
        description="What the limits of the workflow's lane count the job as, by kind of key",
        examples=[{"organization": "org_1", "namespace": "ns_1"}],
    )
    mode: Literal["queue", "direct"] = Field(default="queue", description="direct: start at once, without the queue")
    tenant: Tenant | None = Field(
        default=None,
        description="Whose job it is: keys of other tenants do not learn that it exists; a tenant's own key says it"
        " by itself",
        examples=["org_1"],
    )

    @model_validator(mode="after")
    def _one_default_key(self) -> OptionsIn:
        if self.lane_key is not None and DEFAULT_KEY in self.lane_keys:
            raise ValueError(f"lane_key and lane_keys.{DEFAULT_KEY} are the same thing: give one")
        return self

    def to_options(self, *, idempotency_key: str | None, now_ms: int) -> JobOptions:
        """Return the engine's form of these options.

        Raises:
            ContradictionError: both a delay and a time.
        """
        policy = self.idempotency
        at_ms = ms_or_none(self.run_at)
        if at_ms is not None and self.delay:
            raise ContradictionError("run_at and delay are the same wish: give one")
        return JobOptions(
            idempotency_key=idempotency_key,
            idempotency_window_ms=0 if policy is None else _ms(policy.window),
            idempotency_on_ended="return" if policy is None else policy.on_ended,
            retention_ms=_ms(self.retention),
            delay_ms=_ms(self.delay) if at_ms is None else max(0, at_ms - now_ms),
            debounce_ms=_ms(self.debounce),
            debounce_max_ms=_ms(self.debounce_max),
            ttl_ms=_ms(self.ttl),
            max_duration_ms=_ms(self.max_duration),
            budget=self.budget.to_budget(),
            priority=self.priority,
            tags=tuple(dict.fromkeys(self.tags)),
            lane_keys=self.lane_keys if self.lane_key is None else {DEFAULT_KEY: self.lane_key, **self.lane_keys},
            mode=self.mode,
            tenant=self.tenant,
        )


class JobIn(Body):
    """Ask for a job."""

    workflow: str = Field(min_length=1, max_length=MAX_NAME_CHARS, examples=["diagnostic-echo"])
    payload: object = Field(
        default=None, description="What the workflow's payload model asks for", examples=[{"steps": 3}]
    )
    options: OptionsIn = OptionsIn()


class BatchIn(Body):
    """Ask for many jobs. Each item is judged by itself."""

    items: list[object] = Field(
        min_length=1,
        max_length=MAX_BATCH_JOBS,
        json_schema_extra={"items": {"$ref": "#/components/schemas/JobIn"}},
        examples=[[{"workflow": "diagnostic-echo", "payload": {"steps": number}} for number in (3, 5)]],
    )


class CancelIn(Body):
    """Say why a job is to stop."""

    reason: str = Field(default="", max_length=1000, examples=["The customer has left"])


class RetryIn(Body):
    """Where a retried job begins again: the failed steps unless told otherwise."""

    from_step: str | None = Field(default=None, min_length=1, max_length=2 * MAX_NAME_CHARS, examples=["load"])
    scratch: bool = Field(default=False, description="Forget every step")

    @model_validator(mode="after")
    def _one_of_them(self) -> RetryIn:
        if self.scratch and self.from_step is not None:
            raise ValueError("from_step and scratch exclude each other")
        return self


class ResumeIn(Body):
    """How a paused job goes on."""

    budget: BudgetIn | None = Field(default=None, description="Limits that it gets instead of those it has used up")


class Found(Body):
    """Base of a request for many things: those that ``ids`` name, or a page of those that ``filter`` finds."""

    ids: list[Annotated[str, Field(max_length=MAX_NAME_CHARS)]] | None = Field(
        default=None, min_length=1, max_length=MAX_BATCH_JOBS, description="Instead of a filter"
    )
    limit: int = Field(default=200, ge=1, le=MAX_BATCH_JOBS, description="How many one call does, with a filter")
    cursor: str | None = Field(default=None, max_length=MAX_CURSOR_CHARS, description="What the call before answered")


class JobFilterIn(Body):
    """Which jobs, as the catalog knows them. At least one member: there is no way to name all jobs by mistake."""

    workflow: str | None = Field(default=None, max_length=MAX_NAME_CHARS)
    status: JobStatus | None = Field(default=None, strict=False, description="Checked again by each job itself")
    tag: str | None = Field(default=None, max_length=MAX_TAG_CHARS)
    created_after: Time | None = None
    created_before: Time | None = None

    @model_validator(mode="after")
    def _some(self) -> JobFilterIn:
        if not self.model_dump(exclude_none=True):
            raise ValueError("a filter says something")
        return self


class BulkIn(Found):
    """An action on many jobs."""

    action: Literal["cancel", "pause", "resume", "retry", "delete"]
    filter: JobFilterIn | None = Field(
        default=None, description="Instead of ids", examples=[{"workflow": "re-ingest-job", "status": "queued"}]
    )
    reason: str = Field(default="", max_length=1000, description="Why they are cancelled")

    @model_validator(mode="after")
    def _one_of_them(self) -> BulkIn:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("either ids or filter")
        return self


class LetterFilterIn(Body):
    """Which dead letters; all that nobody has tried again when it is empty."""

    kind: Literal["job", "step", "message"] | None = None
    workflow: str | None = Field(default=None, max_length=MAX_NAME_CHARS)
    created_after: Time | None = None
    created_before: Time | None = None


class RedriveIn(Found):
    """Many dead letters."""

    filter: LetterFilterIn | None = Field(
        default=None, description="Instead of ids", examples=[{"kind": "job", "workflow": "re-ingest-job"}]
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> RedriveIn:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("either ids or filter")
        return self


class EventIn(Body):
    """An event for a job."""

    data: object = Field(default=None, description="What the workflow gets", examples=[{"approved": True}])
    id: str | None = Field(default=None, min_length=1, max_length=MAX_NAME_CHARS, description="Counts once")


class TokenIn(BaseModel):
    """What completes a token."""

    data: object = Field(default=None, description="What the workflow gets", examples=[{"status": 200}])


class TriggerIn(BaseModel):
    """The plan's producer call: the job's body, and the organization's plan, which gives the priority."""

    model_config = ConfigDict(strict=True)

    body: object = Field(examples=[{"jobId": "job_1", "organizationId": "org_1"}])
    plan: str | None = Field(default=None, max_length=64, examples=["pro"])
    tenant: Tenant | None = Field(default=None, description="As options.tenant of a job")


class TriggerManyIn(BaseModel):
    """Several calls in one: none is recorded when one of them is invalid."""

    model_config = ConfigDict(strict=True)

    items: list[object] = Field(
        min_length=1,
        max_length=MAX_BATCH_JOBS,
        description="The jobs' bodies, bare or each as {body, plan}",
        examples=[[{"organizationId": "org_1"}]],
    )
