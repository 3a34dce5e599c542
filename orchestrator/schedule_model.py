"""Values of a schedule's object: what it stores, what it answers, what it tells the index."""

from __future__ import annotations

from typing import Literal

import msgspec

from orchestrator.schedule import CatchUp, Overlap, Schedule

#: Who says what the schedule is: a caller of the API, or a module of the code.
Origin = Literal["api", "code"]
#: ``retired``: its declaration has left the code, and it continues if it comes back. ``deleted``: it is forgotten as
#: soon as the index knows.
ScheduleStatus = Literal["live", "retired", "deleted"]
#: Why a job was started: its time came, its time was missed, somebody asked for past times, or for one now.
Reason = Literal["scheduled", "catch_up", "backfill", "manual"]
Outcome = Literal["started", "skipped", "missed", "refused"]


class ScheduleRow(msgspec.Struct, kw_only=True):
    """The one row of a schedule in its own object. Mutable: read again after every await."""

    schedule: Schedule
    origin: Origin
    state: ScheduleStatus
    paused: bool
    created_at_ms: int
    updated_at_ms: int
    #: Up to here it is decided what becomes of each planned time.
    decided_ms: int
    #: When the starts that wait are to be looked at.
    work_ms: int | None = None
    #: How often they were looked at in vain.
    polls: int = 0
    #: Raised with every change that the index shows.
    revision: int
    #: The revision that the index has.
    published: int = 0
    #: When to tell the index, and how often that failed.
    publish_ms: int
    publish_tries: int = 0


class WaitingStart(msgspec.Struct, frozen=True, kw_only=True):
    """A job that is to be started. One of the backlog waits for its turn; another one for its overlap policy."""

    job_id: str
    planned_ms: int
    reason: Reason
    backlog: bool


class ScheduleEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a schedule's history: what became of one planned time, or of several in a row."""

    planned_ms: int
    at_ms: int
    outcome: Outcome
    reason: Reason
    job_id: str | None
    #: How many planned times this line is about; ``planned_ms`` is the last.
    count: int
    error: str | None


class ScheduleView(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as callers see it: exact, from its own object."""

    id: str
    workflow: str
    payload: object
    time_field: str | None
    cron: str
    time_zone: str
    description: str
    overlap: Overlap
    catch_up: CatchUp
    catch_up_ms: int | None
    tags: tuple[str, ...]
    tenant: str | None = None
    origin: Origin
    paused: bool
    created_at_ms: int
    updated_at_ms: int
    #: The planned times ahead; none while it is paused.
    upcoming: tuple[int, ...]
    #: Starts that wait.
    waiting: int
    #: The last first.
    history: tuple[ScheduleEvent, ...]


class CreatedSchedule(msgspec.Struct, frozen=True):
    """The schedule is recorded; ``deduplicated`` when it already was, just so."""

    view: ScheduleView
    deduplicated: bool


class Backfilled(msgspec.Struct, frozen=True):
    """How many planned times a backfill has found."""

    times: int
    first_ms: int | None
    last_ms: int | None


class ScheduleSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What the index knows of a schedule."""

    id: str
    workflow: str
    cron: str
    time_zone: str
    origin: Origin
    paused: bool
    tags: tuple[str, ...]
    created_at_ms: int
    updated_at_ms: int
    next_at_ms: int | None
    #: When the schedule means to act next; the platform's tick pokes those long past it.
    due_at_ms: int | None
    fingerprint: str
    revision: int
    #: Whether the index is to forget it.
    gone: bool
