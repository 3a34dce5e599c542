"""Waits for another job's end: one that was started before, or one that is to stop.

The row is stored before the other job is asked to tell of its end, so that its notice always finds the row. A notice
that is lost all the same is healed by asking again, less and less often.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from orchestrator import codec
from orchestrator.attempt import Settled, given_up
from orchestrator.child_operations import EndOp, JoinState, StopOp
from orchestrator.driver import Success
from orchestrator.errors import ErrorRecord, UnknownJobError
from orchestrator.journal import Journal
from orchestrator.lifecycle import StepStatus
from orchestrator.limits import CHILD_HEAL_MAX_MS, CHILD_HEAL_MS
from orchestrator.model import ChildOutcome, JobRow, ParentRef, StepRow, StopJob
from orchestrator.ports import Network

#: The kinds of the operations that wait so.
KINDS = frozenset({"join", "stop"})


class Join:
    """One wait for a job's end.

    Args:
        job: the job that waits.
        key: the operation's key.
        op: whom to wait for.
        journal: where the other job's outcome arrives.
        network: asks the other job.
        store: commits the operation's row.
    """

    def __init__(
        self,
        job: JobRow,
        key: str,
        op: EndOp[object],
        journal: Journal,
        network: Network,
        store: Callable[[Settled], None],
    ) -> None:
        self._job = job
        self._key = key
        self._op = op
        self._journal = journal
        self._network = network
        self._store = store

    async def run(self, row: StepRow, now_ms: Callable[[], int]) -> Settled | None:
        """Look whether the other job has ended, and see to it that it tells; return the end of the wait, if any.

        Raises:
            UnknownJobError: there is no such job. One that is to stop need not be there.
        """
        found = stored_outcome(self._journal, self._key)
        if found is not None:
            return self._ended(row, found, now_ms())
        state = JoinState(self._op.job_id, self._op.operation, left_ms=self._op.timeout_ms)
        over = False
        if row.value is None:
            self._store(Settled(_waiting(row, state, now_ms())))
        elif (row.due_at_ms or 0) <= now_ms():
            state = codec.decode_as(row.value, JoinState)
            over = state.left_ms == 0
            if not over:
                self._store(Settled(_waiting(row, state, now_ms())))
        try:
            told = await self._ask(state.job_id)
        except UnknownJobError:
            if isinstance(self._op, StopOp):
                return _completed(row, state, now_ms(), None)
            raise
        found = stored_outcome(self._journal, self._key) or told
        if found is not None:
            return self._ended(row, found, now_ms())
        if not over:
            return None
        message = f"{state.job_id} did not end within {self._op.timeout_ms} ms"
        return given_up(row, ErrorRecord(code="wait_timeout", message=message, step=self._key), now_ms())

    async def _ask(self, job_id: str) -> ChildOutcome | None:
        watcher = ParentRef(self._job.job_id, self._key, "")
        if isinstance(self._op, StopOp):
            request = StopJob(watcher=watcher, reason=self._op.reason, workflows=self._op.workflows)
            return await self._network.stop(job_id, request)
        return await self._network.watch(job_id, watcher)

    def _ended(self, row: StepRow, outcome: ChildOutcome, now_ms: int) -> Settled:
        state = JoinState(self._op.job_id, self._op.operation, outcome=outcome)
        if isinstance(self._op, StopOp):
            return _completed(row, state, now_ms, outcome.status)
        row = msgspec.structs.replace(row, value=codec.encode(state))
        if not outcome.ok:
            cause = None if outcome.error is None else f"{outcome.error.code}: {outcome.error.message}"
            message = f"The child {outcome.job_id} ended {outcome.status}"
            record = ErrorRecord(code="child_failed", message=message, step=self._key, cause=cause)
            return given_up(row, record, now_ms)
        return _completed(row, state, now_ms, outcome.result)


def can_move(journal: Journal, row: StepRow, now_ms: int) -> bool:
    """Tell whether there is something to do for a wait whose job has been asked to tell."""
    return row.due_at_ms is None or row.due_at_ms <= now_ms or stored_outcome(journal, row.key) is not None


def stored_outcome(journal: Journal, key: str) -> ChildOutcome | None:
    """Return what the other job has told, when it has."""
    row = journal.step(key)
    return None if row is None or row.value is None else codec.decode_as(row.value, JoinState).outcome


def settle(journal: Journal, row: StepRow, outcome: ChildOutcome) -> bool:
    """Store what the other job tells, once; tell whether it was stored."""
    if row.kind not in KINDS or row.value is None or row.status in {StepStatus.COMPLETED, StepStatus.FAILED}:
        return False
    state = codec.decode_as(row.value, JoinState)
    if state.outcome is not None or state.job_id != outcome.job_id:
        return False
    row.value = codec.encode(msgspec.structs.replace(state, outcome=outcome))
    journal.put_step(row)
    return True


def _completed(row: StepRow, state: JoinState, now_ms: int, value: object) -> Settled:
    done = msgspec.structs.replace(
        row,
        status=StepStatus.COMPLETED,
        finished_at_ms=now_ms,
        due_at_ms=None,
        value=codec.encode(state),
        error=None,
    )
    return Settled(done, Success(value), event=("step.completed", None))


def _waiting(row: StepRow, state: JoinState, now_ms: int) -> StepRow:
    """Return the row of a wait that is looked at again later; the timeout counts what is left after that time."""
    pause_ms = min(CHILD_HEAL_MAX_MS, CHILD_HEAL_MS * 2 ** min(state.asked, 20))
    left_ms = state.left_ms
    if left_ms is not None:
        pause_ms = min(pause_ms, left_ms)
        left_ms -= pause_ms
    state = msgspec.structs.replace(state, asked=state.asked + 1, left_ms=left_ms)
    return msgspec.structs.replace(
        row, status=StepStatus.WAITING, due_at_ms=now_ms + pause_ms, value=codec.encode(state), error=None
    )
