"""What the catalog adds up of jobs that ended: a row per workflow for the last minutes, and one for all time.

Two rows are written for each job that ends, however many jobs or workflows there are.
"""

from __future__ import annotations

from typing import Final

import msgspec

from durable.tallies import Tally, WorkflowTally, by_workflow, plus, tally_of
from orchestrator.columns import integer, text
from orchestrator.model import JobSummary
from orchestrator.ports import Sql, SqlRow

MINUTE_MS: Final = 60_000
#: Minutes that are kept one by one: alerts look back at most this far.
MINUTES_KEPT: Final = 180


class EndedJobs:
    """The tallies of one shard.

    Args:
        sql: the shard's SQLite, its tables made.
    """

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    def add(self, job: JobSummary) -> None:
        """Add a job that has ended. One that ended long ago, told by a recovery, counts in the total only."""
        tally = tally_of(job)
        total = self._sql.execute("select body from total where workflow = ?", job.workflow)
        self._sql.execute(
            """insert into total (workflow, body) values (?, ?)
            on conflict (workflow) do update set body = excluded.body""",
            job.workflow,
            _added(total, tally),
        )
        at_ms = (job.finished_at_ms or 0) // MINUTE_MS * MINUTE_MS
        newest = self._sql.execute("select max(at_ms) from minute")[0][0]
        oldest_ms = max(at_ms, 0 if newest is None else integer(newest)) - MINUTES_KEPT * MINUTE_MS
        if at_ms <= oldest_ms:
            return
        minute = self._sql.execute("select body from minute where at_ms = ? and workflow = ?", at_ms, job.workflow)
        self._sql.execute(
            """insert into minute (at_ms, workflow, body) values (?, ?, ?)
            on conflict (at_ms, workflow) do update set body = excluded.body""",
            at_ms,
            job.workflow,
            _added(minute, tally),
        )
        if not minute:
            self._sql.execute("delete from minute where at_ms <= ?", oldest_ms)

    def totals(self) -> list[WorkflowTally]:
        """Return everything that ended."""
        rows = self._sql.execute("select workflow, body from total order by workflow")
        return [WorkflowTally(text(row[0]), _tally(row[1])) for row in rows]

    def since(self, at_ms: int) -> list[WorkflowTally]:
        """Return what ended in whole minutes that began then or later."""
        rows = self._sql.execute("select workflow, body from minute where at_ms >= ?", at_ms)
        return by_workflow(WorkflowTally(text(row[0]), _tally(row[1])) for row in rows)


def _added(stored: list[SqlRow], tally: Tally) -> str:
    return msgspec.json.encode(plus(_tally(stored[0][0]), tally) if stored else tally).decode()


def _tally(body: object) -> Tally:
    return msgspec.json.decode(text(body), type=Tally)
