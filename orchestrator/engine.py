"""The engine of one job: what its Durable Object does when it is called or its alarm fires.

Alarm discipline (design.md §4.4): the watchdog is armed before work, the next time is read from the journal after it,
exceptions never leave a tick, and a tick that changes nothing does not come back at once.
"""

from __future__ import annotations

import math

from orchestrator import codec
from orchestrator.attempt import error_record
from orchestrator.driver import Failure, Success
from orchestrator.errors import (
    ConflictError,
    ErrorRecord,
    JournalMismatchError,
    OrchestratorError,
    RequestError,
    UnknownJobError,
)
from orchestrator.execution import Execution
from orchestrator.fanout import Fanout
from orchestrator.journal import Journal
from orchestrator.lifecycle import ACTIVE, TERMINAL, JobStatus, may_follow
from orchestrator.limits import (
    ALARM_LEAD_MS,
    MAX_SLICE_CRASHES,
    REQUEUE_MAX_MS,
    REQUEUE_MS,
    SLICE_UNITS,
    SLICE_UNITS_MAX,
    TICK_RETRY_MAX_MS,
    TICK_RETRY_MS,
    WATCHDOG_MS,
)
from orchestrator.model import ChildNotice, ChildOutcome, Created, CreateJob, JobRow, JobSummary
from orchestrator.outbox import Outbox
from orchestrator.ports import Platform, Resources
from orchestrator.slice import Slice, StaleSliceError
from orchestrator.views import job_outcome, summary
from orchestrator.workflow import Registry


