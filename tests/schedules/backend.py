"""The schedules of a world as the API and the platform's tick reach them, with the real list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from durable.schedule_index import Round, RoundQuery, ScheduleList, SchedulePage, ScheduleQuery
from orchestrator.model import Created
from orchestrator.schedule import Schedule
from orchestrator.schedule_engine import ScheduleEngine
from orchestrator.schedule_model import Backfilled, CreatedSchedule, ScheduleView
from orchestrator.testing import MemorySql
from tests.schedules.world import ScheduleWorld

T = TypeVar("T")


class WorldSchedules:
    """Implements :class:`durable.http.host.SchedulesBackend` and :class:`durable.schedule_round.RoundPort`."""

    def __init__(self, world: ScheduleWorld) -> None:
        self.world = world
        self.list = ScheduleList(MemorySql())
        world.on_publish = self.list.publish
        #: What the next calls raise, by method.
        self.failures: dict[str, list[Exception]] = {}
        self.calls: list[tuple[str, str]] = []

    async def create(self, schedule: Schedule) -> CreatedSchedule:
        return await self._ask("create", schedule.id, lambda engine: engine.create(schedule))

    async def view(self, schedule_id: str) -> ScheduleView:
        def look(engine: ScheduleEngine) -> ScheduleView:
            engine.wake()
            return engine.view()

        await self.world.ask_async(schedule_id, lambda engine: engine.look())
        return await self._ask("view", schedule_id, look)

    async def update(self, schedule_id: str, changes: Mapping[str, object]) -> ScheduleView:
        return await self._ask("update", schedule_id, lambda engine: engine.update(changes))

    async def delete(self, schedule_id: str) -> None:
        await self._ask("delete", schedule_id, lambda engine: engine.delete())

    async def pause(self, schedule_id: str) -> ScheduleView:
        return await self._ask("pause", schedule_id, lambda engine: engine.pause())

    async def resume(self, schedule_id: str) -> ScheduleView:
        return await self._ask("resume", schedule_id, lambda engine: engine.resume())

    async def run_now(self, schedule_id: str, key: str) -> Created:
        created = await self.world.ask_async(schedule_id, lambda engine: engine.run_now(key))
        await self.world.ask_async(schedule_id, lambda engine: engine.publish())
        return created

    async def backfill(self, schedule_id: str, from_ms: int, to_ms: int) -> Backfilled:
        return await self._ask("backfill", schedule_id, lambda engine: engine.backfill(from_ms, to_ms))

    async def page(self, query: ScheduleQuery) -> SchedulePage:
        return self.list.page(query)

    async def round(self, query: RoundQuery) -> Round:
        self._note("round", "")
        return self.list.round(query)

    async def declare(self, schedule: Schedule) -> None:
        await self._ask("declare", schedule.id, lambda engine: engine.declare(schedule))

    async def retire(self, schedule_id: str) -> None:
        await self._ask("retire", schedule_id, lambda engine: engine.retire())

    async def forget(self, schedule_id: str) -> None:
        self._note("forget", schedule_id)
        self.list.forget(schedule_id)

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        self.world.logs.append((level, event, dict(fields)))

    async def _ask(self, method: str, schedule_id: str, call: Callable[[ScheduleEngine], T]) -> T:
        self._note(method, schedule_id)
        result = self.world.ask(schedule_id, call)
        await self.world.ask_async(schedule_id, lambda engine: engine.publish())
        return result

    def _note(self, method: str, schedule_id: str) -> None:
        self.calls.append((method, schedule_id))
        if self.failures.get(method):
            raise self.failures[method].pop(0)
