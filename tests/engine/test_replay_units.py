"""What a replay reads back uses up nothing of its slice."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from orchestrator import JobContext, workflow
from orchestrator.lifecycle import JobStatus
from orchestrator.testing import World

BIG = "x" * 2_000_000


class Nothing(BaseModel):
    pass


async def big() -> str:
    return BIG


async def small() -> str:
    return "small"


@workflow("reading-back")
async def reading_back(job: JobContext, payload: Nothing) -> str:
    first = await job.step("big", big)
    await job.sleep(1_000)
    return str(len(first)) + await job.step("small", small)


def test_a_slice_of_one_unit_comes_to_what_is_new_though_it_reads_a_large_value_first() -> None:
    """After deaths a slice may do one thing; replayed in every slice, that was to read the value again, for ever."""
    world = World(reading_back, always_replay=True)
    job_id = world.start("reading-back", {})
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 500))
    host = world.objects[job_id]
    host.sql.execute("update job set slice_units = 1")
    host.commit()
    host.crash()
    asyncio.run(world.run(max_ticks=50))
    view = world.view(job_id)
    assert (view.status, view.result) == (JobStatus.COMPLETED, f"{len(BIG)}small")
