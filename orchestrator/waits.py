"""Waits for events and tokens: how they end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from orchestrator import codec, large
from orchestrator.attempt import Settled, given_up
from orchestrator.driver import Success
from orchestrator.errors import ErrorRecord, UnknownTokenError
from orchestrator.journal import Journal
from orchestrator.lifecycle import TERMINAL, StepStatus
from orchestrator.model import StepRow
from orchestrator.operations import Token, WaitOp
from orchestrator.state import JobState
from orchestrator.tokens import parse


class Arrived(msgspec.Struct, frozen=True):
    """What a wait was for."""

    data: bytes
    #: Marks it as taken, in the commit that ends the wait.
    take: Callable[[], None]


def arrived(op: WaitOp, journal: Journal) -> Arrived | None:
    """Return what the wait is for, when it is there."""
    if op.token is not None:
        return _completed(op.token, journal)
    message = journal.inbox.oldest(op.event or "")
    return None if message is None else Arrived(message[1], lambda: journal.inbox.take(message[0]))


def end_wait(op: WaitOp, row: StepRow, journal: Journal, now_ms: int) -> Settled:
    """Return the end of a wait: its data, or its timeout."""
    found = arrived(op, journal)
    if found is None:
        message = f"Waitpoint timed out at {_iso(row.due_at_ms or now_ms)}"
        return given_up(row, ErrorRecord(code="wait_timeout", message=message, step=row.key), now_ms)
    found.take()
    done = msgspec.structs.replace(
        row, status=StepStatus.COMPLETED, finished_at_ms=now_ms, due_at_ms=None, value=found.data
    )
    # What lies in object storage is fetched next, as in a replay.
    outcome = None if large.is_reference(found.data) else Success(codec.decode(found.data))
    return Settled(done, outcome, event=("step.completed", None))


def open_token(state: JobState, key: str) -> StepRow | None:
    """Return the row of a token that may be completed; None when it is complete or its time is over.

    Raises:
        UnknownTokenError: the job has no such token.
    """
    job = state.load()
    row = None if job is None else state.journal.step(key)
    if job is None or job.phase == "deleted" or row is None or row.kind != "token":
        raise UnknownTokenError
    over = job.status in TERMINAL or (row.due_at_ms or 0) <= state.now_ms()
    return None if over or row.status is StepStatus.COMPLETED else row


def settle_token(state: JobState, key: str, value: bytes) -> bool:
    """Complete a token, unless that would change nothing; tell whether it did.

    Raises:
        UnknownTokenError: the job has no such token.
    """
    row = open_token(state, key)
    if row is None:
        return False
    row.status = StepStatus.COMPLETED
    row.finished_at_ms = state.now_ms()
    row.value = value
    state.journal.put_step(row)
    return True


def _completed(token: Token, journal: Journal) -> Arrived | None:
    row = journal.step(parse(token.id).key)
    if row is None or row.status is not StepStatus.COMPLETED or row.value is None:
        return None
    return Arrived(row.value, lambda: None)


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
