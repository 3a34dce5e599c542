"""Jobs that want to be told how this one ends, beside the parent of a fan-out, which always is."""

from __future__ import annotations

from orchestrator import codec
from orchestrator.columns import blob
from orchestrator.mail import OutboxTable
from orchestrator.model import ParentRef
from orchestrator.ports import Sql


class Watchers:
    """The operations of other jobs that wait for this job; few jobs have the table."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    def add(self, watcher: ParentRef) -> None:
        """Have an operation told; saying so again changes nothing."""
        self._sql.execute("create table if not exists watcher (ref blob primary key) without rowid")
        self._sql.execute("insert into watcher (ref) values (?) on conflict do nothing", codec.encode(watcher))

    def tell(self, outbox: OutboxTable, now_ms: int) -> None:
        """Have everybody told, in the commit that ends the job."""
        if self._sql.execute("select 1 from sqlite_master where name = 'watcher'"):
            for row in self._sql.execute("delete from watcher returning ref"):
                outbox.add("parent", blob(row[0]), now_ms)
