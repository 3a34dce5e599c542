"""Rows as asyncpg shows them: by name and by position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence


class Row:
    """One row of a result. All rows of a result share ``columns``.

    Args:
        columns: position of each column name; of equal names the last.
        names: the column names in order.
        values: the row's values in the same order.
    """

    __slots__ = ("_columns", "_names", "_values")

    def __init__(self, columns: Mapping[str, int], names: Sequence[str], values: Sequence[object]) -> None:
        self._columns = columns
        self._names = names
        self._values = values

    def __getitem__(self, key: str | int) -> object:
        return self._values[self._columns[key] if isinstance(key, str) else key]

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[object]:
        return iter(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._columns

    def keys(self) -> Sequence[str]:
        """Return the column names in order."""
        return self._names

    def values(self) -> Sequence[object]:
        """Return the values in order."""
        return self._values

    def get(self, key: str, default: object = None) -> object:
        """Return the value of a column, or ``default`` when the result has no such column."""
        return self[key] if key in self._columns else default
