"""The engine of one job: what its Durable Object does when it is called or its alarm fires.

Calls change the journal and re-arm the alarm in one group of synchronous writes; work happens in ticks.
"""

from __future__ import annotations

from orchestrator import codec
from orchestrator.errors import ConflictError, ErrorRecord
from orchestrator.journal import Journal
from orchestrator.lifecycle import TERMINAL, JobStatus
from orchestrator.limits import REQUEUE_MS, SLICE_UNITS
from orchestrator.model import ChildNotice, ChildOutcome, Created, CreateJob, JobRow
from orchestrator.ports import Platform
from orchestrator.slice import StaleSliceError
from orchestrator.state import JobState
from orchestrator.tick import Ticker
from orchestrator.views import job_outcome
from orchestrator.wakeup import Wakeup
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
        self._state = JobState(platform, registry)
        self._wakeup = Wakeup(platform, self._state)
        self._ticker = Ticker(platform, registry, self._state, self._wakeup, always_replay=always_replay)

    @property
    def journal(self) -> Journal:
        """The job's journal, its tables made."""
        self._state.journal.migrate()
        return self._state.journal

    def exists(self) -> bool:
        """Tell whether a job was ever created here."""
        return self._state.journal.exists()

    def known(self) -> JobRow:
        """Return the job; callers must not change it.

        Raises:
            UnknownJobError: nothing was created here.
        """
        return self._state.known()

    def create(self, request: CreateJob) -> Created:
        """Record a job, once. Durable before the caller hears of it: the output gate holds the answer.

        Raises:
            UnknownWorkflowError: the workflow is not registered.
            InvalidPayloadError: the payload does not fit its model.
        """
        job = self._state.load()
        if job is not None:
            return Created(job.job_id, job.status, deduplicated=True)
        definition = self._registry.get(request.workflow)
        definition.parse(request.payload)
        now_ms = self._state.now_ms()
        job = _new_job(request, definition.version, now_ms)
        self._state.insert(job)
        self.journal.add_event(now_ms, "job.created")
        self.journal.add_outbox("catalog", b"", now_ms)
        self._wakeup.rearm()
        return Created(job.job_id, job.status, deduplicated=False)

    def dispatch(self) -> JobStatus:
        """Start a queued job; later calls change nothing.

        Raises:
            UnknownJobError: nothing was created here.
        """
        job = self._state.known()
        if job.status is JobStatus.QUEUED:
            self._state.turn(job, JobStatus.RUNNING)
            self._act_now(job)
        return job.status

    def child_finished(self, notice: ChildNotice) -> None:
        """Take note of a child's end; a repeated notice changes nothing.

        Raises:
            UnknownJobError: nothing was created here.
        """
        job = self._state.known()
        if job.status in TERMINAL:
            return
        if self.journal.settle_child(notice.operation, notice.outcome.key, codec.encode(notice.outcome)):
            self._act_now(job)

    def cancel(self, reason: str) -> JobStatus:
        """Ask the job to stop: cooperative, ``on_cancel`` runs first.

        Raises:
            UnknownJobError: nothing was created here.
            ConflictError: the job has ended otherwise.
        """
        job = self._state.known()
        if job.status in {JobStatus.CANCELLED, JobStatus.CANCELLING} or job.phase != "main":
            return job.status  # it is ending already; its hook is not cut short
        if job.status in TERMINAL:
            raise ConflictError(f"The job has already {job.status}")
        job.error = codec.encode(ErrorRecord(code="cancelled", message=reason or "Cancelled"))
        if job.status in {JobStatus.QUEUED, JobStatus.WAITING}:
            self._state.end(job, JobStatus.CANCELLED)
            self._wakeup.rearm()
        else:
            self._state.turn(job, JobStatus.CANCELLING)
            self._act_now(job)
        return job.status

    def outcome(self, key: str) -> ChildOutcome | None:
        """Return how the job ended, in the form its parent wants, or None while it has not.

        Raises:
            UnknownJobError: nothing was created here.
        """
        job = self._state.known()
        return job_outcome(job, key) if job.status in TERMINAL else None

    def wake(self) -> None:
        """Re-arm from the journal: heals a lost alarm, and a slice that died with the object's memory.

        Raises:
            UnknownJobError: nothing was created here.
        """
        job = self._state.known()
        if job.slice_open and not self._wakeup.ticking:
            self._act_now(job)
        self._wakeup.rearm(force=True)

    async def tick(self) -> None:
        """Do what is due. Called by the alarm; never raises, so that the runtime never drops the alarm."""
        self._wakeup.fired()
        if self._wakeup.ticking:
            return
        self._wakeup.ticking = True
        failed = idle = False
        try:
            idle = not await self._ticker.tick()
        except StaleSliceError:
            self._state.forget()
        except Exception as error:  # the platform's: storage reset, lost connection, or a bug of ours
            failed = True
            self._platform.log("error", "tick.failed", {"job_id": self._state.job_id, "error": repr(error)})
            self._state.forget()
        finally:
            self._wakeup.ticking = False
        try:
            self._wakeup.after_tick(failed=failed, idle=idle)
        except Exception as error:
            self._platform.log("error", "rearm.failed", {"job_id": self._state.job_id, "error": repr(error)})

    def _act_now(self, job: JobRow) -> None:
        job.due_at_ms = self._state.now_ms()
        self.journal.update_job(job)
        self._wakeup.rearm()


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
