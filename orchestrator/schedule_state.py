"""A schedule in its object: the row, what it means for the alarm, and what others see of it."""

from __future__ import annotations

from itertools import islice

from orchestrator.errors import UnknownScheduleError
from orchestrator.limits import MAX_SCHEDULE_BACKLOG, SCHEDULE_UPCOMING
from orchestrator.ports import Clock, Sql
from orchestrator.schedule_journal import ScheduleJournal
from orchestrator.schedule_model import ScheduleRow, ScheduleSummary, ScheduleView

#: Later than every planned time.
_END_OF_TIME_MS = 10**15


class ScheduleState:
    """What one object knows of its schedule. Nothing but its name is kept in memory.

    Args:
        sql: the object's SQLite.
        clock: the wall clock.
    """

    def __init__(self, sql: Sql, clock: Clock) -> None:
        self.journal = ScheduleJournal(sql)
        self._clock = clock
        self._name: str | None = None

    @property
    def job_id(self) -> str | None:
        """Whose alarm it is, as far as this incarnation knows; for log lines."""
        return self._name

    def load(self) -> ScheduleRow | None:
        """Return the schedule in whatever state, or None when there is none."""
        row = self.journal.load()
        self._name = None if row is None else f"schedule:{row.schedule.id}"
        return row

    def live(self) -> ScheduleRow | None:
        """Return the schedule unless it was deleted or retired."""
        row = self.load()
        return row if row is not None and row.state == "live" else None

    def known(self) -> ScheduleRow:
        """Return the schedule.

        Raises:
            UnknownScheduleError: there is none, or it was deleted or retired.
        """
        row = self.live()
        if row is None:
            raise UnknownScheduleError
        return row

    def change(self, row: ScheduleRow) -> None:
        """Store a change that the index shows, and have it told."""
        now_ms = self._clock.now_ms()
        row.revision += 1
        row.publish_ms = now_ms
        row.publish_tries = 0
        self.journal.store(row)

    def next_due_ms(self) -> int | None:
        """Return when the schedule needs its next tick."""
        row = self.load()
        if row is None:
            return None
        times = [self.next_work_ms(row), row.publish_ms if row.published < row.revision else None]
        return min((at_ms for at_ms in times if at_ms is not None), default=None)

    def next_work_ms(self, row: ScheduleRow) -> int | None:
        """Return when there is something to decide or to start."""
        if row.state != "live":
            return None
        return min((at_ms for at_ms in (row.work_ms, self.next_planned_ms(row)) if at_ms is not None), default=None)

    def next_planned_ms(self, row: ScheduleRow) -> int | None:
        """Return the first planned time that is not decided."""
        if row.paused:
            return None
        if row.schedule.catch_up == "all" and self.journal.count_waiting() >= MAX_SCHEDULE_BACKLOG:
            return None  # decided when there is room again
        return row.schedule.times.next_after(row.decided_ms)

    def view(self, row: ScheduleRow) -> ScheduleView:
        """Return the schedule as callers see it."""
        schedule = row.schedule
        ahead = islice(schedule.times.between(self._clock.now_ms(), _END_OF_TIME_MS), SCHEDULE_UPCOMING)
        return ScheduleView(
            id=schedule.id,
            workflow=schedule.workflow,
            payload=schedule.payload,
            time_field=schedule.time_field,
            cron=schedule.cron,
            time_zone=schedule.time_zone,
            description=schedule.times.describe(),
            overlap=schedule.overlap,
            catch_up=schedule.catch_up,
            catch_up_ms=schedule.catch_up_ms,
            tags=schedule.tags,
            tenant=schedule.tenant,
            origin=row.origin,
            paused=row.paused,
            created_at_ms=row.created_at_ms,
            updated_at_ms=row.updated_at_ms,
            upcoming=() if row.paused else tuple(ahead),
            waiting=self.journal.count_waiting(),
            history=tuple(self.journal.history()),
        )

    def summary(self, row: ScheduleRow) -> ScheduleSummary:
        """Return what the index is to know."""
        schedule = row.schedule
        return ScheduleSummary(
            id=schedule.id,
            workflow=schedule.workflow,
            cron=schedule.cron,
            time_zone=schedule.time_zone,
            origin=row.origin,
            paused=row.paused,
            tags=schedule.tags,
            created_at_ms=row.created_at_ms,
            updated_at_ms=row.updated_at_ms,
            next_at_ms=None if row.paused else schedule.times.next_after(self._clock.now_ms()),
            due_at_ms=self.next_work_ms(row),
            fingerprint=schedule.fingerprint(),
            revision=row.revision,
            gone=row.state != "live",
        )
