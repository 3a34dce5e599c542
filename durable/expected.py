"""Jobs that may exist, or act again: told by whoever asks for that, until the jobs tell of it themselves.

A job tells the catalog of itself once it is recorded. If its object died right then, and its alarm were lost too,
nobody would ever ask for it. So what is recorded without a message on its way to it is expected here, at the same
moment; and so are jobs that had ended, and are retried or deleted (docs/decisions/0060-expected-jobs.md).
"""

from __future__ import annotations

from typing import Final, LiteralString

from orchestrator.columns import text
from orchestrator.ports import Sql

#: A job that has not told of itself after this is looked for: longer than any request that records one.
PATIENCE_MS: Final = 120_000

#: ``firm``: only a look ends it, since what the job tells may be of before. ``asked``: it was handed out to be looked
#: for since it was told last.
TABLE: LiteralString = """create table if not exists expected (
    id text primary key, at_ms integer, firm integer, asked integer) without rowid"""


class ExpectedJobs:
    """The expectations of one shard. There are few at a time: a new job's own announcement ends its own.

    Args:
        sql: the shard's SQLite, its tables made.
    """

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    def add(self, job_id: str, at_ms: int, *, firm: bool) -> None:
        """Expect a job that is being recorded now, or that is to act again."""
        self._sql.execute(
            """insert into expected (id, at_ms, firm, asked) values (?, ?, ?, 0) on conflict (id) do update
            set at_ms = excluded.at_ms, firm = max(firm, excluded.firm), asked = 0""",
            job_id,
            at_ms,
            int(firm),
        )

    def told(self, job_id: str) -> None:
        """Take note that a job has told of itself."""
        self._sql.execute("delete from expected where id = ? and firm = 0", job_id)

    def looked_for(self, job_id: str) -> None:
        """Take note that a job was looked for since it was expected last."""
        self._sql.execute("delete from expected where id = ? and asked = 1", job_id)

    def overdue(self, now_ms: int, limit: int) -> list[str]:
        """Return jobs to look for; they are named again until that was done."""
        rows = self._sql.execute(
            "select id, asked from expected where at_ms <= ? order by at_ms limit ?", now_ms - PATIENCE_MS, limit
        )
        for job_id, asked in rows:
            if not asked:
                self._sql.execute("update expected set asked = 1 where id = ?", job_id)
        return [text(row[0]) for row in rows]
