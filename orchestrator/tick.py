"""What a job does when its alarm fires: one slice at most, then its outbox."""

from __future__ import annotations

from orchestrator import codec
from orchestrator.admission import Admission, Ticket
from orchestrator.attempt import error_record
from orchestrator.cost import budget_error
from orchestrator.driver import Failure
from orchestrator.ending import Ending
from orchestrator.errors import ErrorRecord, JournalMismatchError, OrchestratorError, RequestError
from orchestrator.lane import Release
from orchestrator.lifecycle import ACTIVE, TERMINAL, JobStatus
from orchestrator.limits import (
    CRASH_PAUSE_MAX_MS,
    CRASH_PAUSE_MS,
    MAX_SLICE_CRASHES,
    REQUEUE_MAX_MS,
    REQUEUE_MS,
    SLICE_UNITS_MAX,
    WATCHDOG_MS,
)
from orchestrator.meter import account_of
from orchestrator.model import JobOptions, JobRow
from orchestrator.outbox import Outbox
from orchestrator.ports import Platform, Resources
from orchestrator.retention import Retention
from orchestrator.slice import Slice
from orchestrator.state import JobState
from orchestrator.views import summary
from orchestrator.wakeup import Wakeup
from orchestrator.workflow import Registry

#: Keys of the due table that belong to the job and not to an operation.
TTL = "job/ttl"
DEADLINE = "job/deadline"


