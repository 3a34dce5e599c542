"""A token may be completed with more than a row holds: a crawl of many thousand pages is told in one call."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from orchestrator import JobContext, workflow
from orchestrator.completion import complete_token
from orchestrator.errors import UnknownTokenError
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import MAX_VALUE_BYTES
from orchestrator.testing import World
from orchestrator.testing.world_resources import WorldResources

DATA = {"pages": ["x" * 1_000] * 2_500}


class Nothing(BaseModel):
    pass


async def seen(data: object) -> list[int]:
    assert data == DATA
    return [len(DATA["pages"])]


@workflow("crawling")
async def crawling(job: JobContext, payload: Nothing) -> list[int]:
    token = await job.create_token(timeout_ms=600_000)
    data = await job.wait_for_token(token)
    return await job.step("look", seen, data)


def complete(world: World, job_id: str, key: str = "token") -> None:
    def resources() -> WorldResources:
        return WorldResources(world.objects[job_id].copy)

    world.call(job_id, lambda engine: asyncio.run(complete_token(engine, resources, key, DATA)))


@pytest.mark.parametrize("always_replay", [False, True])
def test_a_crash_at_any_write_loses_nothing_of_it(always_replay: bool) -> None:
    assert len(str(DATA)) > MAX_VALUE_BYTES
    for write in range(40):
        world = World(crawling, always_replay=always_replay)
        world.crash_at(write)
        job_id = world.start("crawling", {})
        asyncio.run(world.run(until_ms=world.clock.now_ms() + 30_000))
        complete(world, job_id)
        complete(world, job_id)
        asyncio.run(world.run())
        view = world.view(job_id)
        assert (view.status, view.result) == (JobStatus.COMPLETED, [2_500]), f"crashed before write {write}"


def test_what_comes_too_late_is_stored_nowhere() -> None:
    world = World(crawling)
    job_id = world.start("crawling", {})
    asyncio.run(world.run())
    assert world.view(job_id).status is JobStatus.FAILED
    complete(world, job_id)
    assert asyncio.run(world.blobs.list("")) == []
    with pytest.raises(UnknownTokenError):
        complete(world, job_id, "another")
