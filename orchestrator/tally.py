"""The carried state of cursor loops and fan-outs: what their one checkpoint row holds."""

from __future__ import annotations

from typing import TypeVar, cast

import msgspec

from orchestrator import codec
from orchestrator.child_operations import JoinOp, JoinState, StartedChild, StartOp, StopOp
from orchestrator.model import ChildOutcome
from orchestrator.operations import ChildrenOp, ChildrenResult, EachOp, EachResult, Operation, StepOp, TransactionOp

S = TypeVar("S")


class EachTally(msgspec.Struct, frozen=True, kw_only=True):
    """A cursor loop between two batches."""

    cursor: object = None
    state: object = None
    items: int = 0
    batches: int = 0
    #: Items the next batch asks for.
    size: int
    #: No batch is larger: a batch of twice this killed its slice.
    ceiling: int
    done: bool = False


class ChildrenTally(msgspec.Struct, frozen=True, kw_only=True):
    """A fan-out between two ticks; the children under way are in the child table."""

    cursor: object = None
    state: object = None
    started: int = 0
    succeeded: int = 0
    failed: int = 0
    failures: tuple[ChildOutcome, ...] = ()
    #: Whether the source has nothing left.
    drained: bool = False


def each_tally(op: EachOp[S], value: bytes | None) -> EachTally:
    """Return the loop's stored tally, or the one it begins with."""
    if value is None:
        return EachTally(state=op.state, size=op.batch.initial, ceiling=op.batch.maximum)
    return codec.decode_as(value, EachTally)


def children_tally(op: ChildrenOp[S], value: bytes | None) -> ChildrenTally:
    """Return the fan-out's stored tally, or the one it begins with."""
    return ChildrenTally(state=op.state) if value is None else codec.decode_as(value, ChildrenTally)


def each_result(op: EachOp[S], value: bytes | None) -> EachResult[S]:
    """Return what a finished loop gives."""
    tally = each_tally(op, value)
    return EachResult(carried(op.state, tally.state), tally.items, tally.batches)


def children_result(op: ChildrenOp[S], value: bytes | None) -> ChildrenResult[S]:
    """Return what a finished fan-out gives."""
    tally = children_tally(op, value)
    return ChildrenResult(carried(op.state, tally.state), tally.succeeded, tally.failed, tally.failures)


def carried(initial: S, stored: object) -> S:
    """Return carried state in the type of the state that the loop began with."""
    kind: type[object] = type(cast("object", initial))
    convertible = issubclass(kind, msgspec.Struct) or kind is tuple
    return cast("S", msgspec.convert(stored, type=kind) if convertible and not isinstance(stored, kind) else stored)


def restored(op: Operation[object], key: str, value: bytes | None) -> object:
    """Return what awaiting a completed operation gives."""
    if isinstance(op, StartOp) and value is not None:
        return codec.decode_as(value, StartedChild).handle(key)
    if isinstance(op, JoinOp) and value is not None:
        outcome = codec.decode_as(value, JoinState).outcome
        return None if outcome is None else outcome.result
    if isinstance(op, StopOp) and value is not None:
        outcome = codec.decode_as(value, JoinState).outcome
        return None if outcome is None else outcome.status
    if isinstance(op, EachOp):
        return each_result(cast("EachOp[object]", op), value)
    if isinstance(op, ChildrenOp):
        return children_result(cast("ChildrenOp[object]", op), value)
    return codec.restore(value, op.into if isinstance(op, (StepOp, TransactionOp)) else None)
