"""The ``Sql`` and ``Alarm`` ports on a Durable Object's storage."""

from __future__ import annotations

from typing import LiteralString

from durable.bridge import Storage
from orchestrator.errors import StorageValueError
from orchestrator.limits import MAX_VALUE_BYTES
from orchestrator.meter import Meter
from orchestrator.ports import SqlRow, SqlValue

#: JavaScript's greatest safe integer: larger ones cross as BigInt, which SQL refuses.
_MAX_INTEGER = 2**53 - 1


class ObjectSql:
    """SQLite of a Durable Object, implementing :class:`orchestrator.ports.Sql`."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @property
    def rows_written(self) -> int:
        """See :class:`orchestrator.ports.Sql`."""
        return self._storage.rows_written

    @property
    def rows_read(self) -> int:
        """See :class:`orchestrator.ports.Sql`."""
        return self._storage.rows_read

    @property
    def size_bytes(self) -> int:
        """See :class:`orchestrator.ports.Sql`."""
        return self._storage.size_bytes

    def execute(self, query: LiteralString, *params: SqlValue) -> list[SqlRow]:
        """See :class:`orchestrator.ports.Sql`."""
        for param in params:
            _check(param)
        return self._storage.execute(query, params)


def _check(param: SqlValue) -> None:
    if isinstance(param, (str, bytes)):
        if len(param) > MAX_VALUE_BYTES:
            raise StorageValueError(f"A SQL value has at most {MAX_VALUE_BYTES} bytes")
    elif isinstance(param, bool):
        # JavaScript's true is stored as the text "true" (platform.md §1.2).
        raise StorageValueError("A SQL parameter cannot be a bool; store 0 or 1")
    elif isinstance(param, int) and not -_MAX_INTEGER <= param <= _MAX_INTEGER:
        raise StorageValueError("A SQL integer is at most 2**53 - 1; store larger ones as text")


class ObjectAlarm:
    """The alarm of a Durable Object, implementing :class:`orchestrator.ports.Alarm`."""

    def __init__(self, storage: Storage, meter: Meter | None = None) -> None:
        self._storage = storage
        self._meter = meter or Meter()

    def set(self, at_ms: int) -> None:
        """See :class:`orchestrator.ports.Alarm`."""
        self._meter.alarms_set += 1
        self._storage.set_alarm(at_ms)

    def clear(self) -> None:
        """See :class:`orchestrator.ports.Alarm`."""
        self._storage.clear_alarm()
