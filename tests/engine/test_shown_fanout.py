"""What status shows of a fan-out beside its progress."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from orchestrator import ChildOutcome, ChildRequest, JobContext, workflow
from orchestrator.lifecycle import JobStatus
from orchestrator.testing import World


class Number(BaseModel):
    n: int = 0


@workflow("one")
async def one(job: JobContext, payload: Number) -> int:
    await job.sleep(1_000 * payload.n)
    return payload.n


def add(state: int, outcome: ChildOutcome) -> int:
    return state + (outcome.result if isinstance(outcome.result, int) else 0)


@workflow("shown")
async def shown(job: JobContext, payload: Number) -> int:
    job.set_metadata("kept", "yes")
    children = [ChildRequest(key=str(n), payload={"n": n}) for n in range(1, payload.n + 1)]
    result = await job.map_children(
        "kids", "one", children, reduce=add, state=0, window=2, show=lambda state, ended: {"sum": state, "ended": ended}
    )
    return result.state


@pytest.mark.parametrize("always_replay", [False, True])
def test_facts_grow_with_the_children_that_ended(always_replay: bool) -> None:
    async def run() -> list[tuple[object, object]]:
        world = World(shown, one, always_replay=always_replay)
        job_id = world.start("shown", {"n": 4})
        seen: list[tuple[object, object]] = []
        while await world.step():
            view = world.view(job_id)
            fact = (view.metadata.get("sum"), view.metadata.get("ended"))
            if fact[0] is not None and fact not in seen:
                seen.append(fact)
            assert view.metadata.get("kept") == ("yes" if view.metadata else None)
        assert world.view(job_id).result == 10
        return seen

    assert asyncio.run(run()) == [(0, 0), (1, 1), (3, 2), (6, 3), (10, 4)]


def test_facts_survive_a_crash_at_every_write() -> None:
    world = World(shown, one)
    job_id = world.start("shown", {"n": 3})
    asyncio.run(world.run())
    for write in range(1, world.writes + 1):
        disturbed = World(shown, one)
        disturbed.crash_at(write)
        disturbed.start("shown", {"n": 3})
        asyncio.run(disturbed.run())
        view = disturbed.view(job_id)
        assert view.status is JobStatus.COMPLETED
        assert view.metadata == {"kept": "yes", "sum": 6, "ended": 3}, f"crashed before write {write}"
