"""What callers send and get about schedules, as the OpenAPI document shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, cast

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from durable.http.answers import Cursor, JobId, Timestamp
from durable.http.models import Body, Tag, Tenant
from orchestrator.limits import (
    MAX_CRON_CHARS,
    MAX_DELAY_MS,
    MAX_NAME_CHARS,
    MAX_SCHEDULE_ID_CHARS,
    MAX_TAGS,
    SCHEDULE_CATCH_UP_MS,
    SCHEDULE_ON_TIME_MS,
)
from orchestrator.schedule import CatchUp, Overlap
from orchestrator.schedule_model import Origin, Outcome, Reason

#: Longest name of a time zone; the database's own are shorter.
MAX_ZONE_CHARS = 64


def _in_range(moment: datetime) -> datetime:
    if not 1971 <= moment.year <= 8999:
        raise ValueError("a time between the years 1971 and 8999 is expected")
    return moment


def _without_defaults(schema: dict[str, JsonValue]) -> None:
    """Leave out of a schema what stands for members that were not sent."""
    properties = cast("dict[str, dict[str, JsonValue]]", schema["properties"])
    for member in properties.values():
        member.pop("default", None)


Moment = Annotated[
    AwareDatetime,
    Field(strict=False, description="ISO 8601, with an offset or Z", examples=["2026-11-24T12:00:00Z"]),
    AfterValidator(_in_range),
]
Workflow = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS, examples=["diagnostic-echo"])]
CronText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_CRON_CHARS,
        description="Minute, hour, day of month, month, day of week (0 to 7; Sunday is 0 and 7)",
        examples=["0 12 * * *", "*/15 9-17 * * MON-FRI"],
    ),
]
TimeZone = Annotated[str, Field(min_length=1, max_length=MAX_ZONE_CHARS, examples=["Europe/Paris", "UTC"])]
TimeField = Annotated[
    str, Field(min_length=1, max_length=MAX_NAME_CHARS, description="The payload's member that gets the planned time")
]
OverlapText = Annotated[
    Overlap,
    Field(
        description="What becomes of a time that comes while an earlier job runs: skip drops it, buffer_one keeps one "
        "until that job has ended, allow runs it beside, cancel_other cancels that job first"
    ),
]
CatchUpText = Annotated[CatchUp, Field(description="Which missed times are run later")]
CatchUpMs = Annotated[
    int,
    Field(
        ge=SCHEDULE_ON_TIME_MS,
        le=MAX_DELAY_MS,
        description=f"Times missed by more than this are given up; {SCHEDULE_CATCH_UP_MS} when null",
    ),
]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS - 1, examples=[["org_1"]])]


class ScheduleIn(Body):
    """Ask for a schedule."""

    id: str | None = Field(
        default=None,
        pattern=rf"^[A-Za-z0-9][A-Za-z0-9._:-]{{0,{MAX_SCHEDULE_ID_CHARS - 1}}}$",
        description="Its name; one is made when there is none",
        examples=["org_1:nightly"],
    )
    workflow: Workflow
    payload: object = Field(default_factory=dict[str, object], description="What every job gets")
    time_field: TimeField | None = None
    cron: CronText
    time_zone: TimeZone = "UTC"
    overlap: OverlapText = "skip"
    catch_up: CatchUpText = "latest"
    catch_up_ms: CatchUpMs | None = None
    tags: Tags = Field(default_factory=list[str])
    tenant: Tenant | None = Field(default=None, description="Whose its jobs are", examples=["org_1"])
    paused: bool = Field(default=False, description="Whether it begins paused")


class ScheduleChangeIn(Body):
    """Change a schedule: the members that are sent replace what it says; the others stay."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    workflow: Workflow = Field(default="")
    payload: object = None
    time_field: TimeField | None = None
    cron: CronText = Field(default="")
    time_zone: TimeZone = Field(default="")
    overlap: OverlapText = Field(default="skip")
    catch_up: CatchUpText = Field(default="latest")
    catch_up_ms: CatchUpMs | None = None
    tags: Tags = Field(default_factory=list[str])
    tenant: Tenant | None = None


class BackfillIn(Body):
    """Run past times: those from ``from`` to ``to``, both included."""

    from_: Moment = Field(alias="from")
    to: Moment


class ScheduleSummaryOut(BaseModel):
    """A schedule as the list knows it, which may be a moment behind."""

    id: Annotated[str, Field(examples=["org_1:nightly"])]
    workflow: Workflow
    cron: CronText
    time_zone: TimeZone
    origin: Origin = Field(description="api: made by a caller; code: declared beside a workflow")
    paused: bool
    tags: Tags
    created_at: Timestamp
    updated_at: Timestamp
    next_at: Timestamp | None = Field(description="The next planned time; null while it is paused")


class SchedulesOut(BaseModel):
    """One page of schedules, in the order of their ids."""

    schedules: list[ScheduleSummaryOut]
    next_cursor: Cursor | None


class ScheduleEventOut(BaseModel):
    """What became of one planned time, or of several in a row."""

    planned_at: Timestamp = Field(description="The planned time; the last of them if there are several")
    at: Timestamp
    outcome: Outcome
    reason: Reason
    job_id: JobId | None
    count: int
    error: str | None = Field(examples=[None])


class ScheduleOut(BaseModel):
    """A schedule, exact at the moment of the answer."""

    id: Annotated[str, Field(examples=["org_1:nightly"])]
    workflow: Workflow
    payload: object
    time_field: str | None = Field(examples=[None])
    cron: CronText
    time_zone: TimeZone
    description: str = Field(description="The expression in words", examples=["At 12:00 every day"])
    overlap: Overlap
    catch_up: CatchUp
    catch_up_ms: int | None
    tags: Tags
    tenant: str | None = Field(description="Whose its jobs are", examples=["org_1"])
    origin: Origin = Field(description="api: made by a caller; code: declared beside a workflow")
    paused: bool
    created_at: Timestamp
    updated_at: Timestamp
    upcoming: list[Timestamp] = Field(description="The planned times ahead; none while it is paused")
    waiting: int = Field(description="Starts that wait: for a job to end, or for their turn")
    history: list[ScheduleEventOut] = Field(description="What became of the planned times, the last first")


class BackfillOut(BaseModel):
    """What a backfill will run."""

    times: int = Field(description="Planned times found; those that were run before are not run again")
    first_at: Timestamp | None
    last_at: Timestamp | None
