"""How many rows a statement writes as the platform bills them: those of indexes and of the schema too."""

from __future__ import annotations

import re
import sqlite3
from weakref import ref

_SCHEMA = ("create", "drop", "alter")
_CONDITION = re.compile(r"\bwhere (\w+) is not null$", re.IGNORECASE)


class RowCosts:
    """Counts the rows that statements write to one database (platform.md §1.2).

    A table costs two rows and an index one. An inserted row costs one more for each index that takes it, a changed one
    for each over a column that is set; a deleted row costs one.

    Args:
        db: the database.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._objects = 0
        self._counted: set[str] = set()
        self._index_rows = 0
        counter = ref(self)

        def count(rows: int) -> int:
            found = counter()
            return 0 if found is None else found._count(rows)

        # Not a method of this: SQLite's hold on it is a cycle that Python cannot see, and would keep the database.
        db.create_function("count_index_rows", 1, count)

    def of(self, query: str, changes: int) -> int:
        """Return what a statement costs that has just run and changed so many rows."""
        rows, self._index_rows = changes + self._index_rows, 0
        return self._schema() if query.lstrip()[:6].lower().startswith(_SCHEMA) else rows

    def _schema(self) -> int:
        """Count what was made, and have what is written to indexes counted by triggers."""
        found = self._db.execute("select type, name, tbl_name, sql from sqlite_master order by type, name").fetchall()
        made = max(len(found) - self._objects, 0)
        self._objects = len(found)
        tables = [row for row in found if row[0] == "table" and row[1] not in self._counted]
        self._counted.update(str(row[1]) for row in tables)
        for kind, name, table, sql in found:
            if kind == "index" and name not in self._counted:
                self._counted.add(str(name))
                self._watch(str(name), str(table), _condition(str(name), sql))
        return made + len(tables)

    def _watch(self, index: str, table: str, condition: str) -> None:
        rows = self._db.execute("select name from pragma_index_info(?)", (index,)).fetchall()
        columns = ", ".join(str(row[0]) for row in rows)
        for name, event in (("insert", "insert"), ("update", f"update of {columns}")):
            self._db.execute(
                f'create temp trigger "count {index} {name}" after {event} on {table} when {condition} '
                "begin select count_index_rows(1); end"
            )

    def _count(self, rows: int) -> int:
        self._index_rows += rows
        return rows


def _condition(name: str, sql: object) -> str:
    """Return when an index takes a row; the indexes of constraints have no text, and take all."""
    if sql is None or " where " not in str(sql).lower():
        return "1"
    found = _CONDITION.search(str(sql))
    if found is None:
        raise AssertionError(f"the index {name} is conditional in a way that is not counted here")
    return f"new.{found[1]} is not null"