class JobEngine:
    """One job, from creation to its terminal status.

    Args:
        platform: the ports.
        registry: the workflows known.
        always_replay: drop the coroutines after every slice, so that tests take the replay path everywhere.
    """

    def __init__(self, platform: Platform, registry: Registry, *, always_replay: bool = False) -> None:
        self._platform = platform
        self._registry = registry
        self._always_replay = always_replay
        self._journal = Journal(platform.sql)
        self._outbox = Outbox(self._journal, platform)
        self._job: JobRow | None = None
        self._execution: Execution | None = None
        self._fanouts: dict[str, Fanout] = {}
        self._ticking = False
        self._armed_ms: int | None = None
        self._fired_ms = 0
        self._failed_ticks = 0
        self._idle = False
        self._rows_counted = 0

    @property
    def journal(self) -> Journal:
        """The job's journal, its tables made."""
        self._journal.migrate()
        return self._journal

    # -- calls -------------------------------------------------------------------------------------------------------

    def create(self, request: CreateJob) -> Created:
        """Record a job, once. Durable before the caller hears of it: the output gate holds the answer.

        Raises:
            UnknownWorkflowError: the workflow is not registered.
            InvalidPayloadError: the payload does not fit its model.
        """
        job = self._load()
        if job is not None:
            return Created(job.job_id, job.status, deduplicated=True)
        definition = self._registry.get(request.workflow)
        definition.parse(request.payload)
        now_ms = self._platform.clock.now_ms()
        job = _new_job(request, definition.version, now_ms)
        self._journal.migrate()
        self._journal.insert_job(job)
        self._journal.add_event(now_ms, "job.created")
        self._journal.add_outbox("catalog", b"", now_ms)
        self._job = job
        self._rearm()
        return Created(job.job_id, job.status, deduplicated=False)

    def dispatch(self) -> JobStatus:
        """Start a queued job; later calls change nothing.

        Raises:
            UnknownJobError: nothing was created here.
        """
        job = self._known()
        if job.status is JobStatus.QUEUED:
            self._turn(job, JobStatus.RUNNING)
            job.due_at_ms = self._platform.clock.now_ms()
            self._journal.update_job(job)
            self._rearm()
        return job.status

    def child_finished(self, notice: ChildNotice) -> None:
        """Take note of a child's end; a repeated notice changes nothing."""
        job = self._known()
        outcome = notice.outcome
        if job.status in TERMINAL:
            return
        if self._journal.settle_child(notice.operation, outcome.key, codec.encode(outcome)):
            job.due_at_ms = self._platform.clock.now_ms()
            self._journal.update_job(job)
            self._rearm()

    def cancel(self, reason: str) -> JobStatus:
        """Ask the job to stop: cooperative, ``on_cancel`` runs first.

        Raises:
            ConflictError: the job has ended otherwise.
        """
        job = self._known()
        if job.status in {JobStatus.CANCELLED, JobStatus.CANCELLING}:
            return job.status
        if job.status in TERMINAL:
            raise ConflictError(f"The job has already {job.status}")
        now_ms = self._platform.clock.now_ms()
        job.error = codec.encode(ErrorRecord(code="cancelled", message=reason or "Cancelled"))
        if job.status in {JobStatus.QUEUED, JobStatus.WAITING}:
            self._end(job, JobStatus.CANCELLED)
        else:
            self._turn(job, JobStatus.CANCELLING)
            job.due_at_ms = now_ms
            self._journal.update_job(job)
        self._rearm()
        return job.status

    def outcome(self, key: str) -> ChildOutcome | None:
        """Return how the job ended, in the form its parent wants, or None while it has not."""
        job = self._known()
        return job_outcome(job, key) if job.status in TERMINAL else None

    def wake(self) -> None:
        """Re-arm from the journal: heals a lost alarm, and a slice that died with the object's memory."""
        job = self._known()
        if job.slice_open and not self._ticking:
            job.due_at_ms = self._platform.clock.now_ms()
            self._journal.update_job(job)
        self._rearm(force=True)

    def exists(self) -> bool:
        """Tell whether a job was ever created here."""
        return self._journal.exists()

    def known(self) -> JobRow:
        """Return the job; callers must not change it.

        Raises:
            UnknownJobError: nothing was created here.
        """
        return self._known()

    # -- ticks -------------------------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Do what is due. Called by the alarm; never raises, so that the alarm is never dropped by the runtime."""
        if self._ticking:
            self._armed_ms = None
            return
        self._ticking = True
        self._idle = False
        self._fired_ms = max(self._fired_ms, self._armed_ms or 0)
        self._armed_ms = None
        try:
            await self._tick()
            self._failed_ticks = 0
        except StaleSliceError:
            self._forget()
        except Exception as error:  # the platform's: storage reset, lost connection, or a bug of ours
            self._failed_ticks += 1
            self._platform.log("error", "tick.failed", {"job_id": self._job_id(), "error": repr(error)})
            self._forget()
        finally:
            self._ticking = False
        try:
            self._after_tick()
        except Exception as error:
            self._platform.log("error", "rearm.failed", {"job_id": self._job_id(), "error": repr(error)})

    async def _tick(self) -> None:
        job = self._load()
        if job is None:
            return
        now_ms = self._platform.clock.now_ms()
        if job.status in ACTIVE and self._work_is_due(job, now_ms):
            await self._slice(job)
        elif job.status is JobStatus.WAITING and (job.due_at_ms or 0) <= now_ms:
            self._turn(job, JobStatus.RUNNING)
            await self._slice(job)
        elif job.status is JobStatus.QUEUED and (job.due_at_ms or 0) <= now_ms:
            await self._enqueue_again(job)
        else:
            self._idle = True
        if await self._outbox.deliver(job, self._catalog_summary):
            self._idle = False

    def _work_is_due(self, job: JobRow, now_ms: int) -> bool:
        if job.slice_open:
            return True
        due = self._journal.next_work_ms()
        return due is not None and due <= now_ms

    async def _enqueue_again(self, job: JobRow) -> None:
        """Nobody picked the job up: send its id again, less and less often (design.md §4.6)."""
        now_ms = self._platform.clock.now_ms()
        wait_ms = min(REQUEUE_MAX_MS, max(REQUEUE_MS, 2 * (now_ms - job.created_at_ms)))
        job.due_at_ms = now_ms + wait_ms
        self._journal.update_job(job)
        self._rearm()
        await self._platform.network.enqueue(self._registry.get(job.workflow).options.queue, job.job_id)

    async def _slice(self, job: JobRow) -> None:
        self._open_slice(job)
        await self._platform.sync()
        resources = self._platform.resources()
        try:
            await self._work(job, resources)
        except (JournalMismatchError, RequestError) as error:
            # The code no longer fits the job: another workflow, payload model or journal. A fixed release resumes it.
            self._pause(job, error)
        finally:
            await resources.close()

    async def _work(self, job: JobRow, resources: Resources) -> None:
        if job.crashes > MAX_SLICE_CRASHES and not self._give_up(job):
            return
        execution = self._revive(job)
        while True:
            work = Slice(execution, self._journal, self._platform, resources, self._fanouts)
            await work.run()
            stopped = job.status is JobStatus.CANCELLING or isinstance(execution.driver.outcome, Failure)
            if stopped and job.phase == "main":
                await self._cancel_children()
            if not self._conclude(job, execution):
                break
        self._close_slice(job, work)

    async def _cancel_children(self) -> None:
        for child_id in self._journal.children_under_way():
            await self._platform.network.cancel(child_id, "the parent ended")

    def _give_up(self, job: JobRow) -> bool:
        """Fail a job whose slices keep dying with no step to blame; tell whether its failure hook is to run."""
        message = f"The last {job.crashes} slices died before anything was finished"
        job.crashes = 0
        if job.phase == "main" and self._registry.get(job.workflow).options.on_failure is not None:
            job.error = codec.encode(ErrorRecord(code="slice_crashed", message=message))
            job.phase = "on_failure"
            self._journal.update_job(job)
            return True
        job.error = job.error or codec.encode(ErrorRecord(code="slice_crashed", message=message))
        return self._end(job, JobStatus.FAILED)

    def _open_slice(self, job: JobRow) -> None:
        """Bump the attempt and arm the watchdog in one group, before any work (design.md §4.4 rule 1)."""
        now_ms = self._platform.clock.now_ms()
        if job.slice_open:
            job.crashes += 1
            job.crashes_total += 1
            job.slice_units = max(1, job.slice_units // 2)
            self._drop_execution()
            self._journal.add_event(now_ms, "slice.died")
            self._platform.log("warning", "slice.died", {"job_id": job.job_id, "crashes": job.crashes})
        if job.started_at_ms is None:
            self._journal.add_event(now_ms, "job.started")
        job.slice_open = True
        job.slices += 1
        job.epoch += 1
        job.started_at_ms = job.started_at_ms or now_ms
        if job.status is JobStatus.SUSPENDED:
            job.status = JobStatus.RUNNING
        job.due_at_ms = now_ms + WATCHDOG_MS
        self._journal.update_job(job)
        self._platform.alarm.set(job.due_at_ms)
        self._armed_ms = job.due_at_ms

    def _revive(self, job: JobRow) -> Execution:
        if self._execution is None:
            definition = self._registry.get(job.workflow)
            self._execution = Execution(job, definition, self._journal, self._platform.clock)
            self._fanouts = {}
        return self._execution

    def _conclude(self, job: JobRow, execution: Execution) -> bool:
        """Act on the end of the workflow or a hook, or on a cancellation; tell whether a hook is to run now."""
        outcome = execution.driver.outcome
        if job.status is JobStatus.CANCELLING and job.phase != "on_cancel":
            return self._begin_hook(job, execution, "on_cancel") or self._end(job, JobStatus.CANCELLED)
        if outcome is None:
            return False
        if job.phase == "on_cancel":
            return self._end(job, JobStatus.CANCELLED)
        if job.phase == "on_failure":
            if isinstance(outcome, Failure):
                record = codec.encode(error_record(outcome.error))
                self._journal.add_event(self._platform.clock.now_ms(), "hook.failed", None, record)
            return self._end(job, JobStatus.FAILED)
        error = outcome.error if isinstance(outcome, Failure) else self._set_result(job, outcome)
        if error is None:
            return self._end(job, JobStatus.COMPLETED)
        job.error = codec.encode(error_record(error))
        return self._begin_hook(job, execution, "on_failure") or self._end(job, JobStatus.FAILED)

    def _begin_hook(self, job: JobRow, execution: Execution, phase: str) -> bool:
        hook = execution.workflow.options.on_failure if phase == "on_failure" else execution.workflow.options.on_cancel
        if hook is None:
            return False
        job.phase = "on_failure" if phase == "on_failure" else "on_cancel"
        self._journal.update_job(job)
        self._journal.clear_due()
        execution.begin_hook()
        self._fanouts = {}
        return True

    @staticmethod
    def _set_result(job: JobRow, outcome: Success) -> Exception | None:
        try:
            job.result, _ = codec.roundtrip(outcome.value, what="result of the workflow")
        except OrchestratorError as error:
            return error
        return None

    def _end(self, job: JobRow, status: JobStatus) -> bool:
        """End the job: status, result, notices and the end of every due time in one commit. Always False."""
        now_ms = self._platform.clock.now_ms()
        self._turn(job, status)
        job.finished_at_ms = now_ms
        job.due_at_ms = None
        job.slice_open = False
        self._journal.clear_due()
        self._journal.add_event(now_ms, f"job.{status}")
        if job.parent is not None:
            self._journal.add_outbox("parent", job.parent, now_ms)
        self._journal.add_outbox("catalog", b"", now_ms)
        self._journal.trim_events()
        self._count_rows(job)
        self._journal.update_job(job)
        self._drop_execution()
        return False

    def _close_slice(self, job: JobRow, work: Slice) -> None:
        """Say in one group how the slice ended and when the next one is due."""
        if job.status in TERMINAL:
            return
        more = work.has_work() or (job.status is JobStatus.CANCELLING and job.phase == "main")
        job.slice_open = False
        job.due_at_ms = self._platform.clock.now_ms() if more else None
        if work.advanced:
            job.slice_units = min(SLICE_UNITS_MAX, job.slice_units * 2)
        if job.status in {JobStatus.RUNNING, JobStatus.SUSPENDED}:
            self._turn(job, JobStatus.RUNNING if more else JobStatus.SUSPENDED)
        self._count_rows(job)
        job.revision += 1
        self._journal.update_job(job)
        if self._always_replay:
            self._drop_execution()

    def _pause(self, job: JobRow, error: OrchestratorError) -> None:
        """Keep a job whose journal contradicts the code, for a fixed release to resume."""
        self._turn(job, JobStatus.PAUSED)
        job.error = codec.encode(error_record(error))
        job.slice_open = False
        job.due_at_ms = None
        self._journal.add_event(self._platform.clock.now_ms(), "job.paused", None, job.error)
        self._journal.add_outbox("catalog", b"", self._platform.clock.now_ms())
        self._journal.update_job(job)
        self._drop_execution()

    # -- state -------------------------------------------------------------------------------------------------------

    def _load(self) -> JobRow | None:
        if not self._journal.exists():
            return None
        self._journal.migrate()
        if self._job is not None and self._journal.epoch() != self._job.epoch:
            self._forget()
        if self._job is None:
            self._job = self._journal.load_job()
        return self._job

    def _count_rows(self, job: JobRow) -> None:
        written = self._platform.sql.rows_written
        job.rows_written += written - self._rows_counted
        self._rows_counted = written

    def _known(self) -> JobRow:
        job = self._load()
        if job is None:
            raise UnknownJobError
        return job

    def _turn(self, job: JobRow, status: JobStatus) -> None:
        if not may_follow(job.status, status):
            raise ConflictError(f"A job that is {job.status} cannot become {status}")
        if job.status != status:
            job.revision += 1
        job.status = status

    def _forget(self) -> None:
        self._drop_execution()
        self._job = None

    def _drop_execution(self) -> None:
        if self._execution is not None:
            self._execution.close()
        self._execution = None
        self._fanouts = {}

    def _job_id(self) -> str | None:
        return None if self._job is None else self._job.job_id

    def _catalog_summary(self) -> JobSummary:
        return summary(self._known(), self._next_due_ms())

    # -- the alarm ---------------------------------------------------------------------------------------------------

    def _after_tick(self) -> None:
        if self._failed_ticks:
            wait_ms = min(TICK_RETRY_MAX_MS, TICK_RETRY_MS * 2 ** min(self._failed_ticks - 1, 10))
            self._arm(self._platform.clock.now_ms() + wait_ms)
        elif self._idle and (self._next_due_ms() or math.inf) <= self._platform.clock.now_ms():
            # Something is due that no tick acts on: a bug, and it must not become a hot loop (design.md §4.4 rule 5).
            self._platform.log("error", "tick.idle", {"job_id": self._job_id()})
            self._arm(self._platform.clock.now_ms() + TICK_RETRY_MAX_MS)
        else:
            self._rearm()

    def _rearm(self, *, force: bool = False) -> None:
        """Arm the alarm for the earliest due row. During a tick the watchdog stands, and the tick re-arms at its end."""
        if self._ticking:
            return
        due_ms = self._next_due_ms()
        if due_ms is None:
            if self._armed_ms is not None:
                self._platform.alarm.clear()
                self._armed_ms = None
            return
        if force or self._armed_ms is None or due_ms != self._armed_ms:
            self._arm(due_ms)

    def _next_due_ms(self) -> int | None:
        """Return when the job needs its next tick. A paused or ended job keeps its rows, and only its outbox counts."""
        job = self._job
        resting = job is not None and (job.status is JobStatus.PAUSED or job.status in TERMINAL)
        return self._journal.next_outbox_ms() if resting else self._journal.next_due_ms()

    def _arm(self, due_ms: int) -> None:
        # workerd drops an alarm set inside alarm() for now or for the time being run (design.md §4.4 rule 3).
        at_ms = max(due_ms, self._platform.clock.now_ms() + ALARM_LEAD_MS, self._fired_ms + 1)
        if at_ms != self._armed_ms:
            self._platform.alarm.set(at_ms)
            self._armed_ms = at_ms


def _new_job(request: CreateJob, version: int, now_ms: int) -> JobRow:
    options = request.options
    direct = options.mode == "direct"
    status = JobStatus.RUNNING if direct else JobStatus.QUEUED
    due_at_ms = now_ms if direct else now_ms + REQUEUE_MS
    if options.delay_ms:
        status, due_at_ms = JobStatus.WAITING, now_ms + options.delay_ms
    return JobRow(
        job_id=request.job_id,
        workflow=request.workflow,
        version=version,
        status=status,
        phase="main",
        epoch=0,
        payload=codec.encode(request.payload, what="payload"),
        options=codec.encode(options),
        parent=None if request.parent is None else codec.encode(request.parent),
        created_at_ms=now_ms,
        started_at_ms=None,
        finished_at_ms=None,
        due_at_ms=due_at_ms,
        slices=0,
        crashes=0,
        crashes_total=0,
        slice_open=False,
        slice_units=SLICE_UNITS,
        revision=1,
        rows_written=0,
        progress=None,
        metadata=None,
        result=None,
        error=None,
    )
