"""The catalog hears of a job at once, and of what an ended one still owes: the sweeper heals what it knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest
from pydantic import BaseModel

from orchestrator import JobContext, WorkflowOptions, workflow
from orchestrator.control import take
from orchestrator.errors import RetryableError
from orchestrator.lane import LanePolicy
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import LANE_LEASE_MS, LOOK_AGAIN_MS
from orchestrator.model import JobOptions
from orchestrator.testing import World
from orchestrator.testing.host import Copy

T = TypeVar("T")


class Nothing(BaseModel):
    pass


@workflow("simple")
async def simple(job: JobContext, payload: Nothing) -> None:
    await job.sleep(86_400_000)


@workflow("narrow", options=WorkflowOptions(lane=LanePolicy(name="narrow", concurrency=1)))
async def narrow(job: JobContext, payload: Nothing) -> None:
    await job.step("nap", asyncio.sleep, 0)


def test_a_new_job_is_known_before_its_first_alarm_and_told_once() -> None:
    world = World(simple)
    job_id = world.start("simple", {})
    assert job_id not in world.catalog
    asyncio.run(world.objects[job_id].engine.announce())
    known = world.catalog[job_id]
    assert (known.status, known.first) == (JobStatus.RUNNING, True)
    assert world.objects[job_id].sql.execute("select count(*) from outbox")[0][0] == 0


def test_an_announcement_that_fails_is_left_to_the_alarm() -> None:
    world = World(simple)
    job_id = world.start("simple", {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "publish", _refuse)
        asyncio.run(world.objects[job_id].engine.announce())
    asyncio.run(world.step())
    assert world.catalog[job_id].first


def test_a_message_comes_again_until_the_catalog_has_heard_of_its_job() -> None:
    """It may be all that leads to the job: the object has died once, and its alarm was lost."""
    world = World(simple)
    job_id = world.start("simple", {}, JobOptions())
    host = world.objects[job_id]
    host.alarm_ms = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "publish", _refuse)
        with pytest.raises(RetryableError, match="not heard"):
            asyncio.run(take(host.engine))
    host.alarm_ms = None
    world.clock.time_ms += 1_000
    assert asyncio.run(take(host.engine)) is JobStatus.RUNNING
    assert world.catalog[job_id].first
    assert host.alarm_ms is not None


def test_the_end_is_told() -> None:
    world = World(simple)
    job_id = world.start("simple", {})
    asyncio.run(world.run())
    assert world.catalog[job_id].status is JobStatus.COMPLETED


def test_later_news_stay_when_an_announcement_arrives_late() -> None:
    """The row that announces a job also carries what has happened since: it goes with the latest news only."""

    class Slow(World):
        sent = 0

        async def send(self, sender: Copy, what: str, to: str, call: Callable[[], T]) -> T:
            self.sent += 1
            if self.sent == 1:
                await told.wait()
            elif self.sent == 2:
                raise RetryableError("the catalog is away")
            return await super().send(sender, what, to, call)

    async def scenario() -> None:
        announcing = asyncio.ensure_future(world.objects[job_id].engine.announce())
        await asyncio.sleep(0)
        world.call(job_id, lambda engine: engine.pause())
        await world.step()
        told.set()
        await announcing
        await world.step()

    told = asyncio.Event()
    world = Slow(simple)
    job_id = world.start("simple", {})
    asyncio.run(scenario())
    assert world.catalog[job_id].status is JobStatus.PAUSED


def test_the_catalog_knows_when_a_job_acts_next_and_not_when_it_told_so() -> None:
    world = World(simple, narrow)
    job_id = world.start("simple", {})
    asyncio.run(world.step())
    due_ms = world.objects[job_id].engine.summary().due_at_ms
    assert due_ms == world.clock.now_ms() + LOOK_AGAIN_MS, "it sleeps for longer, and somebody looks in between"

    lane = world.lanes.get("narrow")
    world.start("narrow", {})
    asyncio.run(world.step())
    lane.call(lambda engine: engine.pause())
    waiting = world.start("narrow", {})
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 100))
    assert world.view(waiting).status is JobStatus.WAITING
    assert world.objects[waiting].engine.summary().due_at_ms == world.clock.now_ms() + LANE_LEASE_MS


async def _refuse(sender: object, summary: object) -> None:
    raise ConnectionError("the catalog is away")


def test_what_an_ended_job_still_owes_is_known() -> None:
    world = World(narrow)
    job_id = world.start("narrow", {})
    world.lanes.faults = dict.fromkeys(range(2, 30), "lost")
    asyncio.run(world.step())
    summary = world.objects[job_id].engine.summary()
    assert summary.status is JobStatus.COMPLETED
    assert summary.due_at_ms is not None
    assert summary.due_at_ms < world.clock.now_ms() + 60_000, "it has a permit to give back"
