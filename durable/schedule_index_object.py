"""``ScheduleIndexObject``: the Durable Object of the list of schedules. Strings of JSON in, strings of JSON out.

Methods answer ``{"ok": …}`` or ``{"error": …}`` like those of ``JobObject``.
"""

from __future__ import annotations

import msgspec
from workers import DurableObject

from durable import bridge, envelope
from durable.object_sql import ObjectSql
from durable.schedule_index import RoundQuery, ScheduleList, ScheduleQuery
from orchestrator.schedule_model import ScheduleSummary


class ScheduleIndexObject(DurableObject):
    """What is known of every schedule. The constructor only remembers (platform.md §4.5)."""

    def __init__(self, ctx: object, env: object) -> None:
        super().__init__(ctx, env)
        self._list = ScheduleList(ObjectSql(bridge.Storage(ctx)))

    async def publish(self, body: str) -> str:
        """Take note of a schedule: ``ScheduleSummary`` in."""
        return envelope.answer(lambda: self._list.publish(msgspec.json.decode(body, type=ScheduleSummary)))

    async def forget(self, schedule_id: str) -> str:
        """Take a schedule off the list."""
        return envelope.answer(lambda: self._list.forget(schedule_id))

    async def page(self, body: str) -> str:
        """List schedules: ``ScheduleQuery`` in, ``SchedulePage`` out."""
        return envelope.answer(lambda: self._list.page(msgspec.json.decode(body, type=ScheduleQuery)))

    async def round(self, body: str) -> str:
        """What a tick of the platform is to do: ``RoundQuery`` in, ``Round`` out."""
        return envelope.answer(lambda: self._list.round(msgspec.json.decode(body, type=RoundQuery)))
