"""From database rows to typed values."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from orchestrator.ports import Record

T = TypeVar("T")


def row_as(row: Record, kind: type[T]) -> T:
    """Return a row as a struct whose fields are named like the row's columns.

    Args:
        row: of a query.
        kind: the struct.
    """
    return msgspec.convert({name: row[name] for name in row.keys()}, kind)  # noqa: SIM118 - a Record is no mapping
