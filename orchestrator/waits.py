"""Waits for events and tokens: how they end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from orchestrator import codec
from orchestrator.attempt import Settled, given_up
from orchestrator.driver import Success
from orchestrator.errors import ErrorRecord
from orchestrator.journal import Journal
from orchestrator.lifecycle import StepStatus
from orchestrator.model import StepRow
from orchestrator.operations import Token, WaitOp
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
    return Settled(done, Success(codec.decode(found.data)), event=("step.completed", None))


def _completed(token: Token, journal: Journal) -> Arrived | None:
    row = journal.step(parse(token.id).key)
    if row is None or row.status is not StepStatus.COMPLETED or row.value is None:
        return None
    return Arrived(row.value, lambda: None)


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
