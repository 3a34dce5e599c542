"""Waiting for a child that was started before: its end arrives once, whatever is lost or crashes on the way."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from orchestrator import JobContext, JobOptions, NonRetryableError, StepFailedError, current_step, workflow
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import CHILD_HEAL_MS
from orchestrator.model import JobView, RetryJob
from orchestrator.testing import World


class Plan(BaseModel):
    naps_ms: int = 600_000
    timeout_ms: int | None = None
    idempotency_key: str | None = None
    #: How long the parent does something else before it waits.
    busy_ms: int = 0


class Mood:
    def __init__(self) -> None:
        self.broken = False


async def answer() -> int:
    mood = current_step().services
    assert isinstance(mood, Mood)
    if mood.broken:
        raise NonRetryableError("broken", code="broken")
    return 42


@workflow("slow-child")
async def slow_child(job: JobContext, payload: Plan) -> int:
    await job.sleep(payload.naps_ms)
    return await job.step("answer", answer)


@workflow("joining")
async def joining(job: JobContext, payload: Plan) -> list[object]:
    options = JobOptions(idempotency_key=payload.idempotency_key)
    handle = await job.start_child("start", "slow-child", {"naps_ms": payload.naps_ms}, options=options)
    await job.sleep(payload.busy_ms)
    try:
        found = await job.wait_for_child(handle, timeout_ms=payload.timeout_ms)
    except StepFailedError as error:
        if error.record.code != "wait_timeout":
            raise
        return [error.record.code, await job.wait_for_child(handle)]
    return [found]


def play(plan: Plan, *crash_at: int, always_replay: bool = False, broken: bool = False) -> tuple[World, str, Mood]:
    mood = Mood()
    mood.broken = broken
    world = World(joining, slow_child, services=mood, always_replay=always_replay)
    world.crash_at(*crash_at)
    return world, world.start("joining", plan.model_dump()), mood


def ended(world: World, job_id: str) -> JobView:
    asyncio.run(world.run(max_ticks=2_000))
    return world.view(job_id)


@pytest.mark.parametrize("always_replay", [False, True])
@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (Plan(), [42]),
        (Plan(naps_ms=0, busy_ms=60_000), [42]),
        (Plan(timeout_ms=1_000_000), [42]),
        (Plan(timeout_ms=150_000), ["wait_timeout", 42]),
        (Plan(timeout_ms=0), ["wait_timeout", 42]),
        (Plan(idempotency_key="shared"), [42]),
    ],
)
def test_outcome(plan: Plan, expected: object, always_replay: bool) -> None:
    world, job_id, _ = play(plan, always_replay=always_replay)
    began_ms = world.clock.now_ms()
    view = ended(world, job_id)
    assert (view.status, view.result) == (JobStatus.COMPLETED, expected)
    assert (view.finished_at_ms or 0) - began_ms < max(plan.naps_ms, plan.busy_ms) + 1_000  # told, not asked


@pytest.mark.parametrize("plan", [Plan(naps_ms=0), Plan(), Plan(timeout_ms=150_000)])
def test_crash_at_every_write(plan: Plan) -> None:
    undisturbed, job_id, _ = play(plan)
    expected = ended(undisturbed, job_id).result
    for write in range(1, undisturbed.writes + 1):
        world, job_id, _ = play(plan, write)
        assert ended(world, job_id).result == expected, f"crashed before write {write}"


def test_a_lost_notice_is_healed_by_asking() -> None:
    world, job_id, _ = play(Plan(naps_ms=3 * CHILD_HEAL_MS))
    world.lose_notices = True
    assert ended(world, job_id).result == [42]


def test_somebody_elses_job_tells_too() -> None:
    world, first, _ = play(Plan(idempotency_key="shared"))
    second = world.start("joining", Plan(idempotency_key="shared").model_dump())
    began_ms = world.clock.now_ms()
    asyncio.run(world.run())
    for view in (world.view(first), world.view(second)):
        assert view.result == [42]
        assert (view.finished_at_ms or 0) - began_ms < 601_000
    assert len(world.objects) == 3


def test_a_wait_says_what_it_is_for_and_paused_time_does_not_count() -> None:
    world, job_id, _ = play(Plan(timeout_ms=700_000))
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 1_000))
    (wait,) = world.view(job_id).waits
    assert (wait.kind, wait.reason) == ("join", "waiting for a child job")
    world.call(job_id, lambda engine: engine.pause())
    child_id = next(item.id for item in world.catalog.values() if item.parent_id == job_id)
    world.call(child_id, lambda engine: engine.pause())
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 86_400_000))
    world.call(job_id, lambda engine: engine.resume())
    world.call(child_id, lambda engine: engine.resume())
    assert ended(world, job_id).result == [42]


def test_a_child_that_fails_fails_the_wait_and_is_started_again_by_a_retry() -> None:
    world, job_id, mood = play(Plan(), broken=True)
    view = ended(world, job_id)
    assert view.status is JobStatus.FAILED
    assert view.error is not None
    assert (view.error.code, view.error.cause) == ("child_failed", "broken: broken")
    mood.broken = False
    world.call(job_id, lambda engine: engine.retry(RetryJob()))
    assert ended(world, job_id).result == [42]
    assert len(world.objects) == 3


def test_a_deleted_child_is_said_to_be_unknown() -> None:
    world, job_id, _ = play(Plan(naps_ms=0, busy_ms=60_000))
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 30_000))
    child_id = next(item.id for item in world.catalog.values() if item.parent_id == job_id)
    world.call(child_id, lambda engine: engine.delete())
    view = ended(world, job_id)
    assert view.error is not None
    assert view.error.code == "unknown_job"
