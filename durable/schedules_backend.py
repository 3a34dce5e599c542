"""The API's, the platform tick's and the schedules' own way to the objects of schedules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from durable import envelope
from durable.bridge import Env
from durable.envelope import text_of
from durable.object_calls import call_object
from durable.object_platform import write_log
from durable.schedule_index import Round, RoundQuery, SchedulePage, ScheduleQuery
from orchestrator.model import Created
from orchestrator.schedule import Schedule
from orchestrator.schedule_model import Backfilled, CreatedSchedule, ScheduleSummary, ScheduleView

T = TypeVar("T")

SCHEDULES = "SCHEDULES"
SCHEDULE_INDEX = "SCHEDULE_INDEX"
INDEX_NAME = "schedules-0"


class ObjectSchedules:
    """Implements :class:`durable.http.host.SchedulesBackend`, and the ports of the platform's tick and of schedules.

    Args:
        env: the Worker's bindings.
    """

    def __init__(self, env: Env) -> None:
        self._env = env

    async def create(self, schedule: Schedule) -> CreatedSchedule:
        """See :class:`durable.http.host.SchedulesBackend`."""
        return await self._schedule(schedule.id, "create", CreatedSchedule, text_of(schedule))

    async def view(self, schedule_id: str) -> ScheduleView:
        """See :class:`durable.http.host.SchedulesBackend`."""
        return await self._schedule(schedule_id, "view", ScheduleView)

    async def update(self, schedule_id: str, changes: Mapping[str, object]) -> ScheduleView:
        """See :class:`durable.http.host.SchedulesBackend`."""
        return await self._schedule(schedule_id, "update", ScheduleView, text_of(changes))

    async def delete(self, schedule_id: str) -> None:
        """See :class:`durable.http.host.SchedulesBackend`."""
        await self._schedule(schedule_id, "delete", type(None))

    async def pause(self, schedule_id: str) -> ScheduleView:
        """See :class:`durable.http.host.SchedulesBackend`."""
        return await self._schedule(schedule_id, "pause", ScheduleView)

    async def resume(self, schedule_id: str) -> ScheduleView:
        """See :class:`durable.http.host.SchedulesBackend`."""
        return await self._schedule(schedule_id, "resume", ScheduleView)

    async def run_now(self, schedule_id: str, key: str) -> Created:
        """See :class:`durable.http.host.SchedulesBackend`."""
        return await self._schedule(schedule_id, "run_now", Created, key)

    async def backfill(self, schedule_id: str, from_ms: int, to_ms: int) -> Backfilled:
        """See :class:`durable.http.host.SchedulesBackend`."""
        return await self._schedule(schedule_id, "backfill", Backfilled, str(from_ms), str(to_ms))

    async def page(self, query: ScheduleQuery) -> SchedulePage:
        """See :class:`durable.http.host.SchedulesBackend`."""
        return await self._index("page", SchedulePage, text_of(query))

    async def round(self, query: RoundQuery) -> Round:
        """See :class:`durable.schedule_round.RoundPort`."""
        return await self._index("round", Round, text_of(query))

    async def declare(self, schedule: Schedule) -> None:
        """See :class:`durable.schedule_round.RoundPort`."""
        await self._schedule(schedule.id, "declare", type(None), text_of(schedule))

    async def retire(self, schedule_id: str) -> None:
        """See :class:`durable.schedule_round.RoundPort`."""
        await self._schedule(schedule_id, "retire", type(None))

    async def forget(self, schedule_id: str) -> None:
        """See :class:`durable.schedule_round.RoundPort`."""
        await self._index("forget", type(None), schedule_id)

    async def publish(self, summary: ScheduleSummary) -> None:
        """See :class:`orchestrator.schedule_ports.ScheduleIndex`."""
        await self._index("publish", type(None), text_of(summary))

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Write one structured log line."""
        write_log(level, event, fields)

    async def _schedule(self, schedule_id: str, method: str, into: type[T], *args: str) -> T:
        return envelope.unwrap(await call_object(self._env, SCHEDULES, schedule_id, method, *args), into)

    async def _index(self, method: str, into: type[T], *args: str) -> T:
        return envelope.unwrap(await call_object(self._env, SCHEDULE_INDEX, INDEX_NAME, method, *args), into)
