"""What a slice does about other jobs: it moves fan-outs on, starts children, and waits for the ends of jobs."""

from __future__ import annotations

from typing import Protocol

import msgspec

from orchestrator import joining
from orchestrator.attempt import Attempt, Settled, failed
from orchestrator.child_operations import EndOp, StartOp
from orchestrator.errors import OrchestratorError, RetryableError
from orchestrator.execution import Execution
from orchestrator.fanout import Fanout
from orchestrator.joining import Join
from orchestrator.journal import Journal
from orchestrator.launch import Launch
from orchestrator.lifecycle import StepStatus
from orchestrator.model import StepRow
from orchestrator.operations import ChildrenOp
from orchestrator.ports import Platform
from orchestrator.retry import RetryPolicy

#: Calls between objects fail only for reasons of the platform's; the job waits them out.
PLATFORM_RETRY = RetryPolicy(max_attempts=1_000, max_interval_ms=60_000)


class StaleSliceError(OrchestratorError):
    """Another writer has taken the job over; this slice may commit nothing more."""

    code = "stale_slice"


class Committer(Protocol):
    """The slice, as its family sees it."""

    @property
    def retry(self) -> RetryPolicy:
        """The workflow's retry policy."""
        ...

    def fence(self) -> None:
        """Check that the slice may still commit.

        Raises:
            StaleSliceError: another writer has taken over.
        """
        ...

    def commit(self, settled: Settled) -> None:
        """Store what an attempt led to."""
        ...

    def context(self, key: str) -> Attempt:
        """Return where an attempt at an operation happens."""
        ...


class Family:
    """The children of one job, during one slice.

    Args:
        execution: the job in memory.
        journal: where outcomes are committed.
        platform: the ports.
        committer: the slice.
        fanouts: the job's fan-outs, kept between slices.
    """

    def __init__(
        self,
        execution: Execution,
        journal: Journal,
        platform: Platform,
        committer: Committer,
        fanouts: dict[str, Fanout],
    ) -> None:
        self._execution = execution
        self._journal = journal
        self._platform = platform
        self._slice = committer
        self._fanouts = fanouts

    def fanout(self, key: str, op: ChildrenOp[object]) -> Fanout:
        """Return a fan-out of the job."""
        found = self._fanouts.get(key)
        if found is None:
            job = self._execution.job
            found = self._fanouts[key] = Fanout(job, key, op, self._journal, self._platform.network)
        return found

    def forget(self, key: str) -> None:
        """Take note that an operation has ended."""
        self._fanouts.pop(key, None)

    async def pump(self, key: str, op: ChildrenOp[object]) -> Settled | None:
        """Move a fan-out on. Folding commits by itself: no notice may come between it and its commit."""
        fanout, row = self.fanout(key, op), self._execution.open[key]
        try:
            if row.status is StepStatus.WAITING and (row.due_at_ms or 0) <= self._platform.clock.now_ms():
                await fanout.heal()
            self._slice.fence()
            settled = fanout.fold(row, self._platform.clock.now_ms())
            # Here and now: the children it forgets and what they add up to must not fall into two groups.
            self._slice.commit(settled)
            if settled.outcome is not None:
                return None
            if fanout.broken(settled.row):
                await fanout.stop_children("a sibling failed")
                return None
            tally, requests = await fanout.read_more(self._execution.open[key])
            self._slice.fence()
            self._slice.commit(fanout.store(self._execution.open[key], tally, requests, self._platform.clock.now_ms()))
            await fanout.create_children()
            self._went_well(key)
        except StaleSliceError:
            raise
        except Exception as error:
            return self._failed(key, error)
        return None

    async def launch(self, key: str, op: StartOp) -> Settled:
        """Start a child."""
        clock, network = self._platform.clock, self._platform.network
        launch = Launch(self._execution.job, key, op, network, self._slice.commit)
        try:
            return await launch.run(self._execution.open[key], clock.now_ms)
        except StaleSliceError:
            raise
        except Exception as error:
            return self._failed(key, error)

    async def join(self, key: str, op: EndOp[object]) -> Settled | None:
        """Wait for another job's end."""
        clock, network = self._platform.clock, self._platform.network
        join = Join(self._execution.job, key, op, self._journal, network, self._slice.commit)
        try:
            settled = await join.run(self._execution.open[key], clock.now_ms)
        except StaleSliceError:
            raise
        except Exception as error:
            return self._failed(key, error)
        self._execution.joined.add(key)
        return settled

    def can_join(self, key: str, row: StepRow, now_ms: int) -> bool:
        """Tell whether there is something to do for a join."""
        if row.status is StepStatus.RETRYING and (row.due_at_ms or 0) > now_ms:
            return False
        return key not in self._execution.joined or joining.can_move(self._journal, row, now_ms)

    def _failed(self, key: str, error: Exception) -> Settled:
        policy = PLATFORM_RETRY if isinstance(error, RetryableError) else self._slice.retry
        return failed(policy, self._slice.context(key), error)

    def _went_well(self, key: str) -> None:
        """Give a fan-out that had failed all its attempts back: it has come through once."""
        row = self._execution.open[key]
        if row.attempt > 1:
            self._slice.fence()
            self._slice.commit(Settled(msgspec.structs.replace(row, attempt=1, error=None, policy=None)))
