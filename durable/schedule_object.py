"""``ScheduleObject``: the Durable Object of one schedule. Strings of JSON in, strings of JSON out.

Methods answer ``{"ok": …}`` or ``{"error": …}`` like those of ``JobObject``. What a call changes is told to the list
before the caller hears of it; where that fails, the alarm tells it later, or the caller is to call again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from workers import DurableObject

from durable import bridge, envelope
from durable.jobs_backend import ObjectJobs
from durable.object_platform import WorkerClock, write_log
from durable.object_sql import ObjectAlarm, ObjectSql
from durable.schedules_backend import ObjectSchedules
from durable.workflows import registry
from orchestrator.schedule import Schedule
from orchestrator.schedule_engine import ScheduleEngine


class ScheduleObject(DurableObject):
    """One schedule. The constructor only remembers: a failing one would poison every later call (platform.md §4.5)."""

    def __init__(self, ctx: object, env: object) -> None:
        super().__init__(ctx, env)
        platform = _Platform(bridge.Storage(ctx), bridge.Env(env))
        self._engine_or_none: ScheduleEngine | None = None
        self._make = lambda: ScheduleEngine(platform, registry())

    @property
    def _engine(self) -> ScheduleEngine:
        if self._engine_or_none is None:
            self._engine_or_none = self._make()
        return self._engine_or_none

    async def create(self, body: str) -> str:
        """Record a schedule: ``Schedule`` in, ``CreatedSchedule`` out."""
        return await self._enlisted(lambda: self._engine.create(msgspec.json.decode(body, type=Schedule)))

    async def declare(self, body: str) -> str:
        """Record a schedule of the code or bring it up to date: ``Schedule`` in."""
        return await self._answer(lambda: self._engine.declare(msgspec.json.decode(body, type=Schedule)))

    async def retire(self) -> str:
        """Stop a schedule that the code no longer declares."""
        return await self._answer(self._engine.retire)

    async def view(self) -> str:
        """The schedule: ``ScheduleView`` out. Looking at a schedule also mends a lost alarm."""
        await self._engine.look()
        self._engine.wake()
        return await self._answer(self._engine.view)

    async def update(self, body: str) -> str:
        """Change a schedule: the members to change in, ``ScheduleView`` out."""
        changes = msgspec.json.decode(body, type=dict[str, object])
        return await self._answer(lambda: self._engine.update(changes))

    async def delete(self) -> str:
        """Forget the schedule."""
        return await self._answer(self._engine.delete)

    async def pause(self) -> str:
        """Let planned times pass; ``ScheduleView`` out."""
        return await self._answer(self._engine.pause)

    async def resume(self) -> str:
        """Go on after a pause; ``ScheduleView`` out."""
        return await self._enlisted(self._engine.resume)

    async def backfill(self, from_ms: str, to_ms: str) -> str:
        """Run past times: both ends in ms, ``Backfilled`` out."""
        return await self._answer(lambda: self._engine.backfill(int(from_ms), int(to_ms)))

    async def run_now(self, key: str) -> str:
        """Start a job at once: a key that counts once in, ``Created`` out."""
        text = await envelope.answer_later(self._engine.run_now(key))
        await self._engine.publish()
        return text

    async def alarm(self, info: object = None) -> None:
        """Do what is due."""
        await self._engine.tick()

    async def _enlisted(self, call: Callable[[], object]) -> str:
        """Answer a call after which the list has to know the schedule: nobody else looks after a lost alarm."""

        async def enlisted() -> object:
            value = call()
            await self._engine.enlist()
            return value

        return await envelope.answer_later(enlisted())

    async def _answer(self, call: Callable[[], object]) -> str:
        text = envelope.answer(call)
        await self._engine.publish()
        return text


class _Platform:
    """Implements :class:`orchestrator.schedule_ports.SchedulePlatform`."""

    def __init__(self, storage: bridge.Storage, env: bridge.Env) -> None:
        self.clock = WorkerClock()
        self.sql = ObjectSql(storage)
        self.alarm = ObjectAlarm(storage)
        self.jobs = ObjectJobs(env)
        self.index = ObjectSchedules(env)

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        write_log(level, event, fields)
