"""A Durable Object's SQLite on CPython: the same engine, the same type traps, and writes lost when the object dies."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import LiteralString

from orchestrator.errors import StorageValueError
from orchestrator.limits import MAX_VALUE_BYTES
from orchestrator.ports import SqlRow, SqlValue

_WRITES = ("insert", "update", "delete", "create", "alter")


class MemorySql:
    """SQLite in memory whose uncommitted writes a crash discards (platform.md §1.3).

    Args:
        on_write: called before every writing statement; may raise to stop the object there.
    """

    def __init__(self, on_write: Callable[[], None] | None = None) -> None:
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._on_write = on_write
        self._open = False
        self._rows_written = 0

    @property
    def rows_written(self) -> int:
        """Rows changed so far."""
        return self._rows_written

    def execute(self, query: LiteralString, *params: SqlValue) -> list[SqlRow]:
        """Run one statement inside the implicit transaction."""
        for param in params:
            check_value(param)
        if query.lstrip().startswith(_WRITES):
            if self._on_write is not None:
                self._on_write()
            if not self._open:
                self._db.execute("begin")
                self._open = True
        before = self._db.total_changes
        rows: list[SqlRow] = self._db.execute(query, params).fetchall()
        self._rows_written += self._db.total_changes - before
        return rows

    def commit(self) -> None:
        """Make every write so far durable: what an await or an outgoing message does."""
        if self._open:
            self._db.execute("commit")
            self._open = False

    def discard(self) -> None:
        """Lose the writes that are not durable: what a crash does."""
        if self._open:
            self._db.execute("rollback")
            self._open = False

    def wipe(self) -> None:
        """Lose everything at once, durably."""
        if self._on_write is not None:
            self._on_write()
        self._db.close()
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._open = False


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
