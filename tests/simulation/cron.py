"""Schedules in a simulation: their objects and the list of all, with the modules that are deployed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import LiteralString, TypeVar

import msgspec

from durable.schedule_index import Round, RoundQuery, ScheduleList
from durable.schedule_round import go_round
from orchestrator.engine import JobEngine
from orchestrator.lifecycle import JobStatus
from orchestrator.model import Created, CreateJob, JobView
from orchestrator.new_job import is_awaited
from orchestrator.ports import SqlRow, SqlValue
from orchestrator.schedule import Schedule
from orchestrator.schedule_engine import ScheduleEngine
from orchestrator.schedule_model import ScheduleSummary, ScheduleView
from orchestrator.schedule_state import ScheduleState
from orchestrator.testing.host import Copy, EngineHost, Host
from orchestrator.testing.simulation import Simulation
from orchestrator.testing.sql import MemorySql, is_write
from orchestrator.views import job_view

T = TypeVar("T")


class IndexHost(EngineHost[ScheduleList]):
    """The object of the list."""

    def boot(self) -> Copy:
        """See :class:`orchestrator.testing.host.Host`."""
        copy = Copy(self.world, self)
        self.engine = ScheduleList(copy)
        return copy

    def tick(self) -> Coroutine[object, object, None]:
        """See :class:`orchestrator.testing.host.Host`."""
        raise AssertionError("the list has no alarm")


class ScheduleCopy(Copy):
    """Implements :class:`orchestrator.schedule_ports.SchedulePlatform` and its ports."""

    def __init__(self, host: ScheduleHost) -> None:
        super().__init__(host.schedules.simulation, host)
        self._schedules = host.schedules
        self._simulation = host.schedules.simulation
        self.jobs = self
        self.index = self

    async def expect(self, job_ids: Sequence[str]) -> None:
        for job_id in job_ids:
            await self._simulation.backstage.expect(self, job_id)

    async def create(self, request: CreateJob) -> Created:
        request = self._simulation.carry(request)
        assert is_awaited(request), "a schedule's jobs go through their queue"
        job = self._simulation.object(request.job_id)
        return await self._simulation.ask(self, "create", job, lambda engine: self._simulation.create(engine, request))

    async def enqueue(self, queue: str, job_ids: Sequence[str]) -> None:
        self.gate()
        for job_id in job_ids:
            await self._simulation.send(
                self, "enqueue", queue, lambda job_id=job_id: self._simulation.enqueue(queue, job_id)
            )

    async def view(self, job_id: str) -> JobView:
        self.gate()
        return await self._simulation.wait_for(self, "view", self._simulation.object(job_id), _view)

    async def cancel(self, job_id: str, reason: str) -> JobStatus:
        job = self._simulation.object(job_id)
        return await self._simulation.ask(self, "cancel", job, lambda engine: engine.cancel(reason))

    async def publish(self, summary: ScheduleSummary) -> None:
        await self._simulation.ask(self, "publish", self._schedules.list, lambda found: found.publish(summary))


class ScheduleHost(EngineHost[ScheduleEngine]):
    """The object of one schedule."""

    def __init__(self, schedules: Schedules, name: str) -> None:
        self.schedules = schedules
        super().__init__(schedules.simulation, name)

    def boot(self) -> Copy:
        """See :class:`orchestrator.testing.host.Host`."""
        copy = ScheduleCopy(self)
        self.engine = ScheduleEngine(copy, self.world.registry)
        return copy

    def tick(self) -> Coroutine[object, object, None]:
        """See :class:`orchestrator.testing.host.Host`."""
        return self.engine.tick()

    def next_due_ms(self) -> int | None:
        """See :class:`orchestrator.testing.host.Host`."""
        known = self.sql.execute("select 1 from sqlite_master where name = 'schedule'")
        return ScheduleState(_Read(self.sql), self.world.clock).next_due_ms() if known else None


class _Read:
    """Storage that is only looked at: the tables are there, and nothing is written."""

    rows_written = rows_read = size_bytes = 0

    def __init__(self, sql: MemorySql) -> None:
        self._sql = sql

    def execute(self, query: LiteralString, *params: SqlValue) -> list[SqlRow]:
        return [] if is_write(query) else self._sql.execute(query, *params)


class Schedules:
    """All schedules of a simulation, as the API and the platform's tick reach them.

    Args:
        simulation: whose.
    """

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.list = IndexHost(simulation, "schedules")
        self._by_id: dict[str, ScheduleHost] = {}

    def hosts(self) -> Iterable[Host]:
        """Return the objects."""
        return [self.list, *self._by_id.values()]

    def unrest(self) -> list[str]:
        """Return what has not come to rest yet: a schedule that would act again, or of which the list has not heard."""
        found = [(name, host.next_due_ms()) for name, host in self._by_id.items()]
        return [f"schedule {name} is due at {due_ms}" for name, due_ms in found if due_ms is not None]

    async def create(self, schedule: Schedule) -> None:
        """Create a schedule as the API does."""
        arrived = msgspec.json.decode(msgspec.json.encode(schedule), type=Schedule)
        await self._call("create schedule", schedule.id, lambda engine: engine.create(arrived))

    async def pause(self, schedule_id: str) -> None:
        """Pause a schedule as the API does."""
        await self._call("pause schedule", schedule_id, lambda engine: engine.pause())

    async def see(self, schedule_id: str) -> ScheduleView:
        """Look at a schedule without mending its alarm."""
        return await self.simulation.client.insist(
            lambda: self.simulation.ask(None, "see", self._by_id[schedule_id], lambda engine: engine.view())
        )

    async def _call(self, what: str, schedule_id: str, call: Callable[[ScheduleEngine], object]) -> None:
        """Call a schedule as its object's methods do: the list hears of it before the caller does."""
        if schedule_id not in self._by_id:
            self._by_id[schedule_id] = ScheduleHost(self, schedule_id)

        async def run(engine: ScheduleEngine) -> None:
            call(engine)
            await engine.enlist()

        await self.simulation.client.insist(lambda: self.simulation.wait_for(None, what, self._by_id[schedule_id], run))

    # -- the platform's tick -----------------------------------------------------------------------------------------

    async def go_round(self) -> None:
        """Look after the schedules."""
        if self._by_id:
            await go_round(self, self.simulation.clock, [])

    async def round(self, query: RoundQuery) -> Round:
        return await self.simulation.ask(None, "round", self.list, lambda found: found.round(query))

    async def view(self, schedule_id: str) -> ScheduleView:
        async def run(engine: ScheduleEngine) -> ScheduleView:
            await engine.look()
            engine.wake()
            found = engine.view()
            await engine.publish()
            return found

        return await self.simulation.wait_for(None, "view", self._by_id[schedule_id], run)

    async def forget(self, schedule_id: str) -> None:
        await self.simulation.ask(None, "forget", self.list, lambda found: found.forget(schedule_id))

    async def declare(self, schedule: Schedule) -> None:
        raise AssertionError("no schedule is declared here")

    async def retire(self, schedule_id: str) -> None:
        raise AssertionError("no schedule is declared here")

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        self.simulation.logs.append((level, event, dict(fields)))


async def _view(engine: JobEngine) -> JobView:
    await engine.look()
    if engine.exists():
        engine.wake()
    return job_view(engine.known(), engine.journal)
