"""One slice: runs a job's open operations within a budget, committing each outcome as it comes.

Every commit is one group of synchronous writes, fenced by the epoch, with no await in between (design.md §4.5).
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from functools import partial
from typing import cast

import msgspec

from orchestrator import codec, effects
from orchestrator.attempt import Attempt, Settled, failed, fetch, given_up, run, unblamed
from orchestrator.child_operations import EndOp, StartOp
from orchestrator.driver import AnyOp, Success
from orchestrator.errors import ErrorRecord
from orchestrator.execution import Execution
from orchestrator.family import PLATFORM_RETRY, Family, StaleSliceError
from orchestrator.fanout import Fanout
from orchestrator.heartbeat import Heartbeats, timeout_ms
from orchestrator.journal import Journal
from orchestrator.lifecycle import JobStatus, StepStatus
from orchestrator.limits import MAX_PARALLEL_STEPS, MAX_STEP_CRASHES, SLICE_WALL_MS
from orchestrator.meter import account_of
from orchestrator.model import JobOptions, JobRow, Progress, StepRow
from orchestrator.operations import AttemptOp, ChildrenOp, RateOp, SleepOp, TransactionOp, WaitOp
from orchestrator.ports import Platform, Resources
from orchestrator.retry import RetryPolicy
from orchestrator.running import Running, cancel, start_task
from orchestrator.step_context import StepContext, enter_step
from orchestrator.waits import arrived, end_wait

#: Operations whose open row holds what their last attempt said, and not a tally.
_ATTEMPTS = frozenset({"step", "transaction"})


class Slice:
    """The work of one alarm.

    Args:
        execution: the job in memory.
        journal: where outcomes are committed.
        platform: the ports.
        resources: what the slice's steps use.
        fanouts: the job's fan-outs, kept between slices.
    """

    def __init__(
        self,
        execution: Execution,
        journal: Journal,
        platform: Platform,
        resources: Resources,
        fanouts: dict[str, Fanout],
    ) -> None:
        self._execution = execution
        self._job = execution.job
        self._epoch = execution.job.epoch
        self._tenant = codec.decode_as(execution.job.options, JobOptions).tenant
        self._journal = journal
        self._platform = platform
        self._resources = resources
        self._family = Family(execution, journal, platform, self, fanouts)
        self._now_ms = platform.clock.now_ms
        self._ends_ms = self._now_ms() + SLICE_WALL_MS
        self._units_left = execution.job.slice_units
        self._run_suffix = _run_suffix(execution.job)
        self._running: dict[str, Running] = {}
        #: What attempts led to, in the order in which they ended; :meth:`_advance` commits it.
        self._ended: deque[Settled | None] = deque()
        self._advancing = False
        #: What ended the slice before its time.
        self._broken: BaseException | None = None
        #: Wakes :meth:`run`, and the time until which it means to sleep.
        self._wake: asyncio.Future[None] | None = None
        self._sleeps_until_ms = 0
        #: Operations whose code said itself how far it is: it knows better than a count of items.
        self._reported: set[str] = set()
        self._heartbeats = Heartbeats(execution, journal, platform.clock, self.fence)
        self.advanced = False
        #: Why the job is to rest.
        self.pause: ErrorRecord | None = None

    @property
    def _over(self) -> bool:
        """Whether the slice commits nothing more, whatever still runs."""
        job = self._job
        cancelled = job.status is JobStatus.CANCELLING and job.phase == "main"
        return self._execution.driver.outcome is not None or cancelled or self._broken is not None

    async def run(self) -> None:
        """Work until the workflow ends, everything waits, or the budget is used up.

        Attempts commit what they led to as they end, and start what follows: a turn of the event loop costs as much as
        a step does. This waits for the last of them, or for the first that runs out of time.
        """
        self._loop = asyncio.get_running_loop()
        # Attempts end in contexts of their own, and the workflow sees none of them.
        self._context = contextvars.copy_context()
        try:
            self._advance()
            while self._running and not self._over:
                await self._sleep()
                self._time_out()
                self._advance()
        finally:
            await self._abandon()
        if self._broken is not None:
            raise self._broken

    def has_work(self) -> bool:
        """Tell whether the next slice could start something at once."""
        now_ms = self._now_ms()
        return any(self._can_start(key, row, now_ms) for key, row in self._execution.open.items())

    # -- starting ----------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Commit what has ended and start what can start, until everything waits."""
        if self._advancing or self._broken is not None:
            return  # an attempt that ended within this very call: it is seen to below
        self._advancing = True
        try:
            self._context.run(self._work)
        except BaseException as error:
            self._broken = error
        finally:
            self._advancing = False
        if self._wake is not None and not self._wake.done() and (not self._running or self._over):
            self._wake.set_result(None)

    def _work(self) -> None:
        driver = self._execution.driver
        driver.advance()
        progressed = True
        while progressed and not self._over:
            progressed = self._commit_ended()
            if self._job.status is JobStatus.PAUSED or self.pause is not None:
                continue
            now_ms = self._now_ms()
            # Counted units, or wall time, which moves with I/O only (design.md §4.4).
            if self._units_left <= 0 or now_ms > self._ends_ms or driver.outcome is not None:
                continue
            for key in self._startable(now_ms):
                if self._units_left <= 0 or driver.outcome is not None:
                    break
                self._start(key, now_ms)
                if self._ended:
                    # In the same group of writes: what the workflow registers after a step is stored with it.
                    progressed = self._commit_ended()

    def _commit_ended(self) -> bool:
        """Commit what attempts led to, and let the workflow go on; tell whether there was any."""
        if not self._ended:
            return False
        while self._ended and not self._over:
            settled = self._ended.popleft()
            if settled is not None:
                self.commit(settled)
            self._execution.driver.advance()
        return True

    def _startable(self, now_ms: int) -> list[str]:
        """Return the operations to start now."""
        running, rows = self._running, self._execution.open
        room = (1 if self._job.crashes else MAX_PARALLEL_STEPS) - len(running)
        ready = [key for key, row in rows.items() if key not in running and self._can_start(key, row, now_ms)]
        return ready[: max(0, room)]

    def _can_start(self, key: str, row: StepRow, now_ms: int) -> bool:
        op = self._execution.driver.pending[key].op
        if isinstance(op, ChildrenOp):
            return self._family.fanout(key, op).can_move(row, now_ms)
        if isinstance(op, EndOp):
            return self._family.can_join(key, row, now_ms)
        if isinstance(op, WaitOp) and row.status is not StepStatus.COMPLETED:
            return arrived(op, self._journal) is not None or (row.due_at_ms is not None and row.due_at_ms <= now_ms)
        return row.due_at_ms is None or row.due_at_ms <= now_ms

    def _start(self, key: str, now_ms: int) -> None:
        """Start an operation, which may end at once."""
        row, op = self._execution.open[key], self._execution.driver.pending[key].op
        if row.status is not StepStatus.COMPLETED:  # a replay that used the slice up would never come to what is new
            self._units_left -= 1
        if isinstance(op, SleepOp) or (isinstance(op, RateOp) and row.status is StepStatus.WAITING):
            done = msgspec.structs.replace(row, status=StepStatus.COMPLETED, finished_at_ms=now_ms, due_at_ms=None)
            self._ended.append(Settled(done, Success()))
        elif isinstance(op, WaitOp) and row.status is not StepStatus.COMPLETED:
            self._ended.append(end_wait(op, row, self._journal, now_ms))
        elif row.crashes >= MAX_STEP_CRASHES and self._is_suspect(op, row):
            self._ended.append(given_up(row, _poison(row), now_ms))
        else:
            running = self._running[key] = Running(key, op, now_ms)
            running.task = start_task(self._perform(running), self._loop)
            if self._wake is not None and self._gives_up_ms(running) < self._sleeps_until_ms:
                self._rouse()

    def _is_suspect(self, op: AnyOp, row: StepRow) -> bool:
        """Tell whether an operation may be what killed the slices before: then its attempt is marked."""
        return self._job.crashes > 0 and not isinstance(op, ChildrenOp) and row.status is not StepStatus.COMPLETED

    async def _mark(self, row: StepRow) -> None:
        """After a dead slice, note durably which operation runs, alone, so that a killer is known by name."""
        self.fence()
        row.crashes += 1
        row.status = StepStatus.RUNNING
        self._journal.put_step(row)
        await self._platform.sync()
        self.fence()

    # -- running -----------------------------------------------------------------------------------------------------

    async def _perform(self, running: Running) -> None:
        """Run an attempt, commit what it led to, and go on from there."""
        key = running.key
        try:
            settled = await self._attempt(running)
        except GeneratorExit:
            raise
        except BaseException as error:
            if self._running.get(key) is running:
                del self._running[key]
                self._broken = error
                self._rouse()
            return
        if self._running.get(key) is running:  # else it was given up, and what it led to is dropped
            del self._running[key]
            self._ended.append(settled)
            self._advance()

    async def _attempt(self, running: Running) -> Settled | None:
        key, op, row = running.key, running.op, self._execution.open[running.key]
        if self._is_suspect(op, row):
            await self._mark(row)
        if row.status is StepStatus.COMPLETED:
            return await fetch(op, self.context(key))
        if isinstance(op, AttemptOp):
            self._enter(running, row)
            if isinstance(op, TransactionOp) and effects.announce(self._job):
                self.fence()
                self._journal.update_job(self._job)
            return await run(op, self.context(key))
        if isinstance(op, ChildrenOp):
            self._enter(running, row)
            return await self._family.pump(key, op)
        if isinstance(op, StartOp):
            return await self._family.launch(key, op)
        if isinstance(op, EndOp):
            return await self._family.join(key, op)
        return await self._reserve(key, cast("RateOp", op))

    def _enter(self, running: Running, row: StepRow) -> None:
        """Make an operation the current step of the running task."""
        key, op, now_ms = running.key, running.op, running.began_ms
        enter_step(
            StepContext(
                job_id=self._job.job_id,
                key=key,
                attempt=row.attempt,
                idempotency_key=self._identity(key),
                deadline_ms=now_ms + timeout_ms(op),
                now_ms=now_ms,
                services=self._resources.services,
                database=self._resources.database,
                report=partial(self._report, key),
                beat=partial(self._heartbeats.beat, row),
                last_heartbeat=codec.decode(row.value) if row.value and op.kind in _ATTEMPTS else None,
                write_log=self._log,
                create_job=self._platform.network.create,
                tenant=self._tenant,
            )
        )

    def _identity(self, key: str) -> str:
        """Return the operation's identity to the outside. A hook runs once per failure, and so do its effects."""
        return f"{self._job.job_id}:{key}{self._run_suffix}"

    def _report(self, key: str, progress: Progress) -> None:
        self._reported.add(key)
        self._execution.set_progress(progress)

    def context(self, key: str) -> Attempt:
        """See :class:`orchestrator.family.Committer`."""
        return Attempt(
            row=self._execution.open[key],
            idempotency_key=self._identity(key),
            job_id=self._job.job_id,
            database=self._resources.database,
            blobs=self._resources.blobs,
            now_ms=self._now_ms,
            random=self._platform.entropy.random,
        )

    async def _reserve(self, key: str, op: RateOp) -> Settled:
        """Take a token of a shared bucket, which may be one of a later moment."""
        try:
            reserved = await self._platform.network.reserve(op.bucket)
        except Exception as error:
            return failed(PLATFORM_RETRY, self.context(key), error)
        row, now_ms = self._execution.open[key], self._now_ms()
        if not reserved.held:
            # The bucket promises no token yet; asking again is no failed attempt.
            row = unblamed(row)
            later = msgspec.structs.replace(row, status=StepStatus.RETRYING, due_at_ms=reserved.at_ms)
            return Settled(later, advanced=False)
        if reserved.at_ms > now_ms:
            waiting = msgspec.structs.replace(row, status=StepStatus.WAITING, due_at_ms=reserved.at_ms)
            return Settled(waiting)
        done = msgspec.structs.replace(row, status=StepStatus.COMPLETED, finished_at_ms=now_ms, due_at_ms=None)
        return Settled(done, Success())

    # -- waiting -----------------------------------------------------------------------------------------------------

    async def _sleep(self) -> None:
        """Wait until nothing runs any more, or an attempt runs out of time. One timer serves for many attempts."""
        self._sleeps_until_ms = min(map(self._gives_up_ms, self._running.values()))
        self._wake = self._loop.create_future()
        patience_s = max(0, self._sleeps_until_ms - self._now_ms()) / 1000
        timer = self._loop.call_later(patience_s, self._rouse)
        try:
            await self._wake
        finally:
            timer.cancel()
            self._wake = None

    def _gives_up_ms(self, running: Running) -> int:
        return self._heartbeats.gives_up_ms(running.key, running.op, running.began_ms)

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _time_out(self) -> None:
        """Give attempts up. They may go on running, but what they return is dropped."""
        now_ms = self._now_ms()
        for running in [running for running in self._running.values() if self._gives_up_ms(running) <= now_ms]:
            del self._running[running.key]
            cancel(running)
            op = running.op
            policy = op.retry if isinstance(op, AttemptOp) else self.retry
            error = self._heartbeats.verdict(running.key, op, running.began_ms, now_ms)
            self._ended.append(failed(policy, self.context(running.key), error))

    async def _abandon(self) -> None:
        """Stop what still runs when the workflow has ended or the job is being cancelled."""
        tasks = [task for running in self._running.values() if (task := cancel(running)) is not None]
        self._running.clear()
        if tasks:
            await asyncio.wait(tasks, timeout=1)

    # -- committing --------------------------------------------------------------------------------------------------

    def commit(self, settled: Settled) -> None:
        """Store what an attempt led to, and hand the workflow its outcome.

        Raises:
            StaleSliceError: another writer has taken over.
        """
        row, execution, journal = settled.row, self._execution, self._journal
        if not journal.commit_step(row, self._epoch):
            raise StaleSliceError
        if row.due_at_ms != execution.open[row.key].due_at_ms:
            journal.set_due(row.key, row.due_at_ms)
        if settled.event is not None:
            kind, data = settled.event
            body = None if data is None else codec.encode(data)
            journal.history.add(self._now_ms(), kind, row.key, body)
        if settled.progress is not None and row.key not in self._reported:
            execution.set_progress(settled.progress)
        self._reported.discard(row.key)
        if settled.metadata is not None:
            for name, fact in settled.metadata.items():
                execution.set_metadata(name, fact)
        self.pause = self.pause or settled.pause
        if settled.advanced:
            self.advanced = True
            if self._job.crashes:
                # Stored at once: a slice that advances and dies again must not count as one that never advanced.
                self._job.crashes = 0
                journal.update_job(self._job)
        if settled.outcome is None:
            execution.open[row.key] = row
        else:
            del execution.open[row.key]
            self._family.forget(row.key)
            execution.driver.deliver(row.key, settled.outcome)

    def fence(self) -> None:
        """See :class:`orchestrator.family.Committer`."""
        if self._journal.epoch() != self._epoch:
            raise StaleSliceError

    @property
    def retry(self) -> RetryPolicy:
        """The workflow's retry policy."""
        return self._execution.workflow.options.retry

    def _log(self, message: str, fields: dict[str, object]) -> None:
        who = {"job_id": self._job.job_id, "workflow": self._job.workflow}
        self._platform.log("info", "step.log", {**fields, "message": message, **who})


def _run_suffix(job: JobRow) -> str:
    """Return what tells a job's later runs apart: what was undone is done once more by them, as something new."""
    run = account_of(job).undone if job.phase == "main" else job.generation
    return f":{run}" if run else ""


def _poison(row: StepRow) -> ErrorRecord:
    message = f"{row.key} killed its slice {row.crashes} times: it uses too much CPU or memory at once"
    return ErrorRecord(code="step_crashed", message=message, step=row.key, attempt=row.attempt)
