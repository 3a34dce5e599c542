"""Undo steps: what a workflow registers while it goes, to be run in reverse order when it fails or is cancelled.

Each registration is a row of the journal. What is to be run is code, which no row holds: it is gathered by replaying
the workflow once more up to where it stopped, with nothing new begun.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from orchestrator import codec
from orchestrator.errors import ErrorRecord, StepFailedError
from orchestrator.journal import Journal
from orchestrator.model import StepRow
from orchestrator.operations import AttemptOp

#: The kind of the rows.
KIND = "compensation"
#: What the keys of undo steps begin with.
SCOPE = "undo/"
_PREFIX = "undo "


class Compensation(msgspec.Struct, frozen=True):
    """A registered undo step."""

    #: When it was registered; those that a crash kept from being recorded are the last.
    seq: float
    op: AttemptOp[object]


def registration(name: str) -> str:
    """Return the name of the row that records a registration."""
    return _PREFIX + name


def made(identity: str, op: AttemptOp[object], row: StepRow | None) -> Compensation:
    """Return a registered undo step; its key says which registration it belongs to, whatever the order they run in."""
    op.name, op.key = identity.removeprefix(_PREFIX), None
    return Compensation(float("inf") if row is None else row.seq, op)


def any_registered(journal: Journal) -> bool:
    """Tell whether a job has something to undo."""
    return bool(journal.sql.execute("select 1 from step where kind = ? limit 1", KIND))


def any_undone(journal: Journal) -> bool:
    """Tell whether something of what a job did was undone."""
    return bool(journal.sql.execute("select 1 from step where substr(key, 1, ?) = ? limit 1", len(SCOPE), SCOPE))


async def undo(compensations: Iterable[Compensation]) -> list[ErrorRecord]:
    """Run undo steps, the latest first; one that gives up does not keep the others from running."""
    failed: list[ErrorRecord] = []
    for compensation in sorted(compensations, key=lambda item: item.seq, reverse=True):
        try:
            await compensation.op
        except StepFailedError as error:
            failed.append(error.record)
    return failed


def with_failures(error: bytes | None, failed: list[ErrorRecord]) -> bytes | None:
    """Return a job's error with what could not be undone."""
    if error is None or not failed:
        return error
    record = codec.decode_as(error, ErrorRecord)
    names = ", ".join(f"{item.step} ({item.code})" for item in failed)
    cause = f"not undone: {names}"
    return codec.encode(
        msgspec.structs.replace(record, cause=cause if record.cause is None else f"{record.cause}; {cause}")
    )
