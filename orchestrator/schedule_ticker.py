"""What a schedule does when its alarm fires: decide about planned times, start jobs, tell the index.

The row is read again after every await: callers may have changed it meanwhile. A start is deleted only after its job is
recorded, and a job's id is made of its planned time, so a tick that dies, or comes twice, changes nothing.
"""

from __future__ import annotations

from orchestrator.errors import ConflictError, OrchestratorError, RequestError, RetryableError, UnknownJobError
from orchestrator.lifecycle import TERMINAL, JobStatus
from orchestrator.limits import (
    MAX_SCHEDULE_BACKLOG,
    OUTBOX_RETRY_MAX_MS,
    OUTBOX_RETRY_MS,
    SCHEDULE_ON_TIME_MS,
    SCHEDULE_POLL_MAX_MS,
    SCHEDULE_POLL_MS,
    SCHEDULE_STARTS_PER_TICK,
    WATCHDOG_MS,
)
from orchestrator.logs import describe
from orchestrator.model import Created, CreateJob, JobOptions
from orchestrator.schedule import due_times
from orchestrator.schedule_model import Reason, ScheduleRow, WaitingStart
from orchestrator.schedule_ports import SchedulePlatform
from orchestrator.schedule_state import ScheduleState
from orchestrator.wakeup import Wakeup
from orchestrator.workflow import Registry


