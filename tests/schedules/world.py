"""Schedules in the world of jobs: objects with an engine, an alarm and crashes, beside the jobs they start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from orchestrator.errors import ConflictError
from orchestrator.lifecycle import TERMINAL, JobStatus
from orchestrator.model import Created, CreateJob, JobView
from orchestrator.schedule import Schedule
from orchestrator.schedule_engine import ScheduleEngine
from orchestrator.schedule_model import ScheduleSummary, ScheduleView
from orchestrator.testing import MemorySql, World
from orchestrator.testing.world import Crash, VirtualClock
from orchestrator.workflow import Workflow

T = TypeVar("T")

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000


def at(text: str) -> int:
    """Return ``2026-11-24 12:00`` UTC, with or without seconds, as Unix time in ms."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def shown(at_ms: int) -> str:
    """Return a time as :func:`at` reads it."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


class ScheduleHost:
    """One schedule's object: durable SQL and alarm, and an engine that a crash forgets. Implements the ports."""

    def __init__(self, world: ScheduleWorld, name: str) -> None:
        self.world = world
        self.name = name
        self.sql = MemorySql(world.before_write)
        self.alarm = self
        self.index = self
        self.alarm_ms: int | None = None
        self.alarm_writes = 0
        self._durable_alarm_ms: int | None = None
        self.engine = ScheduleEngine(self, world.registry)

    @property
    def clock(self) -> VirtualClock:
        return self.world.clock

    @property
    def jobs(self) -> HostJobs:
        return HostJobs(self)

    def set(self, at_ms: int) -> None:
        if at_ms <= self.clock.now_ms():
            raise AssertionError("an alarm in the past is dropped by workerd inside alarm()")
        self.alarm_ms = at_ms
        self.alarm_writes += 1

    def clear(self) -> None:
        self.alarm_ms = None

    async def get(self) -> int | None:
        return self.alarm_ms

    async def take_back(self) -> None:
        self.alarm_ms = None

    async def publish(self, summary: ScheduleSummary) -> None:
        self.commit()
        self.world.maybe_fail("publish")
        known = self.world.listed.get(summary.id)
        if known is None or known.revision < summary.revision:
            self.world.listed[summary.id] = summary
        self.world.on_publish(summary)

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        self.world.logs.append((level, event, dict(fields)))

    def commit(self) -> None:
        """Make the writes and the alarm durable together."""
        self.sql.commit()
        self._durable_alarm_ms = self.alarm_ms

    def crash(self) -> None:
        """Lose memory and whatever was not durable."""
        self.sql.discard()
        self.alarm_ms = self._durable_alarm_ms
        self.engine = ScheduleEngine(self, self.world.registry)
        self.world.crashes += 1

    async def fire(self) -> None:
        """Run the alarm. The runtime keeps it until the handler ends, unless the handler sets another."""
        fired_ms, self.alarm_ms = self.alarm_ms, None
        try:
            await self.engine.tick()
            self.commit()
        except Crash:
            self.crash()
            if self.alarm_ms is None or self.alarm_ms == fired_ms:
                self.alarm_ms = self._durable_alarm_ms = self.clock.now_ms() + 2_000  # the platform's retry


class HostJobs:
    """The jobs as a schedule reaches them; sending waits for durable writes, as the output gate does."""

    def __init__(self, host: ScheduleHost) -> None:
        self._host = host
        self._world = host.world

    async def expect(self, job_ids: Sequence[str]) -> None:
        self._host.commit()
        self._world.maybe_fail("expect")

    async def create(self, request: CreateJob) -> Created:
        self._host.commit()
        self._world.maybe_fail("create")
        created = self._world.call(request.job_id, lambda engine: engine.create(request))
        if not created.deduplicated:
            self._world.created.append(request)
        self._world.maybe_fail("created")
        return created

    async def enqueue(self, queue: str, job_ids: Sequence[str]) -> None:
        self._host.commit()
        self._world.maybe_fail("enqueue")
        self._world.queued.extend(job_ids)

    async def view(self, job_id: str) -> JobView:
        self._host.commit()
        self._world.maybe_fail("view")
        return self._world.view(job_id)

    async def cancel(self, job_id: str, reason: str) -> JobStatus:
        self._host.commit()
        status = self._world.view(job_id).status
        if status in TERMINAL:
            raise ConflictError
        return self._world.call(job_id, lambda engine: engine.cancel(reason))


