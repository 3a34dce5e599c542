"""A Durable Object's SQLite on CPython: the same engine, the same type traps, and writes lost when the object dies."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import LiteralString

from orchestrator.ports import SqlRow, SqlValue
from orchestrator.sql_values import check_params
from orchestrator.testing.row_costs import RowCosts

_WRITES = ("insert", "update", "delete", "create", "alter")
#: What the platform does by itself or not at all (platform.md §1.2).
_REFUSED = ("begin", "commit", "end", "rollback", "savepoint", "release", "attach", "detach", "vacuum")
_PRAGMAS = ("table_list", "table_info", "index_", "foreign_key", "defer_foreign_keys", "quick_check", "optimize")
#: The platform's bounds of statements (platform.md §1.1).
_LIMITS = {
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 5,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 50,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 25_000,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 10,
}


class MemorySql:
    """SQLite in memory whose undurable writes a crash discards (platform.md §1.3).

    Writes between two turns of the event loop are one group, kept or lost together. Whether the last groups are durable
    is known only once something has waited for it: an outgoing message or ``sync``.

    Args:
        on_write: called before every writing statement; may raise to stop the object there.
    """

    def __init__(self, on_write: Callable[[], None] | None = None) -> None:
        self._db = _connect()
        self._costs = RowCosts(self._db)
        self._on_write = on_write
        self._open = False
        self._dirty = False
        #: Groups that are not known to be durable.
        self.groups = 0
        self._rows_written = 0
        self.rows_read = 0

    @property
    def size_bytes(self) -> int:
        """What the database takes."""
        query = "select page_count * page_size from pragma_page_count, pragma_page_size"
        return int(self._db.execute(query).fetchone()[0])

    @property
    def rows_written(self) -> int:
        """Rows written so far, as the platform bills them."""
        return self._rows_written

    @property
    def undurable(self) -> bool:
        """Whether anything written is not known to be durable."""
        return self._open

    def execute(self, query: LiteralString, *params: SqlValue) -> list[SqlRow]:
        """Run one statement inside the implicit transaction.

        Raises:
            StorageValueError: a parameter, or all of them together, would not be stored as they are.
        """
        check_params(params)
        writes = is_write(query)
        if writes:
            if self._on_write is not None:
                self._on_write()
            self.touch()
        else:
            _check_statement(query)
        before = self._db.total_changes
        # Numbers cross as doubles; the column's affinity makes integers of them again, or does not (platform.md §1.2).
        crossed = [float(param) if isinstance(param, int) else param for param in params]
        rows: list[SqlRow] = self._db.execute(query, crossed).fetchall()
        if writes:
            self._rows_written += self._costs.of(query, self._db.total_changes - before)
        self.rows_read += len(rows)  # at least; the platform also counts rows that are skipped
        return [_as_read(row) for row in rows]

    def touch(self) -> None:
        """Begin a group, for what is written beside the tables."""
        if not self._open:
            self._db.execute("begin")
            self._open = True
        self._dirty = True

    def end_turn(self) -> bool:
        """End the group of writes that are kept or lost together; tell whether there was one."""
        if not self._dirty:
            return False
        self.groups += 1
        self._db.execute("savepoint turn")
        self._dirty = False
        return True

    def commit(self) -> None:
        """Make every write so far durable: what an await or an outgoing message waits for."""
        if self._open:
            self._db.execute("commit")
        self._closed()

    def discard(self, keep: int = 0) -> None:
        """Lose what is not durable: what a crash does. The first ``keep`` groups happen to be durable."""
        if self._open and keep:
            for _ in range(self.groups - keep):
                self._db.execute("rollback to turn")
                self._db.execute("release turn")
            self._db.execute("rollback to turn")
            self._db.execute("commit")
        elif self._open:
            self._db.execute("rollback")
        self._closed()

    def wipe(self) -> None:
        """Lose everything at once, durably."""
        if self._on_write is not None:
            self._on_write()
        self._db.close()
        self._db = _connect()
        self._costs = RowCosts(self._db)
        self._closed()

    def become(self, other: MemorySql) -> None:
        """Hold what another database holds, durably."""
        other._db.backup(self._db)

    def dump(self) -> str:
        """Return everything as SQL, tables included."""
        return "\n".join(self._db.iterdump()) + "\n"

    def load(self, dump: str) -> None:
        """Take over what another database has dumped, over an empty one."""
        usual = self._db.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 1_000_000_000)
        self._db.executescript(dump)
        self._db.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, usual)

    def _closed(self) -> None:
        self._open = self._dirty = False
        self.groups = 0


def is_write(query: str) -> bool:
    """Tell whether a statement writes."""
    return query.lstrip().startswith(_WRITES)


def _check_statement(query: str) -> None:
    words = query.split(maxsplit=2)
    first = words[0].lower() if words else ""
    if first in _REFUSED or (first == "pragma" and not words[1].lower().startswith(_PRAGMAS)):
        raise sqlite3.OperationalError(f"not authorized: {query}")
    if not first:
        raise sqlite3.OperationalError("SQL code did not contain a statement.")


def _as_read(row: SqlRow) -> SqlRow:
    """Return a row as Python gets it: a number is a double on the way, and an integer if it has no fraction."""
    for value in row:
        if isinstance(value, float) or (isinstance(value, int) and not -(2**53) < value < 2**53):
            return tuple(_number(item) if isinstance(item, (int, float)) else item for item in row)
    return row


def _number(value: float) -> int | float:
    crossed = float(value)
    return int(crossed) if crossed.is_integer() and abs(crossed) < 2**53 else crossed


def _connect() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    for limit, value in _LIMITS.items():
        db.setlimit(limit, value)
    db.execute("pragma foreign_keys = on")
    return db
