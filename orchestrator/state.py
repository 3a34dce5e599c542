"""A job's state in its object: the row, kept in step with the journal, and the transitions that end or pause it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec

from orchestrator import cascade, codec
from orchestrator.admission import Tickets, waits_for_lane
from orchestrator.cost import budget_error, cost_of, excess, merged
from orchestrator.errors import ConflictError, ErrorRecord, UnknownJobError
from orchestrator.execution import Execution
from orchestrator.fanout import Fanout
from orchestrator.journal import Journal
from orchestrator.lifecycle import TERMINAL, JobStatus, may_follow
from orchestrator.limits import LANE_LEASE_MS, LOOK_AGAIN_MS, RETENTION_SPREAD, RETENTION_SPREAD_MS
from orchestrator.logs import LEVELS, fields_of
from orchestrator.meter import account_of
from orchestrator.model import JobBudget, JobOptions, JobRow, ParentRef
from orchestrator.ports import Platform
from orchestrator.watchers import Watchers
from orchestrator.workflow import Registry

#: Key of the due table: when an ended job is deleted.
RETENTION = "job/retention"


class JobState:
    """What one object knows of its job.

    Args:
        platform: the ports.
        registry: the workflows known.
    """

    def __init__(self, platform: Platform, registry: Registry) -> None:
        self.journal = Journal(platform.sql)
        self.fanouts: dict[str, Fanout] = {}
        self.tickets = Tickets(platform.sql)
        self.watchers = Watchers(platform.sql)
        self._platform = platform
        self._registry = registry
        self._job: JobRow | None = None
        self._execution: Execution | None = None
        self._rows_counted = 0
        self.journal.history.listeners.append(self._log)

    @property
    def job_id(self) -> str | None:
        """The job's id, when it is loaded; for log lines."""
        return None if self._job is None else self._job.job_id

    def now_ms(self) -> int:
        """Return the wall clock."""
        return self._platform.clock.now_ms()

    def _log(self, kind: str, key: str | None, data: bytes | None) -> None:
        """Log a new line of the history."""
        level = LEVELS.get(kind)
        if level is not None and self._job is not None:
            self._platform.log(level, kind, fields_of(self._job, kind, key, data))

    # -- the row -----------------------------------------------------------------------------------------------------

    def load(self) -> JobRow | None:
        """Return the job, reading it again when another writer has raised its epoch."""
        if not self.journal.exists():
            return None
        self.journal.migrate()
        if self._job is not None and self.journal.epoch() != self._job.epoch:
            self.forget()
        if self._job is None:
            self._job = self.journal.load_job()
        return self._job

    def known(self) -> JobRow:
        """Return the job.

        Raises:
            UnknownJobError: nothing was created here.
        """
        job = self.load()
        if job is None or job.phase == "deleted":
            raise UnknownJobError
        return job

    def insert(self, job: JobRow) -> None:
        """Store a new job."""
        self.journal.migrate()
        self.journal.insert_job(job)
        self._job = job

    def forget(self) -> None:
        """Drop everything in memory: the journal knows better."""
        self.drop_execution()
        self._job = None

    def end_failed_slice(self) -> None:
        """Close a slice that has ended with an error of the platform's: it has not died, and nothing is to blame."""
        job = self.load()
        if job is not None and job.slice_open:
            job.slice_open = False
            job.due_at_ms = self.now_ms()
            self.journal.update_job(job)

    # -- the coroutines ----------------------------------------------------------------------------------------------

    def execution(self, job: JobRow) -> Execution:
        """Return the job in memory, built from the journal when it is not hot.

        Raises:
            RequestError: the workflow is gone, or its payload model no longer takes the payload.
        """
        if self._execution is None:
            definition = self._registry.get(job.workflow)
            self._execution = Execution(job, definition, self.journal, self._platform.clock, self._platform.make_token)
            self.fanouts = {}
        return self._execution

    def drop_execution(self) -> None:
        """Drop the coroutines."""
        if self._execution is not None:
            self._execution.close()
        self._execution = None
        self.fanouts = {}

    # -- transitions -------------------------------------------------------------------------------------------------

    def turn(self, job: JobRow, status: JobStatus) -> None:
        """Change the status.

        Raises:
            ConflictError: the state machine has no such transition.
        """
        if not may_follow(job.status, status):
            raise ConflictError(f"A job that is {job.status} cannot become {status}")
        if job.status != status:
            job.revision += 1
        job.status = status

    def end(self, job: JobRow, status: JobStatus) -> None:
        """End the job: status, result, notices and the end of every due time in one commit."""
        now_ms = self.now_ms()
        self.turn(job, status)
        job.finished_at_ms = now_ms
        job.due_at_ms = None
        job.slice_open = False
        self.journal.clear_due()
        self.tickets.give_back(self.journal.outbox, now_ms)
        retention_ms = codec.decode_as(job.options, JobOptions).retention_ms
        if retention_ms:
            self.journal.set_due(RETENTION, now_ms + retention_ms + _spread_ms(job.job_id, retention_ms))
        self.journal.history.add(now_ms, f"job.{status}")
        if job.parent is not None and not codec.decode_as(job.parent, ParentRef).detached:
            self.journal.outbox.add("parent", job.parent, now_ms)
        self.watchers.tell(self.journal.outbox, now_ms)
        if job.phase == "main":
            cascade.begin(self.journal.sql, self.journal.outbox, now_ms, completed=status is JobStatus.COMPLETED)
        self.journal.outbox.add("catalog", b"", now_ms)
        self.journal.history.trim()
        self.count(job)
        self.journal.update_job(job)
        self.drop_execution()

    def pause(self, job: JobRow, why: ErrorRecord) -> None:
        """Keep a job that cannot go on, until its cause is mended and somebody resumes it."""
        now_ms = self.now_ms()
        self.turn(job, JobStatus.PAUSED)
        job.paused_at_ms = now_ms
        job.pause_error = codec.encode(why)
        job.slice_open = False
        job.due_at_ms = None
        self.tickets.give_back(self.journal.outbox, now_ms)
        self.journal.history.add(now_ms, "job.paused", None, job.pause_error)
        self.journal.outbox.add("catalog", b"", now_ms)
        self.count(job)
        self.journal.update_job(job)
        self.drop_execution()

    def excess(self, job: JobRow) -> Sequence[str]:
        """Return what of its budget the job has used up: what somebody has raised, its own, or its workflow's."""
        self.count(job)
        budgets = [account_of(job).raised, codec.decode_as(job.options, JobOptions).budget]
        if job.workflow in self._registry:
            budgets.append(self._registry.get(job.workflow).options.budget)
        return excess(cost_of(job, self._platform.sql.size_bytes), merged(*budgets))

    def allow(self, job: JobRow, budget: JobBudget) -> None:
        """Raise limits of a job's budget; the caller stores them.

        Raises:
            ConflictError: it is used up all the same (code ``budget_exceeded``).
        """
        before, account = job.account, account_of(job)
        account = msgspec.structs.replace(account, raised=merged(budget, account.raised))
        job.account = codec.encode(account)
        found = self.excess(job)
        if found:
            job.account = before
            raise ConflictError(budget_error(found).message, code="budget_exceeded")

    def reopen(self, job: JobRow, *, undone: bool) -> None:
        """Make an ended job run again; the caller stores it. ``undone``: what it did was undone."""
        account = account_of(job)
        job.account = codec.encode(
            msgspec.structs.replace(account, undone=account.undone + undone, active_before_ms=account.usage.active_ms)
        )
        self.drop_execution()
        self.turn(job, JobStatus.RUNNING)
        self.journal.set_due(RETENTION, None)
        cascade.withdraw(self.journal.sql)
        job.epoch += 1
        job.generation += 1
        job.phase = "main"
        job.crashes = 0
        job.started_at_ms = job.finished_at_ms = None
        job.due_at_ms = self.now_ms()
        job.result = job.error = None

    def begin_deletion(self, job: JobRow) -> None:
        """Make an ended job unknown from now on; the rest is done by its ticks."""
        job.phase = "deleted"
        job.epoch += 1
        self.journal.set_due(RETENTION, self.now_ms())
        self.journal.update_job(job)

    def forget_everything(self) -> None:
        """Drop everything in memory, the tables' existence included: they are about to go."""
        self.forget()
        self.journal.forget()
        self.tickets.forget()
        self._rows_counted = self._platform.sql.rows_written

    def has_ended(self, job: JobRow) -> bool:
        """Tell whether the job has ended, so that only its outbox and its deletion are left."""
        return job.status in TERMINAL

    def count(self, job: JobRow) -> None:
        """Add what was used since the last count to the job's bill; it is stored with the job's next update."""
        written = self._platform.sql.rows_written
        job.rows_written += written - self._rows_counted
        self._rows_counted = written
        used = self._platform.meter.take(self.now_ms(), self._platform.sql.rows_read)
        account = account_of(job)
        job.account = codec.encode(msgspec.structs.replace(account, usage=account.usage.plus(used)))

    def late_from_ms(self) -> int | None:
        """Return from when on somebody should look whether the job has acted. News for the catalog do not count.

        A job that waits is looked at now and then whatever it waits for: it, or its lane, may have lost its alarm.
        """
        job = self._job
        if job is None:
            return None
        now_ms = self.now_ms()
        times = [self.journal.outbox.next_owed_ms()]
        if waits_for_lane(job, self.tickets):
            times.append(now_ms + LANE_LEASE_MS)
        elif job.status is JobStatus.PAUSED:
            times.append(now_ms + LOOK_AGAIN_MS)
        else:
            times.append(self.journal.next_work_ms())
            times.append(None if job.status in TERMINAL else now_ms + LOOK_AGAIN_MS)
        return min((at_ms for at_ms in times if at_ms is not None), default=None)

    def next_due_ms(self) -> int | None:
        """Return when the job needs its next tick. A paused job keeps its rows, and only its outbox counts."""
        job = self._job
        if not self.journal.exists():
            return None
        if job is not None and job.status is JobStatus.PAUSED:
            return self.journal.outbox.next_due_ms()
        if job is not None and waits_for_lane(job, self.tickets):
            return self.journal.next_own_ms()
        return self.journal.next_due_ms()


def _spread_ms(job_id: str, retention_ms: int) -> int:
    """Return how much later than its retention a job is deleted: always the same for one job."""
    most_ms = min(int(retention_ms * RETENTION_SPREAD), RETENTION_SPREAD_MS)
    return zlib.crc32(job_id.encode()) % (most_ms + 1)
