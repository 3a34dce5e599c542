"""A ledger: the ids of jobs, apart from the catalog, which is made again from them when it is lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString, Protocol

import msgspec

from durable import recovery
from durable.placement import Layout, layout_of, ledger_name, ledger_of, number_of
from durable.recovery import Page, Recovery, following
from orchestrator.columns import integer, text
from orchestrator.ports import Sql
from orchestrator.schema import migrate

SCHEMA_VERSION = 1
#: Ids that one page looks at; those of the shard that asks are fewer.
SCANNED = 2_000

_SCHEMA: tuple[LiteralString, ...] = (
    "create table if not exists entry (id text primary key, created_at_ms integer) without rowid",
    "create table if not exists layout (shards integer primary key)",
    recovery.TABLE,
)


class Entry(msgspec.Struct, frozen=True):
    """There is a job; its time of creation tells it from another one of the same id."""

    id: str
    created_at_ms: int


class EntryPage(msgspec.Struct, frozen=True):
    """Entries in the order of their ids. ``after`` leads to the next page, where there is one."""

    entries: list[Entry]
    after: str | None
    #: Whether the one who answers knows everything itself.
    complete: bool


class EntryQuery(msgspec.Struct, frozen=True):
    """Which entries are asked for: those of a shard, asked from a ledger, or of a ledger, asked from a shard."""

    of: str
    after: str


class ShardPort(Protocol):
    """What a ledger asks the catalog while it recovers."""

    async def shard_entries(self, shard: str, query: EntryQuery) -> EntryPage:
        """Return jobs that a shard knows."""
        ...


class Ledger:
    """The tables of one ledger.

    Args:
        sql: the object's SQLite.
        number: which of the ledgers it is.
    """

    def __init__(self, sql: Sql, number: int) -> None:
        self._sql = sql
        self._name = ledger_name(number)
        self._ready = False
        self.recovery = Recovery(sql)

    def migrate(self) -> None:
        """Create the tables, and begin to recover when there were none.

        Raises:
            OrchestratorError: a newer release has written here (code ``schema``).
        """
        if self._ready:
            return
        is_new = not self._sql.execute("select 1 from sqlite_master where name = 'schema_version'")
        migrate(self._sql, _SCHEMA, SCHEMA_VERSION, what="ledger")
        if is_new:
            self.recovery.begin()
        self._ready = True

    def add(self, entry: Entry) -> None:
        """Take note that there is a job."""
        self.migrate()
        self._sql.execute(
            """insert into entry (id, created_at_ms) values (?, ?)
            on conflict (id) do update set created_at_ms = max(created_at_ms, excluded.created_at_ms)""",
            entry.id,
            entry.created_at_ms,
        )

    def remove(self, entry: Entry) -> None:
        """Take note that a job is no more; a later one of the same id stays."""
        self.migrate()
        self._sql.execute("delete from entry where id = ? and created_at_ms <= ?", entry.id, entry.created_at_ms)

    def entries(self, query: EntryQuery) -> EntryPage:
        """Return the jobs of a shard."""
        self.migrate()
        rows = self._sql.execute(
            "select id, created_at_ms from entry where id > ? order by id limit ?", query.after, SCANNED
        )
        layout, number = layout_of(query.of), number_of(query.of)
        entries = [Entry(text(row[0]), integer(row[1])) for row in rows if layout.number_of(text(row[0])) == number]
        return EntryPage(entries, text(rows[-1][0]) if len(rows) == SCANNED else None, self.recovery.complete)

    def layouts(self, current: Layout) -> list[int]:
        """Take note of the number of shards in use; return the others that were, and are not retired yet."""
        self.migrate()
        self._sql.execute("insert or ignore into layout (shards) values (?)", current.shards)
        rows = self._sql.execute("select shards from layout where shards <> ? order by shards", current.shards)
        return [integer(row[0]) for row in rows]

    def retire(self, layout: Layout) -> None:
        """Take note that the shards of a layout are deleted."""
        self.migrate()
        self._sql.execute("delete from layout where shards = ?", layout.shards)

    async def read(self, shards: Sequence[str], port: ShardPort, source: int, after: str) -> Page:
        """Read a page of what a shard knows.

        Args:
            shards: the names of all shards.
            port: asks one.
            source: which one.
            after: the last id read.
        """
        if source >= len(shards):
            return Page(None)
        found = await port.shard_entries(shards[source], EntryQuery(self._name, after))
        for entry in found.entries:
            self.add(entry)
        return Page(following(source, found.after, len(shards)))


def entries_of_ledger(rows: Sequence[Entry], ledger: str) -> list[Entry]:
    """Return the entries that belong to a ledger."""
    return [entry for entry in rows if ledger_of(entry.id) == ledger]