class Ticker:
    """The ticks of one job.

    Args:
        platform: the ports.
        registry: the workflows known.
        state: the job.
        wakeup: its alarm.
        always_replay: drop the coroutines after every slice.
    """

    def __init__(
        self, platform: Platform, registry: Registry, state: JobState, wakeup: Wakeup, *, always_replay: bool
    ) -> None:
        self._platform = platform
        self._registry = registry
        self._state = state
        self._wakeup = wakeup
        self._journal = state.journal
        self._retention = Retention(platform, state, wakeup)
        self._outbox = Outbox(state.journal, platform)
        self._ending = Ending(platform, registry, state)
        self._admission = Admission(platform, registry, state.tickets, state.journal.outbox)
        self._always_replay = always_replay

    async def tick(self) -> bool:
        """Do what is due; tell whether anything was."""
        job = self._state.load()
        if job is None:
            return False
        now_ms = self._state.now_ms()
        due = job.due_at_ms is not None and job.due_at_ms <= now_ms
        worked = True
        if self._retention.is_due(job):
            await self.tell(job)
            await self._retention.advance(job)
            return True
        if self.expired(job):
            self._state.end(job, JobStatus.EXPIRED)
        elif job.status in ACTIVE and self._work_is_due(job, now_ms):
            await self._slice_if_admitted(job)
        elif job.status is JobStatus.WAITING and (due or self._overran(job)):
            self._state.turn(job, JobStatus.RUNNING)
            await self._slice_if_admitted(job)
        elif job.status is JobStatus.QUEUED and due:
            await self._enqueue_again(job)
        else:
            worked = False
        delivered = await self.tell(job)
        return worked or delivered

    async def announce(self, job: JobRow) -> None:
        """Tell the catalog what a call has changed, so that no tick need do it."""
        revision = job.revision
        told = await self._outbox.announce(job, self._state.late_from_ms())
        now = self._state.load()
        # A row carries later news too, which a tick may be sending or may have failed to send: then it stays.
        if told and now is not None and now.revision == revision and not self._wakeup.ticking:
            for row_id in told:
                self._journal.outbox.remove(row_id)
            self._wakeup.rearm()

    async def tell(self, job: JobRow) -> bool:
        """Deliver what the job's commits have announced; tell whether there was anything."""
        return await self._outbox.deliver(job, lambda: summary(job, self._journal, self._state.late_from_ms()))

    def _work_is_due(self, job: JobRow, now_ms: int) -> bool:
        if job.slice_open:
            return True
        due = self._journal.next_work_ms()
        return due is not None and due <= now_ms

    def expired(self, job: JobRow) -> bool:
        """Tell whether the job was not to begin so late: no message, permit or alarm may start it any more."""
        if job.status not in {JobStatus.QUEUED, JobStatus.WAITING}:
            return False
        ends_ms = self._journal.due_ms(TTL)
        return ends_ms is not None and ends_ms <= self._state.now_ms()

    def _overran(self, job: JobRow) -> bool:
        ends_ms = self._journal.due_ms(DEADLINE)
        return job.phase == "main" and ends_ms is not None and ends_ms <= self._state.now_ms()

    def _overworked(self, job: JobRow) -> bool:
        if job.phase != "main" or job.workflow not in self._registry:
            return False
        limit_ms, account = self._registry.get(job.workflow).options.max_active_ms, account_of(job)
        return 0 < limit_ms <= account.usage.active_ms - account.active_before_ms

    async def _enqueue_again(self, job: JobRow) -> None:
        """Nobody picked the job up: send its id again, less and less often (design.md §4.6).

        A queue that takes nothing is no reason to wait: the job starts itself, within its lane as ever.
        """
        now_ms = self._state.now_ms()
        job.due_at_ms = now_ms + min(REQUEUE_MAX_MS, max(REQUEUE_MS, 2 * (now_ms - job.created_at_ms)))
        self._journal.update_job(job)
        # Set at once: a send that fails or dies must find the next try armed, and so must what else is due by then.
        self._wakeup.watchdog(min(job.due_at_ms, now_ms + WATCHDOG_MS))
        try:
            await self._platform.network.enqueue(self._registry.get(job.workflow).options.queue, job.job_id)
        except OrchestratorError as error:
            self._platform.log("warning", "queue.bypassed", {"job_id": job.job_id, "error": error.error_code})
            if self._state.load() is job and job.status is JobStatus.QUEUED:
                self._state.turn(job, JobStatus.RUNNING)
                await self._slice_if_admitted(job)

    async def _slice_if_admitted(self, job: JobRow) -> None:
        if self._over_budget(job):
            return
        lane = self._admission.lane_of(job)
        # The end of a job waits for nobody.
        free = job.status is JobStatus.CANCELLING or self._overran(job)
        if lane is not None and not free and not self._admission.holds():
            epoch = job.epoch
            ticket = await self._admission.ask(job, lane)
            if not self._enter_lane(job, epoch, ticket):
                return
        await self._slice(job)

    def _over_budget(self, job: JobRow) -> bool:
        """Pause a job that has used up its budget; one whose workflow is over comes to its end all the same."""
        ending = job.status is JobStatus.CANCELLING or job.phase != "main"
        found = () if ending else self._state.excess(job)
        if found:
            self._state.pause(job, budget_error(found))
        return bool(found)

    def _enter_lane(self, job: JobRow, epoch: int, ticket: Ticket) -> bool:
        """Store what the lane answered; tell whether the slice may begin."""
        if job.epoch != epoch or job.status not in {JobStatus.RUNNING, JobStatus.SUSPENDED}:
            # Paused or cancelled while the lane was asked.
            release = codec.encode(Release(ticket.lane, ticket.permit_id))
            self._journal.outbox.add("lane", release, self._state.now_ms())
            return False
        if self._admission.holds():
            return True  # the permit overtook the answer
        self._state.tickets.put(ticket)
        if ticket.held:
            return True
        self._state.turn(job, JobStatus.WAITING)
        job.due_at_ms = ticket.due_at_ms
        if job.started_at_ms is None:
            self._journal.outbox.add("catalog", b"", self._state.now_ms())
        self._journal.update_job(job)
        return False

    async def _slice(self, job: JobRow) -> None:
        if job.slice_open and self._put_off_after_death(job):
            return
        self._open(job)
        await self._platform.sync()
        resources = self._platform.resources()
        try:
            await self._work(job, resources)
        except (JournalMismatchError, RequestError) as error:
            # The code no longer fits the job: another workflow, payload model or journal.
            if job.status is JobStatus.CANCELLING:
                self._ending.leave(job, error)
            else:
                self._state.pause(job, error_record(error))  # a fixed release resumes it
        finally:
            await resources.close()

    def _put_off_after_death(self, job: JobRow) -> bool:
        """Count a slice that died; tell whether the next one is to begin later.

        Jobs of one isolate die together, whoever killed it, and their watchdogs are due together. From the second death
        in a row on they come back apart, so that the killer is alone when it kills again and nobody else is blamed.
        """
        now_ms = self._state.now_ms()
        job.slice_open = False
        job.crashes += 1
        job.crashes_total += 1
        job.slice_units = max(1, job.slice_units // 2)
        self._state.drop_execution()
        self._journal.history.add(now_ms, "slice.died")
        if job.crashes == 1:
            return False
        pause_ms = min(CRASH_PAUSE_MAX_MS, CRASH_PAUSE_MS * 2 ** (job.crashes - 2))
        job.due_at_ms = now_ms + round(pause_ms * (0.5 + self._platform.entropy.random()))
        self._journal.update_job(job)
        return True

    def _open(self, job: JobRow) -> None:
        """Bump the attempt and arm the watchdog in one group, before any work (design.md §4.4 rule 1)."""
        now_ms = self._state.now_ms()
        if job.started_at_ms is None:
            job.started_at_ms = now_ms
            self._journal.history.add(now_ms, "job.started")
            self._journal.outbox.add("catalog", b"", now_ms)
            self._journal.set_due(TTL, None)
            max_duration_ms = codec.decode_as(job.options, JobOptions).max_duration_ms
            if max_duration_ms:
                self._journal.set_due(DEADLINE, now_ms + max_duration_ms)
        if job.status is JobStatus.SUSPENDED:
            self._state.turn(job, JobStatus.RUNNING)
        job.slice_open = True
        job.slices += 1
        job.epoch += 1
        job.due_at_ms = now_ms + WATCHDOG_MS
        self._state.count(job)
        self._journal.update_job(job)
        self._wakeup.watchdog(job.due_at_ms)

    async def _work(self, job: JobRow, resources: Resources) -> None:
        why = self._reason_to_give_up(job)
        if why is not None:
            await self._ending.cancel_children()
            if not self._ending.give_up(job, why):
                return
        while True:
            execution = self._state.execution(job)
            work = Slice(execution, self._journal, self._platform, resources, self._state.fanouts)
            await work.run()
            stopped = job.status is JobStatus.CANCELLING or isinstance(execution.driver.outcome, Failure)
            if stopped and job.phase == "main":
                await self._ending.cancel_children()
            work.fence()  # somebody may have paused and resumed the job meanwhile: it has begun anew
            if work.pause is not None and job.status in {JobStatus.RUNNING, JobStatus.SUSPENDED}:
                self._state.pause(job, work.pause)
            if not self._ending.conclude(job, execution, more=work.has_work()):
                break
        if job.status not in TERMINAL:
            self._close(job, work)

    def _reason_to_give_up(self, job: JobRow) -> ErrorRecord | None:
        """Return why the job is to end whatever its workflow does."""
        if job.crashes > MAX_SLICE_CRASHES:
            message = f"The last {job.crashes} slices died before anything was finished"
            return ErrorRecord(code="slice_crashed", message=message)
        if job.status is JobStatus.CANCELLING:
            return None
        if self._overran(job):
            return ErrorRecord(code="job_timeout", message="The job took longer than allowed")
        if self._overworked(job):
            return ErrorRecord(code="job_timeout", message="The job was at work for longer than allowed")
        return None

    def _close(self, job: JobRow, work: Slice) -> None:
        """Say in one group how the slice ended and when the next one is due."""
        more = work.has_work() or (job.status is JobStatus.CANCELLING and job.phase == "main")
        job.slice_open = False
        job.due_at_ms = self._state.now_ms() if more and job.status is not JobStatus.PAUSED else None
        if work.advanced:
            job.slice_units = min(SLICE_UNITS_MAX, job.slice_units * 2)
        if job.status in {JobStatus.RUNNING, JobStatus.SUSPENDED}:
            self._state.turn(job, JobStatus.RUNNING if more else JobStatus.SUSPENDED)
        if job.due_at_ms is None:
            self._state.tickets.give_back(self._journal.outbox, self._state.now_ms())
        self._state.count(job)
        job.revision += 1
        self._journal.update_job(job)
        if self._always_replay:
            self._state.drop_execution()
