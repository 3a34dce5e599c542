"""The engine of one job: what its Durable Object does when it is called or its alarm fires.

Calls change the journal and re-arm the alarm in one group of synchronous writes; work happens in ticks.
"""

from __future__ import annotations

from orchestrator import codec, joining
from orchestrator.admission import Admission, Ticket, waits_for_lane
from orchestrator.errors import ConflictError, ErrorRecord, UnknownJobError
from orchestrator.ids import checked_name
from orchestrator.journal import Journal
from orchestrator.lane import PermitAnswer
from orchestrator.lifecycle import ACTIVE, TERMINAL, JobStatus
from orchestrator.limits import MAX_WAITING_EVENTS, QUEUE_OPERATIONS
from orchestrator.logs import describe
from orchestrator.mail import Listener
from orchestrator.model import (
    ChildNotice,
    ChildOutcome,
    Created,
    CreateJob,
    JobBudget,
    JobRow,
    JobSummary,
    ParentRef,
    RetryJob,
)
from orchestrator.new_job import new_job
from orchestrator.options import check
from orchestrator.outbox import FIRST
from orchestrator.ports import Platform
from orchestrator.restart import forget_steps
from orchestrator.reuse import judge
from orchestrator.slice import StaleSliceError
from orchestrator.state import JobState
from orchestrator.tick import TTL, Ticker
from orchestrator.views import job_outcome, summary
from orchestrator.waits import open_token, settle_token
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
        self.look = self._wakeup.look  # whoever looks after the job calls this first
        self._admission = Admission(platform, registry, self._state.tickets, self._state.journal.outbox)
        self._ticker = Ticker(platform, registry, self._state, self._wakeup, always_replay=always_replay)

    @property
    def journal(self) -> Journal:
        """The job's journal, its tables made."""
        self._state.journal.migrate()
        return self._state.journal

    def listen(self, listener: Listener) -> None:
        """Have every new line of the history announced."""
        self._state.journal.history.listeners.append(listener)

    def exists(self) -> bool:
        """Tell whether a job was ever created here."""
        return self._state.journal.exists()

    def known(self) -> JobRow:
        """Return the job; callers must not change it.

        Raises:
            UnknownJobError: nothing was created here.
        """
        job = self._state.known()
        self._state.count(job)
        return job

    def create(self, request: CreateJob) -> Created:
        """Record a job, once. Durable before the caller hears of it: the output gate holds the answer.

        Raises:
            UnknownWorkflowError: the workflow is not registered.
            InvalidPayloadError: the payload does not fit its model.
            ContradictionError: two options exclude each other.
            ConflictError: the idempotency key is taken by a request with another payload.
            RetryableError: a job of this id is being deleted.
        """
        check(request.options)
        job = self._state.load()
        if job is not None and not request.options.debounce_ms:
            return judge(self._state, job, request)
        definition = self._registry.get(request.workflow)
        request = definition.accept(request)
        if job is not None:
            created = judge(self._state, job, request)
            self._wakeup.rearm()
            return created
        now_ms = self._state.now_ms()
        job = new_job(request, definition.version, now_ms)
        self._state.insert(job)
        if request.options.ttl_ms:
            self.journal.set_due(TTL, now_ms + request.options.ttl_ms)
        self.journal.history.add(now_ms, "job.created")
        self.journal.outbox.add("catalog", FIRST, now_ms)
        self._wakeup.rearm()
        return Created(job.job_id, job.status, deduplicated=False)

    async def announce(self) -> None:
        """Tell the catalog what a call has changed without waiting for the alarm; never raises.

        The sweeper heals lost alarms of jobs that the catalog knows. Who waits for a new job looks after it itself.
        """
        job = self._state.load()
        if job is not None and (job.slices or job.parent is None or codec.decode_as(job.parent, ParentRef).detached):
            await self._ticker.announce(job)

    def dispatch(self) -> JobStatus:
        """Start a queued job; later calls change nothing.

        Raises:
            UnknownJobError: nothing was created here.
        """
        job = self._state.known()
        self._platform.meter.queue_operations += QUEUE_OPERATIONS
        if job.status is JobStatus.QUEUED and not self._ticker.expired(job):
            self._state.turn(job, JobStatus.RUNNING)
            self._act_now(job)
        else:
            self.wake()  # a message that comes again may be all that is left of a lost alarm
        return job.status

    def permit(self, permit_id: str) -> bool:
        """Take a permit from the job's lane, or confirm it; False when the job has no use for it."""
        job = self._state.load()
        if job is None or job.status in TERMINAL or job.status is JobStatus.QUEUED:
            return False
        idle = job.status is JobStatus.PAUSED and not self._works(job)
        if idle or self._ticker.expired(job) or not self._admission.accept(job, permit_id):
            return False
        if job.status is JobStatus.WAITING:
            self._state.turn(job, JobStatus.RUNNING)
            self._act_now(job)
        else:
            self.wake()  # whoever is asked whether it still holds one may have lost its alarm
        return True

    def waiting_ticket(self) -> Ticket | None:
        """Return what the job waits for at its lane; None when it does not."""
        job = self._state.load()
        return self._state.tickets.get() if job is not None and waits_for_lane(job, self._state.tickets) else None

    async def explain_lane(self) -> PermitAnswer | None:
        """Return why the job's lane keeps it waiting, as the lane sees it now; None when it does not or is silent."""
        ticket = self.waiting_ticket()
        if ticket is None:
            return None
        try:
            answer = await self._platform.network.explain_permit(ticket.lane, ticket.permit_id)
        except Exception:
            return None  # what it said when it was asked is stored
        if answer is None and self.waiting_ticket() == ticket:
            self._act_now(self._state.known())  # the lane has lost the request: ask again
        return answer

    def child_finished(self, notice: ChildNotice) -> None:
        """Take note of a child's end; a repeated notice changes nothing.

        Raises:
            UnknownJobError: nothing was created here.
        """
        job = self._state.known()
        if job.status in TERMINAL:
            return
        row = self.journal.step(notice.operation)
        if row is not None and row.kind in joining.KINDS:
            settled = joining.settle(self.journal, row, notice.outcome)
        else:
            settled = self.journal.settle_child(notice.operation, notice.outcome.key, codec.encode(notice.outcome))
        if settled and job.status is not JobStatus.WAITING:
            self._act_now(job)

    def watch(self, watcher: ParentRef) -> ChildOutcome | None:
        """Return how the job ended; while it has not, take note that somebody wants to be told.

        Raises:
            UnknownJobError: nothing was created here.
        """
        found = self.outcome(watcher.key)
        if found is None:
            self._state.watchers.add(watcher)
        return found

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
        if job.status in {JobStatus.QUEUED, JobStatus.WAITING} and job.started_at_ms is None:
            self._state.end(job, JobStatus.CANCELLED)
            self._wakeup.rearm()
        else:
            self._state.turn(job, JobStatus.CANCELLING)
            self._act_now(job)
        return job.status

    def pause(self) -> JobStatus:
        """Stop starting new work; what runs may end. Paused time does not count for waits and timeouts.

        Raises:
            UnknownJobError: nothing was created here.
            ConflictError: the job has ended or is ending.
        """
        job = self._state.known()
        if job.status is not JobStatus.PAUSED:
            self._state.turn(job, JobStatus.PAUSED)
            job.paused_at_ms = self._state.now_ms()
            job.due_at_ms = None
            if not self._works(job):
                self._state.tickets.give_back(self.journal.outbox, job.paused_at_ms)
            self._record(job, "job.paused")
        return job.status

    def resume(self, budget: JobBudget | None = None) -> JobStatus:
        """Go on with a paused job; one that its code did not fit is tried again from its journal.

        Args:
            budget: raises limits of the job's.

        Raises:
            UnknownJobError: nothing was created here.
            ConflictError: the job is not paused, or has used up its budget (code ``budget_exceeded``).
        """
        job = self._state.known()
        if job.status is not JobStatus.PAUSED:
            raise ConflictError(f"The job is {job.status}, not paused")
        now_ms = self._state.now_ms()
        self._state.allow(job, budget or JobBudget())
        self._state.turn(job, JobStatus.RUNNING)
        self.journal.shift_due(now_ms - (job.paused_at_ms or now_ms))
        job.paused_at_ms = job.pause_error = None
        job.epoch += 1  # the rows have changed under the coroutines: replay
        job.slice_open = False  # one that runs has been superseded, not died
        self._state.drop_execution()
        job.due_at_ms = now_ms
        self._record(job, "job.resumed")
        return job.status

    def retry(self, request: RetryJob) -> JobStatus:
        """Run an ended job again: from the steps that gave up, a named step, or scratch (see ``retried_from``).

        Finished steps before that point keep their results; children of the forgotten ones are new jobs.

        Raises:
            UnknownJobError: nothing was created here.
            ConflictError: the job has not ended, or completed with no step that gave up.
            InvalidRequestError: there is no such step.
        """
        job = self._state.known()
        if job.status not in TERMINAL:
            raise ConflictError(f"The job is {job.status}; only a job that has ended is retried")
        if job.status is JobStatus.COMPLETED and not self.journal.failed_steps(1):
            raise ConflictError("The job has completed, and none of its steps gave up: there is nothing to retry")
        self._state.reopen(job, undone=forget_steps(self.journal, job, request, self._registry))
        self._record(job, "job.retried")
        return job.status

    def delete(self) -> JobStatus:
        """Delete an ended job: unknown from now on, its storage freed by its next ticks. Return how it had ended.

        Raises:
            UnknownJobError: nothing was created here.
            ConflictError: the job has not ended.
        """
        job = self._state.known()
        if job.status not in TERMINAL:
            raise ConflictError(f"The job is {job.status}; only a job that has ended is deleted")
        self._state.begin_deletion(job)
        self._wakeup.rearm()
        return job.status

    def supersede(self, generation: int) -> None:
        """Send requests with the job's key straight to a later job. A key without a later job stays so."""
        if self._state.load() is not None and self.journal.successor() is not None:
            self.journal.set_successor(generation)

    def deliver_event(self, name: str, event_id: str | None, data: object) -> None:
        """Keep an event for the workflow, which may wait for it now or later. One event id counts once.

        Raises:
            UnknownJobError: nothing was created here.
            ConflictError: the job has ended (code ``job_ended``), or too many events wait (``inbox_full``).
        """
        job = self._state.known()
        if job.status in TERMINAL:
            raise ConflictError(f"The job has already {job.status}", code="job_ended")
        if self.journal.inbox.count() >= MAX_WAITING_EVENTS:
            raise ConflictError(f"{MAX_WAITING_EVENTS} events wait already", code="inbox_full")
        if self.journal.inbox.put(checked_name(name, what="event name"), event_id, codec.encode(data, what="event")):
            self._nudge(job)

    def complete_token(self, key: str, data: object) -> None:
        """Complete a token once; completing it again, or too late, changes nothing and is no error.

        Who completes it may take a refusal for a failure of its own: the parser service gives up its work then, and
        nobody learns what it has written (domain.md §3.1).

        Raises:
            UnknownTokenError: the job has no such token.
        """
        self.settle_token(key, codec.encode(data, what="token data"))

    def takes_token(self, key: str) -> bool:
        """Tell whether completing a token would count; raises as :meth:`complete_token` does."""
        return open_token(self._state, key) is not None

    def settle_token(self, key: str, value: bytes) -> None:
        """Complete a token with an encoded value, or a reference to it; see :meth:`complete_token`."""
        if settle_token(self._state, key, value):
            self._nudge(self._state.known())

    def outcome(self, key: str) -> ChildOutcome | None:
        """Return how the job ended, in the form its parent wants, or None while it has not.

        A job that is being deleted still answers: its parent may ask because it has not heard.

        Raises:
            UnknownJobError: nothing was created here.
        """
        job = self._state.load()
        if job is None:
            raise UnknownJobError
        return job_outcome(job, key) if job.status in TERMINAL else None

    def summary(self) -> JobSummary:
        """Return what the catalog is to know of the job.

        Raises:
            UnknownJobError: nothing was created here.
        """
        return summary(self._state.known(), self.journal, self._state.late_from_ms())

    def wake(self, *, ask_lane: bool = False) -> None:
        """Re-arm from the journal: heals a lost alarm, and a slice that died with the object's memory.

        With ``ask_lane`` a job that waits for its lane asks again: the lane, too, may have lost its alarm.

        Raises:
            UnknownJobError: nothing was created here.
        """
        job = self._state.load()
        if job is None:
            raise UnknownJobError
        if (job.slice_open and not self._wakeup.ticking) or (ask_lane and waits_for_lane(job, self._state.tickets)):
            self._act_now(job)
        self._wakeup.rearm()

    async def tick(self) -> None:
        """Do what is due. Called by the alarm; never raises, so that the runtime never drops the alarm."""
        self._wakeup.fired()
        if self._wakeup.ticking:
            return
        self._wakeup.ticking = True
        self._platform.meter.begin(self._state.now_ms())
        failed = idle = False
        try:
            idle = not await self._ticker.tick()
        except StaleSliceError:
            self._state.forget()
        except Exception as error:  # the platform's: storage reset, lost connection, or a bug of ours
            failed = True
            self._platform.log("error", "tick.failed", {"job_id": self._state.job_id, "error": describe(error)})
            self._state.forget()
        finally:
            self._wakeup.ticking = False
            self._platform.meter.end(self._state.now_ms())
        try:
            if failed:
                self._state.end_failed_slice()
            self._wakeup.after_tick(failed=failed, idle=idle)
        except Exception as error:
            self._platform.log("error", "rearm.failed", {"job_id": self._state.job_id, "error": describe(error)})

    def _record(self, job: JobRow, event: str) -> None:
        """Commit a change that a caller asked for: the row, the history and the catalog."""
        now_ms = self._state.now_ms()
        self.journal.history.add(now_ms, event)
        self.journal.outbox.add("catalog", b"", now_ms)
        self.journal.update_job(job)
        self._wakeup.rearm()

    def _nudge(self, job: JobRow) -> None:
        """Have a running job look again; a paused one looks when it is resumed."""
        if job.status in ACTIVE:
            self._act_now(job)

    def _works(self, job: JobRow) -> bool:
        """Tell whether a slice runs in this object now."""
        return job.slice_open and self._wakeup.ticking

    def _act_now(self, job: JobRow) -> None:
        job.due_at_ms = self._state.now_ms()
        self.journal.update_job(job)
        self._wakeup.rearm()
