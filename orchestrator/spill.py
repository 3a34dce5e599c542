"""Large values of a job's one row, each in rows of its own.

Production refuses rows above 2 MB, all columns together (platform.md §1.1); payload, metadata and result may each be
almost as large as that, or larger.
"""

from __future__ import annotations

from orchestrator.columns import blob
from orchestrator.limits import MAX_INLINE_BYTES, MAX_VALUE_BYTES
from orchestrator.ports import Sql

#: What the column holds instead of such a value; no stored value begins so.
_ELSEWHERE = b"\x03"


class Spill:
    """The table of large values; few jobs have it."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        #: What is known to be stored, so that a value is written once and not with every update of the row.
        self._stored: dict[str, bytes] = {}

    def put(self, name: str, value: bytes | None) -> bytes | None:
        """Return what a column is to hold, after storing a large value elsewhere."""
        if value is None or len(value) <= MAX_INLINE_BYTES:
            if self._stored.pop(name, None) is not None:
                self._sql.execute("delete from job_value where name = ?", name)
            return value
        if self._stored.get(name) is not value:
            self._sql.execute(
                """create table if not exists job_value
                (name text, part integer, value blob, primary key (name, part)) without rowid"""
            )
            self._sql.execute("delete from job_value where name = ?", name)
            for part, begin in enumerate(range(0, len(value), MAX_VALUE_BYTES)):
                chunk = value[begin : begin + MAX_VALUE_BYTES]
                self._sql.execute("insert into job_value (name, part, value) values (?, ?, ?)", name, part, chunk)
            self._stored[name] = value
        return _ELSEWHERE

    def get(self, name: str, column: bytes | None) -> bytes | None:
        """Return the value of a column."""
        if column != _ELSEWHERE:
            self._stored.pop(name, None)
            return column
        rows = self._sql.execute("select value from job_value where name = ? order by part", name)
        value = b"".join(blob(row[0]) for row in rows)
        self._stored[name] = value
        return value

    def clear(self) -> None:
        """Forget every value."""
        self._stored.clear()
        if self._sql.execute("select 1 from sqlite_master where name = 'job_value'"):
            self._sql.execute("delete from job_value")
