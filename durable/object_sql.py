"""The ``Sql`` and ``Alarm`` ports on a Durable Object's storage."""

from __future__ import annotations

from typing import LiteralString

from durable.bridge import Storage
from orchestrator.meter import Meter
from orchestrator.ports import SqlRow, SqlValue
from orchestrator.sql_values import check_params


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
        check_params(params)
        return self._storage.execute(query, params)


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

    async def get(self) -> int | None:
        """See :class:`orchestrator.ports.Alarm`."""
        return await self._storage.get_alarm()

    async def take_back(self) -> None:
        """See :class:`orchestrator.ports.Alarm`."""
        self._storage.clear_alarm()
        await self._storage.sync()
