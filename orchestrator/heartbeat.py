"""Signs of life of the steps under way, and what they said last, for the attempt that comes after a death."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator import codec
from orchestrator.driver import AnyOp
from orchestrator.errors import HeartbeatTimeoutError, StepTimeoutError
from orchestrator.execution import Execution
from orchestrator.journal import Journal
from orchestrator.limits import HEARTBEAT_STORE_MS, MAX_HEARTBEAT_BYTES, STEP_TIMEOUT_MS
from orchestrator.model import StepRow
from orchestrator.operations import AttemptOp
from orchestrator.ports import Clock


class Heartbeats:
    """What the steps of one slice said of themselves.

    Args:
        execution: the job in memory.
        journal: where details are stored.
        clock: the wall clock.
        fence: raises when another writer has taken over.
    """

    def __init__(self, execution: Execution, journal: Journal, clock: Clock, fence: Callable[[], None]) -> None:
        self._execution = execution
        self._journal = journal
        self._clock = clock
        self._fence = fence
        self._heard_ms: dict[str, int] = {}
        self._stored_ms: dict[str, int] = {}

    def beat(self, row: StepRow, details: object) -> None:
        """Note that an attempt lives, and what it says; stored at once, but not more often than once a second.

        Raises:
            StepTimeoutError: the attempt was given up, so that it need not go on.
            InvalidRequestError: the details cannot be stored.
        """
        if self._execution.open.get(row.key) is not row:
            raise StepTimeoutError(f"{row.key}: this attempt was given up")
        data = codec.encode(details, what=f"heartbeat of {row.key}", limit_bytes=MAX_HEARTBEAT_BYTES)
        now_ms = self._clock.now_ms()
        self._heard_ms[row.key] = now_ms
        row.value = data
        if now_ms - self._stored_ms.get(row.key, 0) >= HEARTBEAT_STORE_MS:
            self._fence()
            self._journal.put_step(row)
            self._stored_ms[row.key] = now_ms

    def gives_up_ms(self, key: str, op: AnyOp, began_ms: int) -> int:
        """Return when an attempt is given up if it says nothing more."""
        end_ms = began_ms + timeout_ms(op)
        silence_ms = op.heartbeat_ms if isinstance(op, AttemptOp) else None
        if silence_ms is None:
            return end_ms
        return min(end_ms, max(began_ms, self._heard_ms.get(key, 0)) + silence_ms)

    def verdict(self, key: str, op: AnyOp, began_ms: int, now_ms: int) -> StepTimeoutError:
        """Return why an attempt is given up now."""
        if now_ms >= began_ms + timeout_ms(op) or not isinstance(op, AttemptOp):
            return StepTimeoutError(f"{key} took longer than {timeout_ms(op)} ms")
        return HeartbeatTimeoutError(f"{key} gave no sign of life for {op.heartbeat_ms} ms")


def timeout_ms(op: AnyOp) -> int:
    """Return how long an operation may run."""
    return op.timeout_ms if isinstance(op, AttemptOp) else STEP_TIMEOUT_MS
