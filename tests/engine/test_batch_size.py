"""How ``job.each`` chooses its batches."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from orchestrator import Batch, BatchSize, JobContext, current_step, workflow
from orchestrator.testing import World


class Nothing(BaseModel):
    """No payload."""


class Pace:
    """Makes each batch take some of the world's time."""

    def __init__(self, took_ms: int) -> None:
        self.took_ms = took_ms
        self.sizes: list[int] = []
        self.world: World | None = None


async def walk_batch(batch: Batch[int, int]) -> int:
    pace = current_step().services
    assert isinstance(pace, Pace)
    assert pace.world is not None
    pace.sizes.append(len(batch.items))
    pace.world.clock.time_ms += pace.took_ms
    return batch.state + len(batch.items)


@workflow("walking")
async def walking(job: JobContext, payload: Nothing) -> int:
    size = BatchSize(initial=40, minimum=10, maximum=100)
    return (await job.each("walk", range(400), walk_batch, state=0, batch=size)).state


def sizes(took_ms: int) -> list[int]:
    pace = Pace(took_ms)
    world = pace.world = World(walking, services=pace)
    job_id = world.start("walking", {})
    asyncio.run(world.run())
    assert world.view(job_id).result == 400
    return pace.sizes


def test_slow_batches_shrink_to_the_minimum_and_no_further() -> None:
    assert sizes(2_000)[:6] == [40, 20, 10, 10, 10, 10]


def test_quick_batches_grow_to_the_maximum() -> None:
    assert sizes(1) == [40, 80, 100, 100, 80]


def test_batches_that_take_long_enough_stay() -> None:
    assert sizes(1_000) == [40] * 10
