"""A fan-out that has failed and waits for its last children to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel

from orchestrator import ChildOutcome, ChildRequest, JobContext, NonRetryableError, WorkflowOptions, workflow
from orchestrator.lifecycle import JobStatus
from orchestrator.testing import Crash, World
from orchestrator.testing.host import Copy

T = TypeVar("T")
HOOK_MS = 300_000


class Order(BaseModel):
    fails: bool = False


async def breaks() -> None:
    raise NonRetryableError("broken", code="broken")


async def tidies_up(job: JobContext, payload: BaseModel, error: str) -> None:
    await job.sleep(HOOK_MS)


@workflow("ordered", options=WorkflowOptions(on_cancel=tidies_up))
async def ordered(job: JobContext, payload: Order) -> None:
    await job.sleep(1_000 if payload.fails else 600_000)
    await job.step("break", breaks)


def count(state: int, outcome: ChildOutcome) -> int:
    return state + 1


@workflow("orders")
async def orders(job: JobContext, payload: Order) -> None:
    requests = [ChildRequest(key=str(n), payload={"fails": n == 0}) for n in range(2)]
    await job.map_children("all", "ordered", requests, reduce=count, state=0)


def slices(world: World, job_id: str) -> int:
    return world.view(job_id).slices


def test_it_rests_while_children_take_their_time_to_stop_also_after_a_restart() -> None:
    calm = World(ordered, orders)
    calm_id = calm.start("orders", {})
    asyncio.run(calm.run())
    assert calm.view(calm_id).status is JobStatus.FAILED

    world = World(ordered, orders)
    job_id = world.start("orders", {})
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 10_000))
    other = [item for item in world.objects if item != job_id and world.view(item).status is JobStatus.CANCELLING]
    assert len(other) == 1
    before = slices(world, job_id)
    world.objects[job_id].crash()
    world.call(job_id, lambda engine: engine.wake())
    asyncio.run(world.run(max_ticks=1_000))
    assert world.view(job_id).status is JobStatus.FAILED
    assert slices(world, job_id) <= before + 8


class DiesBeforeSecondCreate(World):
    creates = 0

    async def send(self, sender: Copy, what: str, to: str, call: Callable[[], T]) -> T:
        if what == "create":
            self.creates += 1
            if self.creates == 2:
                raise Crash
        return await super().send(sender, what, to, call)


def test_a_child_that_was_recorded_and_never_created_holds_nobody_up() -> None:
    """Its sibling fails while the parent is dead: the fan-out is broken before it could create the other."""
    world = DiesBeforeSecondCreate(ordered, orders)
    job_id = world.start("orders", {})
    asyncio.run(world.run(max_ticks=1_000))
    assert world.view(job_id).status is JobStatus.FAILED
    assert {world.view(item).status for item in world.objects} == {JobStatus.FAILED, JobStatus.CANCELLED}
