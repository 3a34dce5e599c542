"""The engine of one schedule: what its Durable Object does when it is called or its alarm fires.

Calls change what is stored and re-arm the alarm in one group of synchronous writes; work happens in ticks.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

import msgspec

from orchestrator.errors import ConflictError, ContradictionError, InvalidRequestError, RequestError, RetryableError
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import MAX_SCHEDULE_BACKLOG
from orchestrator.logs import describe
from orchestrator.model import Created
from orchestrator.schedule import Schedule, check, due_times
from orchestrator.schedule_model import (
    Backfilled,
    CreatedSchedule,
    Origin,
    ScheduleRow,
    ScheduleStatus,
    ScheduleView,
    WaitingStart,
)
from orchestrator.schedule_ports import SchedulePlatform
from orchestrator.schedule_state import ScheduleState
from orchestrator.schedule_ticker import ScheduleTicker, planned_start
from orchestrator.wakeup import Wakeup
from orchestrator.workflow import Registry

#: What a caller of the API may change.
CHANGEABLE = frozenset(Schedule.__struct_fields__) - {"id", "paused"}


class ScheduleEngine:
    """One schedule, from its creation to its deletion.

    Args:
        platform: the ports.
        registry: the workflows known.
    """

    def __init__(self, platform: SchedulePlatform, registry: Registry) -> None:
        self._platform = platform
        self._registry = registry
        self._state = ScheduleState(platform.sql, platform.clock)
        self._journal = self._state.journal
        self._wakeup = Wakeup(platform, self._state)
        #: Whoever looks after the schedule calls this first.
        self.look = self._wakeup.look
        self._ticker = ScheduleTicker(platform, registry, self._state, self._wakeup)

    # -- what it is --------------------------------------------------------------------------------------------------

    def create(self, schedule: Schedule) -> CreatedSchedule:
        """Record a schedule of the API, once.

        Raises:
            RequestError: see :func:`orchestrator.schedule.check`.
            ConflictError: another schedule has this id (code ``schedule_exists``).
        """
        row = self._state.live()
        if row is not None:
            if row.origin == "api" and row.schedule == schedule:
                return CreatedSchedule(self._state.view(row), deduplicated=True)
            raise ConflictError(f"There is another schedule {schedule.id}", code="schedule_exists")
        return CreatedSchedule(self._state.view(self._insert(schedule, "api")), deduplicated=False)

    def declare(self, schedule: Schedule) -> None:
        """Record a schedule of the code, or bring it up to date. Whether it is paused stays as callers have set it.

        Raises:
            RequestError: see :func:`orchestrator.schedule.check`.
        """
        row = self._state.load()
        if row is None or row.state == "deleted":
            self._insert(schedule, "code")
        elif (row.state, row.origin, row.schedule) != ("live", "code", schedule):
            check(schedule, self._registry, self._now_ms())
            row.origin, row.state = "code", "live"
            self._replace(row, schedule)

    def update(self, changes: Mapping[str, object]) -> ScheduleView:
        """Change what a schedule of the API says.

        Raises:
            UnknownScheduleError: there is none.
            ConflictError: it belongs to the code (code ``declared_in_code``).
            RequestError: see :func:`orchestrator.schedule.check`.
        """
        row = self._of_api()
        unknown = sorted(changes.keys() - CHANGEABLE)
        if unknown:
            raise InvalidRequestError(f"A schedule's {unknown[0][:40]} cannot be changed")
        members = {name: getattr(row.schedule, name) for name in Schedule.__struct_fields__}
        try:
            schedule = msgspec.convert({**members, **changes}, Schedule)
        except msgspec.ValidationError as error:
            raise InvalidRequestError(f"The change does not fit: {error}") from None
        if schedule != row.schedule:
            check(schedule, self._registry, self._now_ms())
            self._replace(row, schedule)
        return self._state.view(row)

    def delete(self) -> None:
        """Forget a schedule of the API. Its jobs go on.

        Raises:
            UnknownScheduleError: there is none.
            ConflictError: it belongs to the code (code ``declared_in_code``).
        """
        self._leave(self._of_api(), "deleted")

    def retire(self) -> None:
        """Stop a schedule that the code no longer declares; it goes on from here if it is declared again."""
        row = self._state.live()
        if row is not None and row.origin == "code":
            self._leave(row, "retired")

    def view(self) -> ScheduleView:
        """Return the schedule as callers see it.

        Raises:
            UnknownScheduleError: there is none.
        """
        return self._state.view(self._state.known())

    # -- control -----------------------------------------------------------------------------------------------------

    def pause(self) -> ScheduleView:
        """Let planned times pass. Starts that nobody asked for by hand are dropped.

        Raises:
            UnknownScheduleError: there is none.
        """
        row = self._state.known()
        if not row.paused:
            row.paused = True
            self._journal.drop_planned()
            self._touch(row)
        return self._state.view(row)

    def resume(self) -> ScheduleView:
        """Go on with the next planned time; those that passed meanwhile are not caught up.

        Raises:
            UnknownScheduleError: there is none.
        """
        row = self._state.known()
        if row.paused:
            row.paused = False
            row.decided_ms = self._now_ms()
            self._touch(row)
        return self._state.view(row)

    def backfill(self, from_ms: int, to_ms: int) -> Backfilled:
        """Run the planned times in ``[from_ms, to_ms]``: one after the other, or all at once if overlap allows.

        A time that was run before has its job already, which is not run again.

        Raises:
            UnknownScheduleError: there is none.
            ContradictionError: the range is empty, or reaches into the future.
            InvalidRequestError: it has too many planned times (code ``too_many_times``).
            ConflictError: too many starts wait already (code ``backlog_full``).
        """
        row = self._state.known()
        if from_ms > to_ms:
            raise ContradictionError("A backfill begins before it ends")
        if to_ms > self._now_ms():
            raise ContradictionError("A backfill runs past times; the others run by themselves")
        times = list(islice(row.schedule.times.between(from_ms - 1, to_ms), MAX_SCHEDULE_BACKLOG + 1))
        if len(times) > MAX_SCHEDULE_BACKLOG:
            raise InvalidRequestError(
                f"There are more than {MAX_SCHEDULE_BACKLOG} planned times; backfill a part", code="too_many_times"
            )
        if len(times) + self._journal.count_waiting() > MAX_SCHEDULE_BACKLOG:
            raise ConflictError("Too many starts wait already; come back later", code="backlog_full")
        self._journal.add_waiting([planned_start(row, at_ms, "backfill", backlog=True) for at_ms in times])
        if times:
            self._work_now(row)
        return Backfilled(len(times), times[0] if times else None, times[-1] if times else None)

    async def run_now(self, key: str) -> Created:
        """Start a job at once, whatever else runs and also while the schedule is paused. One key is one job.

        Raises:
            UnknownScheduleError: there is none.
            RequestError: the workflow is gone, or no longer takes the payload.
        """
        row = self._state.known()
        job_id = row.schedule.derived_id("run", key)
        start = WaitingStart(job_id=job_id, planned_ms=self._now_ms(), reason="manual", backlog=False)
        # Recorded first: if the call below dies, the next tick makes the job.
        self._journal.add_waiting([start])
        self._work_now(row)
        try:
            return await self._ticker.start(row, start)
        except RequestError:
            raise
        except Exception as error:
            fields = {"schedule": row.schedule.id, "job_id": job_id, "error": describe(error)}
            self._platform.log("warning", "schedule.run_postponed", fields)
            return Created(job_id, JobStatus.QUEUED, deduplicated=False)

    # -- wake-up -----------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Re-arm from what is stored: heals a lost alarm."""
        self._wakeup.rearm()

    async def publish(self) -> None:
        """Tell the index at once what a call has changed; a failure is tried again by the alarm."""
        await self._ticker.publish()
        self._wakeup.rearm()

    async def enlist(self) -> None:
        """Tell the index of a schedule that it would not look after otherwise, if its alarm were lost.

        Raises:
            RetryableError: the index does not answer; whoever has called is to call again.
        """
        await self.publish()
        row = self._state.live()
        if row is not None and row.published < row.revision:
            raise RetryableError("The list of schedules does not answer", code="object_unreachable")

    async def tick(self) -> None:
        """Do what is due. Called by the alarm; never raises, so that the runtime never drops the alarm."""
        self._wakeup.fired()
        if self._wakeup.ticking:
            return
        self._wakeup.ticking = True
        failed = idle = False
        try:
            idle = not await self._ticker.tick()
        except Exception as error:  # the platform's: storage reset, lost connection, or a bug of ours
            failed = True
            fields = {"schedule": self._state.job_id, "error": describe(error)}
            self._platform.log("error", "schedule.tick_failed", fields)
        finally:
            self._wakeup.ticking = False
        try:
            self._wakeup.after_tick(failed=failed, idle=idle)
        except Exception as error:
            self._platform.log("error", "schedule.rearm_failed", {"error": describe(error)})

    # -- parts -------------------------------------------------------------------------------------------------------

    def _insert(self, schedule: Schedule, origin: Origin) -> ScheduleRow:
        now_ms = self._now_ms()
        check(schedule, self._registry, now_ms)
        older = self._state.load()
        self._journal.migrate()
        self._journal.wipe()
        row = ScheduleRow(
            schedule=schedule,
            origin=origin,
            state="live",
            paused=schedule.paused,
            created_at_ms=now_ms,
            updated_at_ms=now_ms,
            decided_ms=now_ms,
            revision=0 if older is None else older.revision,  # the index must not take the new one for older
            publish_ms=now_ms,
        )
        self._touch(row)
        return row

    def _replace(self, row: ScheduleRow, schedule: Schedule) -> None:
        """Go over to a changed schedule. Times that came before, by the old one, and wait for their tick, are run."""
        now_ms = self._now_ms()
        if (schedule.cron, schedule.time_zone) != (row.schedule.cron, row.schedule.time_zone):
            room = MAX_SCHEDULE_BACKLOG - self._journal.count_waiting()
            due = None if row.paused else due_times(row.schedule, row.decided_ms, now_ms, room)
            if due is not None and due.missed_ms is not None:
                self._journal.add_not_started("missed", "scheduled", due.missed_ms, now_ms, count=due.missed)
            if due is not None and due.times:
                starts = [planned_start(row, at_ms, "scheduled", backlog=True) for at_ms in due.times]
                self._journal.add_waiting(starts)
                row.work_ms = now_ms
            row.decided_ms = now_ms
        row.schedule = schedule
        self._touch(row)

    def _leave(self, row: ScheduleRow, state: ScheduleStatus) -> None:
        row.state = state
        row.work_ms = None
        self._journal.drop_waiting()
        self._touch(row)

    def _of_api(self) -> ScheduleRow:
        row = self._state.known()
        if row.origin == "code":
            raise ConflictError(
                "The schedule belongs to a module of the code: change it there; pausing it is possible here",
                code="declared_in_code",
            )
        return row

    def _work_now(self, row: ScheduleRow) -> None:
        row.work_ms, row.polls = self._now_ms(), 0
        self._state.change(row)
        self._wakeup.rearm()

    def _touch(self, row: ScheduleRow) -> None:
        row.updated_at_ms = self._now_ms()
        self._state.change(row)
        self._wakeup.rearm()

    def _now_ms(self) -> int:
        return self._platform.clock.now_ms()
