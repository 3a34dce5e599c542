"""What a call makes due begins within the call, with the alarm behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from pydantic import BaseModel

from orchestrator import JobContext, workflow
from orchestrator.control import follow_up, take
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import WATCHDOG_MS
from orchestrator.model import JobOptions, JobSummary
from orchestrator.outbox import FIRST
from orchestrator.state import RETENTION
from orchestrator.testing import World
from orchestrator.testing.host import Copy


class Nothing(BaseModel):
    pass


@workflow("short")
async def short(job: JobContext, payload: Nothing) -> int:
    return await job.step("count", _one)


async def _one() -> int:
    return 1


class Told(World):
    """Keeps what the catalog is told."""

    def note(self) -> None:
        self.told: list[JobSummary] = []

    async def publish(self, sender: Copy, summary: JobSummary) -> None:
        self.told.append(summary)
        await super().publish(sender, summary)


def spawn(work: Coroutine[object, object, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(work)


def test_a_job_ends_without_an_alarm_and_tells_of_all_at_once() -> None:
    world = Told(short)
    world.note()
    job_id = world.start("short", {})
    host = world.objects[job_id]
    asyncio.run(follow_up(host.engine, spawn))
    assert (host.fired, world.view(job_id).status) == (0, JobStatus.COMPLETED)
    assert [(item.status, item.first) for item in world.told] == [(JobStatus.COMPLETED, True)]
    assert host.alarm_ms == host.journal.due_ms(RETENTION), "nothing else is left to do"


def test_a_message_starts_its_job_at_once() -> None:
    world = Told(short)
    world.note()
    job_id = world.start("short", {}, JobOptions())
    assert asyncio.run(take(world.objects[job_id].engine, spawn)) is JobStatus.RUNNING
    assert (world.objects[job_id].fired, world.view(job_id).status) == (0, JobStatus.COMPLETED)
    assert [item.first for item in world.told] == [True]


def test_what_is_not_due_waits_for_its_alarm() -> None:
    world = World(short)
    job_id = world.start("short", {}, JobOptions(mode="direct", delay_ms=60_000))
    asyncio.run(world.objects[job_id].engine.act())
    assert world.view(job_id).status is JobStatus.WAITING


def test_an_alarm_that_fires_meanwhile_lasts_as_long_as_the_slice() -> None:
    """It is the watchdog: were it over, nothing would wake the job if its object died now."""
    began, may_end = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        began.set()
        await may_end.wait()

    @workflow("held")
    async def held(job: JobContext, payload: Nothing) -> None:
        await job.step("hold", hold)

    world = World(held)
    job_id = world.start("held", {})
    host = world.objects[job_id]

    async def scenario() -> None:
        acting = spawn(host.engine.act())
        await began.wait()
        host.commit()
        assert host.alarm_ms == world.clock.now_ms() + WATCHDOG_MS
        world.clock.time_ms += WATCHDOG_MS
        alarm = asyncio.ensure_future(host.fire())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not alarm.done()
        may_end.set()
        await asyncio.gather(acting, alarm)

    asyncio.run(scenario())
    assert world.view(job_id).status is JobStatus.COMPLETED
    assert (world.view(job_id).crashes, host.alarm_ms) == (0, host.journal.due_ms(RETENTION))


def test_the_catalog_hears_of_a_long_slice_while_it_runs_and_of_its_end_later() -> None:
    began, may_end = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        began.set()
        await may_end.wait()

    @workflow("held")
    async def held(job: JobContext, payload: Nothing) -> None:
        await job.step("hold", hold)

    world = Told(held)
    world.note()
    job_id = world.start("held", {}, JobOptions())
    engine = world.objects[job_id].engine

    async def scenario() -> None:
        acting: list[asyncio.Task[None]] = []

        def note(work: Coroutine[object, object, None]) -> asyncio.Task[None]:
            acting.append(spawn(work))
            return acting[-1]

        await take(engine, note)
        assert began.is_set()
        assert not engine.journal.outbox.has("catalog", FIRST)
        may_end.set()
        await asyncio.gather(*acting)

    asyncio.run(scenario())
    assert [(item.status, item.first) for item in world.told] == [
        (JobStatus.RUNNING, True),
        (JobStatus.COMPLETED, False),
    ]
