"""What the API answers operators: dead letters, lanes, schedules, alerts, the catalog, keys, the audit log."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Workflow(msgspec.Struct, frozen=True):
    """A workflow that jobs may be of."""

    name: str
    version: int
    queue: str
    lane: str | None
    payload_schema: dict[str, object]


class Workflows(msgspec.Struct, frozen=True):
    """The workflows by name."""

    workflows: list[Workflow]


class DeadLetter(msgspec.Struct, frozen=True):
    """A job or message that gave up."""

    id: str
    kind: str
    job_id: str | None
    workflow: str | None
    cause: str
    at: datetime
    detail: object
    redriven_at: datetime | None


class DeadLetterPage(msgspec.Struct, frozen=True):
    """One page of dead letters, newest first."""

    dead_letters: list[DeadLetter]
    next_cursor: str | None
    incomplete: list[str] = []


class Redriven(msgspec.Struct, frozen=True):
    """A dead letter was tried again."""

    id: str
    job_id: str
    status: str


class Rate(msgspec.Struct, frozen=True):
    """A token bucket."""

    count: int
    per_ms: int
    burst: int


class KeyLimit(msgspec.Struct, frozen=True):
    """What holds for each value of a kind of key."""

    name: str
    concurrency: int | None
    rate: Rate | None


class Lane(msgspec.Struct, frozen=True):
    """A lane: its limits and how it stands."""

    name: str
    workflows: list[str]
    concurrency: int | None
    rate: Rate | None
    fair: bool
    limits: list[KeyLimit]
    paused: bool
    running: int
    waiting: int
    keys: dict[str, int]
    reasons: list[str]
    next_due_at: datetime | None


class Lanes(msgspec.Struct, frozen=True):
    """The lanes of the workflows, by name."""

    lanes: list[Lane]


class Shard(msgspec.Struct, frozen=True):
    """A shard of the catalog; ``complete`` tells whether it knows every job of its own."""

    name: str
    jobs: int
    complete: bool
    ledger: int
    skipped: int
    reads_on_at: datetime | None


class Catalog(msgspec.Struct, frozen=True):
    """The shards of the catalog."""

    shards: list[Shard]


class ScheduleSummary(msgspec.Struct, frozen=True):
    """A schedule as the list knows it, which may be a moment behind."""

    id: str
    workflow: str
    cron: str
    time_zone: str
    origin: str
    paused: bool
    tags: list[str]
    created_at: datetime
    updated_at: datetime
    next_at: datetime | None


class SchedulePage(msgspec.Struct, frozen=True):
    """One page of schedules, in the order of their ids."""

    schedules: list[ScheduleSummary]
    next_cursor: str | None


class ScheduleEvent(msgspec.Struct, frozen=True):
    """What became of one planned time, or of several in a row."""

    planned_at: datetime
    at: datetime
    outcome: str
    reason: str
    job_id: str | None
    count: int
    error: str | None


class Schedule(msgspec.Struct, frozen=True):
    """A schedule, exact at the moment of the answer."""

    id: str
    workflow: str
    payload: object
    time_field: str | None
    cron: str
    time_zone: str
    description: str
    overlap: str
    catch_up: str
    catch_up_ms: int | None
    tags: list[str]
    origin: str
    paused: bool
    created_at: datetime
    updated_at: datetime
    upcoming: list[datetime]
    waiting: int
    history: list[ScheduleEvent]
    tenant: str | None


class Backfill(msgspec.Struct, frozen=True):
    """What a backfill will run."""

    times: int
    first_at: datetime | None
    last_at: datetime | None


class Alert(msgspec.Struct, frozen=True):
    """One alert: a rule, and what it is about."""

    alert: str
    subject: str
    status: str
    value: float
    threshold: float
    detail: dict[str, float]
    since: datetime
    fired_at: datetime | None
    told_at: datetime | None
    resolved_at: datetime | None


class Undelivered(msgspec.Struct, frozen=True):
    """A notice that has not arrived."""

    id: str
    text: str
    at: datetime
    attempts: int
    error: str | None
    next_at: datetime | None
    given_up_at: datetime | None


class Alerts(msgspec.Struct, frozen=True):
    """The alerts, and what people have not been told."""

    evaluated_at: datetime | None
    missing: list[str]
    alerts: list[Alert]
    undelivered: list[Undelivered]
    silent_because: str | None


class CurrentKey(msgspec.Struct, frozen=True):
    """What the key of the request may do; ``root`` is the deployment's own."""

    id: str
    scopes: list[str]
    workflows: list[str] | None
    tenant: str | None


class ApiKey(msgspec.Struct, frozen=True):
    """A key, without what opens it."""

    id: str
    name: str
    scopes: list[str]
    workflows: list[str] | None
    tenant: str | None
    rate_per_s: int | None
    lane_keys: dict[str, str] | None
    max_priority: int | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None


class CreatedKey(msgspec.Struct, frozen=True):
    """A new key. ``key`` is what opens it, shown this once, and not by ``repr``."""

    id: str
    name: str
    scopes: list[str]
    workflows: list[str] | None
    tenant: str | None
    rate_per_s: int | None
    lane_keys: dict[str, str] | None
    max_priority: int | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    key: str

    def __repr__(self) -> str:
        return f"CreatedKey({self.id!r}, {self.name!r})"


class KeyPage(msgspec.Struct, frozen=True):
    """One page of keys, newest first."""

    keys: list[ApiKey]
    next_cursor: str | None


class AuditEntry(msgspec.Struct, frozen=True):
    """One control action; no status means that the request died on its way, the action done or not."""

    id: str
    at: datetime
    key_id: str
    operation: str
    target: str
    status: int | None
    request_id: str


class AuditPage(msgspec.Struct, frozen=True):
    """One page of the audit log, newest first."""

    entries: list[AuditEntry]
    next_cursor: str | None
