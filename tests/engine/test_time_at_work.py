"""A job that has been at work for longer than its workflow allows fails, and its hook runs; waits do not count."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from orchestrator import JobContext, WorkflowOptions, workflow
from orchestrator.lifecycle import JobStatus
from orchestrator.model import JobView, RetryJob
from orchestrator.testing import World

LIMIT_MS = 10_000


class Plan(BaseModel):
    steps: int


async def toil() -> None:
    world.clock.time_ms += 2_500


async def note(job: JobContext, payload: BaseModel, error: str) -> None:
    await job.step("note", toil)
    job.set_metadata("failed", error)


@workflow("toiling", options=WorkflowOptions(max_active_ms=LIMIT_MS, on_failure=note))
async def toiling(job: JobContext, payload: Plan) -> str:
    for _ in range(payload.steps):
        await job.step("toil", toil)
        await job.sleep(3_600_000)
    return "done"


world = World(toiling)


def run(steps: int, *, always_replay: bool = False) -> JobView:
    global world
    world = World(toiling, always_replay=always_replay)
    job_id = world.start("toiling", {"steps": steps})
    asyncio.run(world.run())
    return world.view(job_id)


@pytest.mark.parametrize("always_replay", [False, True])
def test_days_of_waiting_are_no_time_at_work(always_replay: bool) -> None:
    view = run(3, always_replay=always_replay)
    assert (view.status, view.result) == (JobStatus.COMPLETED, "done")


@pytest.mark.parametrize("always_replay", [False, True])
def test_it_fails_once_it_has_been_at_work_for_too_long(always_replay: bool) -> None:
    view = run(30, always_replay=always_replay)
    assert view.status is JobStatus.FAILED
    assert view.error is not None
    assert (view.error.code, view.error.message) == ("job_timeout", "The job was at work for longer than allowed")
    assert view.metadata["failed"] == view.error.message
    assert LIMIT_MS < view.cost.active_ms <= LIMIT_MS + 5_000  # its hook is at work, too


def test_a_retry_has_the_whole_time_again() -> None:
    view = run(6)
    assert view.status is JobStatus.FAILED
    before = view.cost.active_ms
    world.call(view.id, lambda engine: engine.retry(RetryJob()))
    asyncio.run(world.run())
    again = world.view(view.id)
    assert (again.status, again.result) == (JobStatus.COMPLETED, "done")
    assert again.cost.active_ms == before + 5_000