class ScheduleTicker:
    """The ticks of one schedule.

    Args:
        platform: the ports.
        registry: the workflows known.
        state: the schedule.
        wakeup: its alarm.
    """

    def __init__(self, platform: SchedulePlatform, registry: Registry, state: ScheduleState, wakeup: Wakeup) -> None:
        self._platform = platform
        self._registry = registry
        self._state = state
        self._journal = state.journal
        self._wakeup = wakeup

    async def tick(self) -> bool:
        """Do what is due; tell whether anything was."""
        now_ms = self._platform.clock.now_ms()
        row = self._state.load()
        due_ms = self._state.next_due_ms()
        if row is None or due_ms is None or due_ms > now_ms:
            return False
        self._wakeup.watchdog(now_ms + WATCHDOG_MS)
        work_ms = self._state.next_work_ms(row)
        if work_ms is not None and work_ms <= now_ms:
            await self._work(row)
        await self.publish()
        return True

    async def start(self, row: ScheduleRow, start: WaitingStart) -> Created:
        """Start a job that waits to be started. Only a refusal that repeating cannot mend gives it up.

        Raises:
            RequestError: the workflow is gone, or no longer takes the payload.
        """
        schedule = row.schedule
        request = CreateJob(
            job_id=start.job_id,
            workflow=schedule.workflow,
            payload=schedule.payload_at(start.planned_ms),
            options=JobOptions(tags=schedule.job_tags, tenant=schedule.tenant),
        )
        try:
            # First: a start that gives way to a later one after this has made its job sends no message to it.
            await self._platform.jobs.expect([start.job_id])
            created = await self._platform.jobs.create(request)
        except RequestError as error:
            if self._state.live() is not None:
                self._journal.remove_waiting(start.job_id)
                cause = f"{error.error_code}: {error}"[:300]
                at_ms = self._platform.clock.now_ms()
                self._journal.add_not_started("refused", start.reason, start.planned_ms, at_ms, error=cause)
            self._log("error", "schedule.refused", row, error=error.error_code)
            raise
        if created.status is JobStatus.QUEUED:
            await self._platform.jobs.enqueue(self._registry.get(schedule.workflow).options.queue, [created.id])
        if self._state.live() is not None:
            self._journal.remove_waiting(start.job_id)
            self._journal.add_started(start, self._platform.clock.now_ms())
        return created

    async def publish(self) -> bool:
        """Tell the index what it does not know; tell whether there was anything. A failure is tried again later."""
        row = self._state.load()
        now_ms = self._platform.clock.now_ms()
        if row is None or row.published >= row.revision or row.publish_ms > now_ms:
            return False
        revision = row.revision
        error: Exception | None = None
        try:
            await self._platform.index.publish(self._state.summary(row))
        except Exception as failure:
            error = failure
        row = self._state.load()
        if row is None:
            return True
        if error is not None:
            wait_ms = min(OUTBOX_RETRY_MAX_MS, OUTBOX_RETRY_MS * 2 ** min(row.publish_tries, 20))
            row.publish_ms = self._platform.clock.now_ms() + wait_ms
            row.publish_tries += 1
            self._log("warning", "schedule.publish_failed", row, error=describe(error))
        else:
            row.published = max(row.published, revision)
        if row.state == "deleted" and row.published >= row.revision:
            self._journal.wipe()
        else:
            self._journal.store(row)
        return True

    async def _work(self, row: ScheduleRow) -> None:
        if row.schedule.overlap != "allow":
            await self._note_ends(row)
        found = self._state.live()
        if found is None:
            return
        self._decide(found, self._platform.clock.now_ms())
        await self._cancel_others()
        await self._start_waiting()

    async def _note_ends(self, row: ScheduleRow) -> None:
        """Find out which of the jobs have ended. One that nothing is known of counts as running: it may be."""
        for job_id in self._journal.running():
            try:
                status = (await self._platform.jobs.view(job_id)).status
            except UnknownJobError:
                self._journal.note_end(job_id)
            except RetryableError:
                raise
            except OrchestratorError as error:
                self._log("warning", "schedule.job_unreadable", row, job_id=job_id, error=error.error_code)
            else:
                if status in TERMINAL:
                    self._journal.note_end(job_id)

    # -- planned times -----------------------------------------------------------------------------------------------

    def _decide(self, row: ScheduleRow, now_ms: int) -> None:
        """Decide, in one commit, what becomes of the planned times up to now."""
        if row.paused:
            return
        room = MAX_SCHEDULE_BACKLOG - self._journal.count_waiting()
        due = due_times(row.schedule, row.decided_ms, now_ms, room)
        if due is None:
            return
        if due.missed_ms is not None:
            self._journal.add_not_started("missed", "scheduled", due.missed_ms, now_ms, count=due.missed)
        if len(due.times) > 1:
            self._journal.add_waiting([planned_start(row, at_ms, "catch_up", backlog=True) for at_ms in due.times])
            self._log("info", "schedule.catching_up", row, times=len(due.times))
        elif due.times:
            self._decide_one(row, due.times[0], now_ms)
        row.decided_ms = due.decided_ms
        # What waits is looked at soon again, however long something before it was waited for.
        row.work_ms, row.polls = now_ms if self._journal.count_waiting() else None, 0
        self._state.change(row)

    def _decide_one(self, row: ScheduleRow, planned_ms: int, now_ms: int) -> None:
        """Apply the overlap policy to a time that has come."""
        journal = self._journal
        reason: Reason = "scheduled" if now_ms - planned_ms <= SCHEDULE_ON_TIME_MS else "catch_up"
        overlap = row.schedule.overlap
        busy = overlap != "allow" and (bool(journal.running()) or journal.count_waiting() > 0)
        buffered = journal.buffered() if busy else []
        if busy and (overlap == "skip" or (overlap == "buffer_one" and buffered)):
            journal.add_not_started("skipped", reason, planned_ms, now_ms)
            return
        for older in buffered:  # cancel_other: the newest time wins
            journal.remove_waiting(older.job_id)
            journal.add_not_started("skipped", older.reason, older.planned_ms, now_ms)
        journal.add_waiting([planned_start(row, planned_ms, reason, backlog=False)])

    # -- starts ------------------------------------------------------------------------------------------------------

    async def _cancel_others(self) -> None:
        row = self._state.live()
        if row is None or row.schedule.overlap != "cancel_other" or not self._journal.buffered():
            return
        for job_id in self._journal.running():
            try:
                status = await self._platform.jobs.cancel(job_id, f"The next time of {row.schedule.id} has come")
            except (ConflictError, UnknownJobError):
                self._journal.note_end(job_id)
            else:
                if status in TERMINAL:
                    self._journal.note_end(job_id)

    async def _start_waiting(self) -> None:
        tried = 0
        while tried < SCHEDULE_STARTS_PER_TICK:
            row = self._state.live()
            start = None if row is None else self._next_start(row)
            if row is None or start is None:
                break
            tried += 1
            try:
                await self.start(row, start)
            except RequestError:
                continue  # given up, and in the history
        self._rest(progressed=tried > 0)

    def _next_start(self, row: ScheduleRow) -> WaitingStart | None:
        """Return the start whose turn it is: what somebody wants now goes first, the others wait for running jobs."""
        waiting = self._journal.waiting(1)
        if not waiting or waiting[0].reason == "manual" or row.schedule.overlap == "allow":
            return waiting[0] if waiting else None
        return None if self._journal.running() else waiting[0]

    def _rest(self, *, progressed: bool) -> None:
        """Say when the starts that still wait are looked at again."""
        row = self._state.live()
        if row is None:
            return
        now_ms = self._platform.clock.now_ms()
        before = (row.work_ms, row.polls)
        if not self._journal.count_waiting():
            row.work_ms, row.polls = None, 0
        elif self._next_start(row) is not None:
            row.work_ms, row.polls = now_ms, 0
        else:
            row.polls = 0 if progressed else row.polls + 1
            row.work_ms = now_ms + min(SCHEDULE_POLL_MAX_MS, SCHEDULE_POLL_MS * 2 ** min(row.polls, 10))
        if row.work_ms is None and before[0] is not None:
            self._state.change(row)
        elif (row.work_ms, row.polls) != before:
            self._journal.store(row)

    def _log(self, level: str, event: str, row: ScheduleRow, **fields: object) -> None:
        self._platform.log(level, event, {"schedule": row.schedule.id, **fields})


def planned_start(row: ScheduleRow, planned_ms: int, reason: Reason, *, backlog: bool) -> WaitingStart:
    """Return the start of a planned time's job."""
    return WaitingStart(job_id=row.schedule.job_id(planned_ms), planned_ms=planned_ms, reason=reason, backlog=backlog)
