"""Cancels the children that a job has started when its workflow ends.

One outbox row is the whole cascade, however many children there are: it is written in the commit that ends the
workflow, is delivered some children at a time, and goes when the last one has been asked.
"""

from __future__ import annotations

import msgspec

from orchestrator import codec
from orchestrator.child_operations import StartedChild
from orchestrator.columns import blob, integer, text
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import OUTBOX_BATCH
from orchestrator.mail import OutboxRow, OutboxTable
from orchestrator.ports import Network, Sql

#: The kind of its outbox row.
KIND = "children"
_STOPPED = frozenset({JobStatus.CANCELLING, JobStatus.CANCELLED})


class Progress(msgspec.Struct, frozen=True):
    """How far a cascade is."""

    #: Whether the parent completed, so that only children bound to it go.
    completed: bool
    #: The last operation of the workflow itself: children of its hooks stay.
    last_seq: int
    after_seq: int = 0


def begin(sql: Sql, outbox: OutboxTable, now_ms: int, *, completed: bool) -> None:
    """Have the children of a job cancelled, in the commit that stops it. A job without any stores nothing."""
    last_seq = sql.execute("select max(seq) from step where kind = 'start' and value is not null")[0][0]
    if last_seq is not None:
        outbox.add(KIND, codec.encode(Progress(completed, integer(last_seq))), now_ms)


def withdraw(sql: Sql) -> None:
    """Take back what is left of a cascade: the job runs again, and so may its children."""
    sql.execute("delete from outbox where kind = 'children'")


async def advance(sql: Sql, network: Network, row: OutboxRow) -> bytes | None:
    """Cancel some children; return what is left to be done, or None."""
    progress = codec.decode_as(row.body, Progress)
    rows = sql.execute(
        """select seq, key, value from step where kind = 'start' and value is not null and seq > ? and seq <= ?
        order by seq limit ?""",
        progress.after_seq,
        progress.last_seq,
        OUTBOX_BATCH,
    )
    for _, key, value in rows:
        started = codec.decode_as(blob(value), StartedChild)
        if not OutboxTable(sql).holds(row.id):
            return None  # the job was retried meanwhile
        if _goes(started, completed=progress.completed):
            status = await network.cancel(started.job_id, "the parent ended")
            if status in _STOPPED:
                stopped = codec.encode(msgspec.structs.replace(started, stopped=True))
                sql.execute("update step set value = ? where key = ? and value = ?", stopped, text(key), blob(value))
    if len(rows) < OUTBOX_BATCH:
        return None
    return codec.encode(msgspec.structs.replace(progress, after_seq=integer(rows[-1][0])))


def _goes(started: StartedChild, *, completed: bool) -> bool:
    if not started.own or started.stopped or started.on_parent_end == "keep":
        return False
    return not completed or started.on_parent_end == "cancel"