class ScheduleWorld(World):
    """A world of jobs with schedules in it."""

    ticks: int

    def __init__(self, *workflows: Workflow, start: str = "2026-11-24 10:00:30") -> None:
        super().__init__(*workflows)
        self.clock.time_ms = at(start)
        self.hosts: dict[str, ScheduleHost] = {}
        self.listed: dict[str, ScheduleSummary] = {}
        #: Hears what the index hears.
        self.on_publish: Callable[[ScheduleSummary], None] = lambda summary: None
        #: The jobs that schedules have created, in order.
        self.created: list[CreateJob] = []
        #: What the next calls raise, by name.
        self.failures: dict[str, list[Exception]] = {}

    def maybe_fail(self, name: str) -> None:
        """Raise what a test wants raised here."""
        if self.failures.get(name):
            raise self.failures[name].pop(0)

    def host(self, name: str) -> ScheduleHost:
        """Return the object of a schedule."""
        if name not in self.hosts:
            self.hosts[name] = ScheduleHost(self, name)
        return self.hosts[name]

    def add(self, schedule: Schedule) -> ScheduleHost:
        """Create a schedule of the API and tell the index, as its object does."""
        self.ask(schedule.id, lambda engine: engine.create(schedule))
        asyncio.run(self.ask_async(schedule.id, lambda engine: engine.publish()))
        return self.hosts[schedule.id]

    def ask(self, name: str, call: Callable[[ScheduleEngine], T]) -> T:
        """Call a schedule's object, durably; a call whose object crashes is repeated, as clients do."""
        return self.insist(self.host(name), call)

    async def ask_async(self, name: str, call: Callable[[ScheduleEngine], Awaitable[T]]) -> T:
        """Call a method that waits for others; see :meth:`ask`."""
        return await self.insist_later(self.host(name), call)

    async def step(self, *, until_ms: int | None = None) -> bool:
        """Run the earliest alarm, of a job or a schedule."""
        while self.queued:
            self.call(self.queued.pop(0), lambda engine: engine.dispatch())
        others = (*self.objects.values(), *self.lanes.by_name.values())
        jobs = [item.alarm_ms for item in others if item.alarm_ms is not None]
        armed = [(host.alarm_ms, host.name) for host in self.hosts.values() if host.alarm_ms is not None]
        if not armed or (jobs and min(jobs) <= min(armed)[0]):
            return await super().step(until_ms=until_ms)
        at_ms, name = min(armed)
        if until_ms is not None and at_ms > until_ms:
            self.clock.time_ms = until_ms
            return False
        self.clock.time_ms = max(self.clock.time_ms, at_ms)
        self.ticks += 1
        await self.hosts[name].fire()
        return True

    async def until(self, text: str) -> None:
        """Run until a time."""
        await self.run(until_ms=at(text))
        self.clock.time_ms = max(self.clock.time_ms, at(text))

    def see(self, name: str) -> ScheduleView:
        """Return a schedule as callers see it."""
        return self.ask(name, lambda engine: engine.view())

    def planned(self, name: str) -> list[str]:
        """Return the planned times that were started, in the order in which their jobs were created."""
        order = [request.job_id for request in self.created]
        started = {event.job_id: event.planned_ms for event in self.see(name).history if event.outcome == "started"}
        return [shown(started[job_id]) for job_id in order if job_id in started]

    def outcomes(self, name: str) -> list[tuple[str, str, int]]:
        """Return the lines of a schedule's history, the first first: time, outcome, count."""
        lines = reversed(self.see(name).history)
        return [(shown(line.planned_ms)[11:], line.outcome, line.count) for line in lines]
