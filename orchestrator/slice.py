"""One slice: runs a job's open operations within a budget, committing each outcome as it comes.

Every commit is one group of synchronous writes, fenced by the epoch, with no await in between (design.md §4.5).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from functools import partial

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
from orchestrator.model import JobOptions, Progress, StepRow
from orchestrator.operations import AttemptOp, ChildrenOp, RateOp, SleepOp, TransactionOp, WaitOp
from orchestrator.ports import Platform, Resources
from orchestrator.retry import RetryPolicy
from orchestrator.step_context import StepContext, enter_step
from orchestrator.waits import arrived, end_wait

#: Operations whose open row holds what their last attempt said, and not a tally.
_ATTEMPTS = frozenset({"step", "transaction"})


class Running(msgspec.Struct):
    """An attempt under way."""

    key: str
    began_ms: int


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
        self._began_ms = platform.clock.now_ms()
        self._units_left = execution.job.slice_units
        self._tasks: dict[asyncio.Task[Settled | None], Running] = {}
        #: Operations whose code said itself how far it is: it knows better than a count of items.
        self._reported: set[str] = set()
        self._heartbeats = Heartbeats(execution, journal, platform.clock, self.fence)
        self.advanced = False
        #: Why the job is to rest.
        self.pause: ErrorRecord | None = None

    @property
    def exhausted(self) -> bool:
        """Whether the slice may start nothing more: counted units, or wall time read after I/O (design.md §4.4)."""
        return self._units_left <= 0 or self._platform.clock.now_ms() - self._began_ms > SLICE_WALL_MS

    @property
    def _cancelled(self) -> bool:
        return self._job.status is JobStatus.CANCELLING and self._job.phase == "main"

    async def run(self) -> None:
        """Work until the workflow ends, everything waits, or the budget is used up."""
        driver = self._execution.driver
        try:
            driver.advance()
            while driver.outcome is None and not self._cancelled:
                if self._job.status is not JobStatus.PAUSED and self.pause is None:
                    await self._start_what_can()
                if driver.outcome is not None or not self._tasks:
                    break
                await self._collect()
                driver.advance()
        finally:
            await self._abandon()

    def has_work(self) -> bool:
        """Tell whether the next slice could start something at once."""
        now_ms = self._platform.clock.now_ms()
        return any(self._can_start(key, row, now_ms) for key, row in self._execution.open.items())

    # -- starting ----------------------------------------------------------------------------------------------------

    async def _start_what_can(self) -> None:
        driver = self._execution.driver
        progressed = True
        while progressed and driver.outcome is None and not self.exhausted:
            progressed = False
            now_ms = self._platform.clock.now_ms()
            busy = {running.key for running in self._tasks.values()}
            room = (1 if self._job.crashes else MAX_PARALLEL_STEPS) - len(self._tasks)
            idle = [(key, row) for key, row in self._execution.open.items() if key not in busy]
            ready = [key for key, row in idle if self._can_start(key, row, now_ms)]
            for key in ready[: max(0, room)]:
                if self._units_left <= 0:
                    break
                if await self._start(key):
                    progressed = True
                    # In the same group of writes: what the workflow registers after a step is stored with it.
                    driver.advance()

    def _can_start(self, key: str, row: StepRow, now_ms: int) -> bool:
        op = self._execution.driver.pending[key].op
        if isinstance(op, ChildrenOp):
            return self._family.fanout(key, op).can_move(row, now_ms)
        if isinstance(op, EndOp):
            return self._family.can_join(key, row, now_ms)
        if isinstance(op, WaitOp):
            return arrived(op, self._journal) is not None or (row.due_at_ms is not None and row.due_at_ms <= now_ms)
        return row.due_at_ms is None or row.due_at_ms <= now_ms

    async def _start(self, key: str) -> bool:
        """Start an operation; tell whether it ended at once."""
        row, op = self._execution.open[key], self._execution.driver.pending[key].op
        self._units_left -= 1
        now_ms = self._platform.clock.now_ms()
        if isinstance(op, SleepOp) or (isinstance(op, RateOp) and row.status is StepStatus.WAITING):
            done = msgspec.structs.replace(row, status=StepStatus.COMPLETED, finished_at_ms=now_ms, due_at_ms=None)
            self.commit(Settled(done, Success()))
            return True
        if isinstance(op, WaitOp):
            self.commit(end_wait(op, row, self._journal, now_ms))
            return True
        fetching = row.status is StepStatus.COMPLETED
        if self._job.crashes and not isinstance(op, ChildrenOp) and not fetching:
            if row.crashes >= MAX_STEP_CRASHES:
                self.commit(given_up(row, _poison(row), now_ms))
                return True
            await self._mark(row)
        task = start_task(fetch(op, self.context(key)) if fetching else self._work(key, op))
        if task.done():
            self._settle(task.result())
            return True
        self._tasks[task] = Running(key, now_ms)
        return False

    def _work(self, key: str, op: AnyOp) -> Coroutine[object, object, Settled | None]:
        if isinstance(op, ChildrenOp):
            return self._family.pump(key, op)
        if isinstance(op, StartOp):
            return self._family.launch(key, op)
        if isinstance(op, EndOp):
            return self._family.join(key, op)
        return self._reserve(key, op) if isinstance(op, RateOp) else self._attempt(key)

    async def _mark(self, row: StepRow) -> None:
        """After a dead slice, note durably which operation runs, alone, so that a killer is known by name."""
        self.fence()
        row.crashes += 1
        row.status = StepStatus.RUNNING
        self._journal.put_step(row)
        await self._platform.sync()
        self.fence()

    # -- running -----------------------------------------------------------------------------------------------------

    async def _attempt(self, key: str) -> Settled:
        op = self._execution.driver.pending[key].op
        self.enter(key)
        if isinstance(op, TransactionOp) and effects.announce(self._job):
            self.fence()
            self._journal.update_job(self._job)
        return await run(op, self.context(key))

    def enter(self, key: str) -> None:
        """Make this operation the current step of the running task."""
        now_ms, row = self._platform.clock.now_ms(), self._execution.open[key]
        op = self._execution.driver.pending[key].op
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
        identity = f"{self._job.job_id}:{key}"
        # What was undone is done once more by a later run, as something new.
        run = account_of(self._job).undone if self._job.phase == "main" else self._job.generation
        return f"{identity}:{run}" if run else identity

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
            now_ms=self._platform.clock.now_ms,
            random=self._platform.entropy.random,
        )

    async def _reserve(self, key: str, op: RateOp) -> Settled:
        """Take a token of a shared bucket, which may be one of a later moment."""
        try:
            reserved = await self._platform.network.reserve(op.bucket)
        except Exception as error:
            return failed(PLATFORM_RETRY, self.context(key), error)
        row, now_ms = self._execution.open[key], self._platform.clock.now_ms()
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

    async def _collect(self) -> None:
        """Wait for the first attempts to end, or to run out of time."""
        now_ms = self._platform.clock.now_ms()
        patience_s = max(0, min(map(self._gives_up_ms, self._tasks.values())) - now_ms) / 1000
        done, _ = await asyncio.wait(self._tasks, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        self.fence()
        for task in [task for task in self._tasks if task in done]:  # in the order in which they began
            del self._tasks[task]
            self._settle(task.result())
        now_ms = self._platform.clock.now_ms()
        for task, running in list(self._tasks.items()):
            if self._gives_up_ms(running) <= now_ms and not task.done():
                self._time_out(task, running, now_ms)

    def _gives_up_ms(self, running: Running) -> int:
        op = self._execution.driver.pending[running.key].op
        return self._heartbeats.gives_up_ms(running.key, op, running.began_ms)

    def _time_out(self, task: asyncio.Task[Settled | None], running: Running, now_ms: int) -> None:
        """Give an attempt up. It may go on running, but what it returns is dropped: only a settled task commits."""
        del self._tasks[task]
        task.cancel()
        task.add_done_callback(_forget)
        op = self._execution.driver.pending[running.key].op
        policy = op.retry if isinstance(op, AttemptOp) else self.retry
        error = self._heartbeats.verdict(running.key, op, running.began_ms, now_ms)
        self.commit(failed(policy, self.context(running.key), error))

    async def _abandon(self) -> None:
        """Stop what still runs when the workflow has ended or the job is being cancelled."""
        for task in self._tasks:
            task.cancel()
            task.add_done_callback(_forget)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)
        self._tasks.clear()

    # -- committing --------------------------------------------------------------------------------------------------

    def _settle(self, settled: Settled | None) -> None:
        if settled is not None:
            self.commit(settled)

    def commit(self, settled: Settled) -> None:
        """Store what an attempt led to, and hand the workflow its outcome.

        Raises:
            StaleSliceError: another writer has taken over.
        """
        self.fence()
        row, execution, journal = settled.row, self._execution, self._journal
        before = execution.open[row.key]
        journal.put_step(row)
        if row.due_at_ms != before.due_at_ms:
            journal.set_due(row.key, row.due_at_ms)
        if settled.event is not None:
            kind, data = settled.event
            body = None if data is None else codec.encode(data)
            journal.history.add(self._platform.clock.now_ms(), kind, row.key, body)
        if settled.progress is not None and row.key not in self._reported:
            execution.set_progress(settled.progress)
        self._reported.discard(row.key)
        for name, fact in (settled.metadata or {}).items():
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


def start_task(work: Coroutine[object, object, Settled | None]) -> asyncio.Task[Settled | None]:
    """Start a task; where Python allows (3.12), run it at once up to its first wait, which most steps never reach."""
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12):
        return asyncio.Task(work, loop=loop, eager_start=True)
    return loop.create_task(work)


def _forget(task: asyncio.Task[Settled | None]) -> None:
    if not task.cancelled():
        task.exception()


def _poison(row: StepRow) -> ErrorRecord:
    message = f"{row.key} killed its slice {row.crashes} times: it uses too much CPU or memory at once"
    return ErrorRecord(code="step_crashed", message=message, step=row.key, attempt=row.attempt)
