"""What a fan-out promises of its children: no more at a time than its window, each told of and stopped at once."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from orchestrator import ChildOutcome, ChildRequest, JobContext, NonRetryableError, current_step, workflow
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import CHILD_HEAL_MS
from orchestrator.model import RetryJob
from orchestrator.testing import World

COUNT, WINDOW, NAP_MS = 9, 3, 10_000


class Task(BaseModel):
    number: int = 0
    #: Each of three in a row takes longer than the one before.
    uneven: bool = False


class Mood:
    broken = False


async def answer(number: int) -> int:
    if number == 0 and isinstance(current_step().services, Mood) and Mood.broken:
        raise NonRetryableError("broken", code="broken")
    return number


@workflow("task")
async def task(job: JobContext, payload: Task) -> int:
    await job.sleep(NAP_MS * (1 + payload.number % 3) if payload.uneven else NAP_MS)
    return await job.step("answer", answer, payload.number)


def count(state: int, outcome: ChildOutcome) -> int:
    return state + 1


@workflow("tasks")
async def tasks(job: JobContext, payload: Task) -> int:
    payloads = [Task(number=number, uneven=payload.uneven) for number in range(COUNT)]
    requests = [ChildRequest(key=str(item.number), payload=item) for item in payloads]
    return (await job.map_children("all", "task", requests, reduce=count, state=0, window=WINDOW)).state


def start(*, uneven: bool = False) -> tuple[World, str]:
    Mood.broken = False
    world = World(task, tasks, services=Mood())
    return world, world.start("tasks", {"uneven": uneven})


def children(world: World, job_id: str) -> list[str]:
    return [name for name in world.objects if name != job_id]


def test_no_more_children_at_a_time_than_its_window() -> None:
    world, job_id = start(uneven=True)
    began_ms, most = world.clock.now_ms(), 0
    for at_ms in range(100, COUNT * NAP_MS, 500):
        asyncio.run(world.run(until_ms=began_ms + at_ms))
        alive = [name for name in children(world, job_id) if world.view(name).status is not JobStatus.COMPLETED]
        most = max(most, len(alive))
    assert most == WINDOW
    assert world.view(job_id).result == COUNT


def test_it_hears_of_each_end_at_once() -> None:
    world, job_id = start()
    asyncio.run(world.run())
    view = world.view(job_id)
    assert (view.finished_at_ms or 0) - view.created_at_ms < (COUNT // WINDOW) * NAP_MS + 1_000


def test_notices_that_are_lost_are_made_up_for_by_asking() -> None:
    world, job_id = start()
    world.lose_notices = True
    asyncio.run(world.run(until_ms=world.clock.now_ms() + (COUNT // WINDOW + 1) * CHILD_HEAL_MS))
    assert world.view(job_id).result == COUNT


def test_its_children_are_cancelled_with_their_parent() -> None:
    world, job_id = start()
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 1_000))
    world.call(job_id, lambda engine: engine.cancel("not wanted"))
    asyncio.run(world.run())
    assert [world.view(name).status for name in children(world, job_id)] == [JobStatus.CANCELLED] * WINDOW


def test_a_retried_parent_has_children_of_its_own() -> None:
    world, job_id = start()
    Mood.broken = True
    asyncio.run(world.run())
    assert world.view(job_id).status is JobStatus.FAILED
    Mood.broken = False
    world.call(job_id, lambda engine: engine.retry(RetryJob()))
    asyncio.run(world.run())
    assert world.view(job_id).result == COUNT
    ended = [world.view(name).status for name in children(world, job_id)]
    assert ended.count(JobStatus.COMPLETED) >= COUNT
