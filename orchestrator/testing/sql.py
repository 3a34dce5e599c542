"""A Durable Object's SQLite on CPython: the same engine, the same type traps, and writes lost when the object dies."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import LiteralString

from orchestrator.errors import StorageValueError
from orchestrator.limits import MAX_VALUE_BYTES
from orchestrator.ports import SqlRow, SqlValue

_WRITES = ("insert", "update", "delete", "create", "alter")
#: What production refuses and the local runtime does not (platform.md §1.1).
_MAX_ROW_BYTES = 2_000_000
#: The platform's own bound (platform.md §1.1).
_MAX_PARAMS = 100


class MemorySql:
    """SQLite in memory whose undurable writes a crash discards (platform.md §1.3).

    Writes between two turns of the event loop are one group, kept or lost together. Whether the last groups are durable
    is known only once something has waited for it: an outgoing message or ``sync``.

    Args:
        on_write: called before every writing statement; may raise to stop the object there.
    """

    def __init__(self, on_write: Callable[[], None] | None = None) -> None:
        self._db = _connect()
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
        """Rows changed so far."""
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
        for param in params:
            check_value(param)
        if len(params) > _MAX_PARAMS:
            raise StorageValueError(f"A statement has at most {_MAX_PARAMS} parameters")
        if is_write(query):
            if sum(len(param) for param in params if isinstance(param, (str, bytes))) > _MAX_ROW_BYTES:
                raise StorageValueError(f"A row has at most {_MAX_ROW_BYTES} bytes")
            if self._on_write is not None:
                self._on_write()
            self.touch()
        before = self._db.total_changes
        # Numbers cross as doubles; the column's affinity makes integers of them again, or does not (platform.md §1.2).
        crossed = [float(param) if isinstance(param, int) else param for param in params]
        rows: list[SqlRow] = self._db.execute(query, crossed).fetchall()
        self._rows_written += self._db.total_changes - before
        self.rows_read += len(rows)  # at least; the platform also counts rows that are skipped
        return rows

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
        self._closed()

    def become(self, other: MemorySql) -> None:
        """Hold what another database holds, durably."""
        other._db.backup(self._db)

    def dump(self) -> str:
        """Return everything as SQL, tables included."""
        return "\n".join(self._db.iterdump()) + "\n"

    def load(self, dump: str) -> None:
        """Take over what another database has dumped, over an empty one."""
        self._db.executescript(dump)

    def _closed(self) -> None:
        self._open = self._dirty = False
        self.groups = 0


def is_write(query: str) -> bool:
    """Tell whether a statement writes."""
    return query.lstrip().startswith(_WRITES)


def check_value(value: SqlValue) -> None:
    """Refuse what a Durable Object would store as something else (platform.md §1.2).

    Raises:
        StorageValueError: a bool, an integer beyond 2**53, or a value above the row cap.
    """
    if isinstance(value, bool):
        raise StorageValueError("A SQL parameter cannot be a bool; store 0 or 1")
    if isinstance(value, int) and abs(value) >= 2**53:
        raise StorageValueError("A SQL integer is at most 2**53 - 1; store larger ones as text")
    if isinstance(value, (str, bytes)) and len(value) > MAX_VALUE_BYTES:
        raise StorageValueError(f"A SQL value has at most {MAX_VALUE_BYTES} bytes")


def _connect() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
