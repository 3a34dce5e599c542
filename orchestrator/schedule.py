"""Schedules: what one says, when it is refused, and which planned times are to be run. Pure.

``Schedule`` is what workflow authors declare in their modules, beside their workflows, and what the API stores.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
import re
from datetime import UTC, datetime
from itertools import islice
from types import ModuleType
from typing import Literal, cast

import msgspec

from orchestrator.cron import Cron, cron
from orchestrator.errors import ContradictionError, DefinitionError, InvalidRequestError
from orchestrator.ids import derived_job_id
from orchestrator.limits import (
    MAX_DELAY_MS,
    MAX_SCHEDULE_BACKLOG,
    MAX_SCHEDULE_ID_CHARS,
    MAX_TAG_CHARS,
    MAX_TAGS,
    SCHEDULE_CATCH_UP_MS,
    SCHEDULE_ON_TIME_MS,
)
from orchestrator.workflow import Registry

#: What happens to a planned time that comes while an earlier job of the schedule has not ended.
Overlap = Literal["skip", "buffer_one", "allow", "cancel_other"]
#: Which of the planned times that nobody could run in time are run later.
CatchUp = Literal["all", "latest", "none"]

_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._:-]{{0,{MAX_SCHEDULE_ID_CHARS - 1}}}")
TAG_PREFIX = "schedule:"


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """When to run a workflow, and with what.

    Attributes:
        id: its name; the ids of its jobs are made of it and their planned times.
        workflow: the workflow's name.
        cron: five fields; weekdays count as on Unix, from Sunday, 0 or 7.
        time_zone: a name of the IANA database.
        payload: what every job gets.
        time_field: the payload's member that receives the planned time, ISO 8601 in UTC.
        overlap: ``skip`` drops a time that comes while an earlier job runs, ``buffer_one`` keeps one until that job
            has ended, ``allow`` runs it beside, ``cancel_other`` cancels that job first.
        catch_up: of missed times run ``all``, the ``latest``, or ``none``.
        catch_up_ms: times missed by more than this are given up; a day when None.
        tags: of every job, beside ``schedule:<id>``.
        tenant: whose its jobs are.
        paused: whether it begins paused.
    """

    id: str
    workflow: str
    cron: str
    time_zone: str = "UTC"
    payload: object = msgspec.field(default_factory=dict[str, object])
    time_field: str | None = None
    overlap: Overlap = "skip"
    catch_up: CatchUp = "latest"
    catch_up_ms: int | None = None
    tags: tuple[str, ...] = ()
    tenant: str | None = None
    paused: bool = False

    @property
    def times(self) -> Cron:
        """The planned times."""
        return cron(self.cron, self.time_zone)

    @property
    def window_ms(self) -> int:
        """How late a planned time may be run."""
        if self.catch_up == "none":
            return SCHEDULE_ON_TIME_MS
        return SCHEDULE_CATCH_UP_MS if self.catch_up_ms is None else self.catch_up_ms

    @property
    def job_tags(self) -> tuple[str, ...]:
        """The tags of its jobs."""
        return (*self.tags, TAG_PREFIX + self.id)

    def job_id(self, planned_ms: int) -> str:
        """Return the id of the job of a planned time: however often a tick comes, it is one job."""
        return self.derived_id(str(planned_ms))

    def derived_id(self, *parts: str) -> str:
        """Return the id of one of its jobs. Another tenant's jobs are others."""
        return derived_job_id("schedule", self.id, *parts, *([] if self.tenant is None else [self.tenant]))

    def payload_at(self, planned_ms: int) -> object:
        """Return the payload of the job of a planned time."""
        if self.time_field is None:
            return self.payload
        return {**cast("dict[str, object]", self.payload), self.time_field: _iso(planned_ms)}

    def fingerprint(self) -> str:
        """Return what changes when the declaration changes."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:16]


class Due(msgspec.Struct, frozen=True):
    """What has become of the planned times up to now."""

    #: To be run, in order.
    times: tuple[int, ...]
    #: Given up: how many, at most :data:`MAX_SCHEDULE_BACKLOG` of them counted, and the last of them.
    missed: int
    missed_ms: int | None
    #: Up to here everything is decided.
    decided_ms: int


def due_times(schedule: Schedule, after_ms: int, now_ms: int, room: int) -> Due | None:
    """Return what is to be done about the planned times in ``(after_ms, now_ms]``, or None when there are none.

    Args:
        schedule: the schedule.
        after_ms: up to here everything is decided.
        now_ms: the time now.
        room: how many times may be taken. ``all`` takes the others later; the other policies give up theirs.
    """
    if schedule.catch_up == "all" and room <= 0:
        return None
    times = schedule.times
    first = times.next_after(after_ms)
    if first is None or first > now_ms:
        return None
    window_starts_ms = max(after_ms, now_ms - schedule.window_ms - 1)
    if schedule.catch_up == "all":
        found = tuple(islice(times.between(window_starts_ms, now_ms), room))
        decided_ms = found[-1] if found and len(found) == room else now_ms
        given_up_until_ms = window_starts_ms
    else:
        latest = times.latest(window_starts_ms, now_ms) if room > 0 else None
        found = () if latest is None else (latest,)
        decided_ms = now_ms
        given_up_until_ms = now_ms if latest is None else latest - 1
    missed = list(islice(times.between(after_ms, given_up_until_ms), MAX_SCHEDULE_BACKLOG))
    missed_ms = times.latest(after_ms, given_up_until_ms) if missed else None
    return Due(found, len(missed), missed_ms, decided_ms)


def check(schedule: Schedule, registry: Registry, now_ms: int) -> None:
    """Refuse a schedule that could not do what it says.

    Raises:
        InvalidRequestError: its id, tags or window are out of bounds.
        InvalidCronError: the expression is malformed, or no date fits it.
        UnknownTimeZoneError: there is no such time zone.
        ContradictionError: two of its options exclude each other.
        UnknownWorkflowError: the workflow is not registered.
        InvalidPayloadError: the payload does not fit the workflow's model.
    """
    if not is_schedule_id(schedule.id):
        raise InvalidRequestError(
            f"A schedule id has 1 to {MAX_SCHEDULE_ID_CHARS} letters, digits and . _ : - and begins with one of the "
            f"first two; got {schedule.id[:40]!r}"
        )
    for tag in schedule.tags:
        if not tag or len(tag) > MAX_TAG_CHARS or not tag.isprintable():
            raise InvalidRequestError(f"A tag has 1 to {MAX_TAG_CHARS} printable characters; got {tag[:40]!r}")
    if len(schedule.tags) >= MAX_TAGS:
        raise InvalidRequestError(f"A schedule has at most {MAX_TAGS - 1} tags, since its jobs get one more")
    _check_catch_up(schedule, schedule.times, now_ms)
    _check_time_field(schedule)
    registry.get(schedule.workflow).parse(schedule.payload_at(now_ms))


def is_schedule_id(text: str) -> bool:
    """Tell whether a schedule may be called so."""
    return _ID.fullmatch(text) is not None


def discover_schedules(package: ModuleType) -> tuple[Schedule, ...]:
    """Import every module of a package and collect the schedules they declare.

    Raises:
        DefinitionError: two of them have one id.
    """
    found: dict[str, Schedule] = {}
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        for item in vars(importlib.import_module(info.name)).values():
            if isinstance(item, Schedule) and found.setdefault(item.id, item) is not item:
                raise DefinitionError(f"Two schedules are named {item.id!r}")
    return tuple(found.values())


def _check_catch_up(schedule: Schedule, times: Cron, now_ms: int) -> None:
    window_ms = schedule.catch_up_ms
    if schedule.catch_up == "none" and window_ms is not None:
        raise ContradictionError("catch_up none runs no missed time, so catch_up_ms has nothing to bound")
    if window_ms is not None and not SCHEDULE_ON_TIME_MS <= window_ms <= MAX_DELAY_MS:
        raise InvalidRequestError(f"catch_up_ms is between {SCHEDULE_ON_TIME_MS} and {MAX_DELAY_MS}")
    if schedule.catch_up == "all":
        ahead = islice(times.between(now_ms, now_ms + schedule.window_ms), MAX_SCHEDULE_BACKLOG + 1)
        if sum(1 for _ in ahead) > MAX_SCHEDULE_BACKLOG:
            raise ContradictionError(
                f"catch_up all could start more than {MAX_SCHEDULE_BACKLOG} jobs at once: "
                "shorten catch_up_ms, or let catch_up be latest"
            )


def _check_time_field(schedule: Schedule) -> None:
    if schedule.time_field is None:
        return
    payload = schedule.payload
    if not isinstance(payload, dict):
        raise ContradictionError("time_field needs a payload that is an object")
    if schedule.time_field in cast("dict[str, object]", payload):
        raise ContradictionError(f"The payload already has a member {schedule.time_field[:80]!r}")


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{at_ms % 1000:03}Z"
