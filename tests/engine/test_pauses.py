"""A pause that comes while a slice runs: what runs may end, and nothing more begins."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from pydantic import BaseModel

from orchestrator import JobContext, current_step, workflow
from orchestrator.lifecycle import JobStatus
from orchestrator.testing.simulation import Simulation


class Nothing(BaseModel):
    pass


async def slow(name: str) -> None:
    cast("list[str]", current_step().services).append(name)
    await asyncio.sleep(2)


@workflow("walk")
async def walk(job: JobContext, payload: Nothing) -> None:
    await job.step("first", slow, "first")
    await job.step("second", slow, "second")


@workflow("child")
async def child(job: JobContext, payload: Nothing) -> None:
    pass


@workflow("parent")
async def parent(job: JobContext, payload: Nothing) -> None:
    await job.run_child("one", "child", {})


@pytest.mark.parametrize("at_ms", range(0, 20_000, 2_500))
def test_a_job_resumed_within_the_slice_that_was_paused_begins_anew(at_ms: int) -> None:
    with Simulation(parent, child, faults={"call_slow": 1.0}) as simulation:
        job_id = simulation.start("parent", {})
        simulation.advance(at_ms)
        simulation.call(job_id, lambda engine: engine.pause())
        simulation.advance(1)
        simulation.call(job_id, lambda engine: engine.resume())
        simulation.run()
        assert simulation.view(job_id).status is JobStatus.COMPLETED
        assert [line for line in simulation.logs if line[0] == "error"] == []


@pytest.mark.parametrize("always_replay", [False, True])
def test_the_step_that_runs_ends_and_the_next_one_waits(always_replay: bool) -> None:
    began: list[str] = []
    with Simulation(walk, services=began, always_replay=always_replay) as simulation:
        job_id = simulation.start("walk", {})
        simulation.advance(1_000)
        simulation.call(job_id, lambda engine: engine.pause())
        simulation.advance(60_000)
        steps = simulation.call(job_id, lambda engine: engine.journal.steps())
        assert [step.status.value for step in steps] == ["completed"]
        assert (simulation.view(job_id).status, began) == (JobStatus.PAUSED, ["first"])
        simulation.call(job_id, lambda engine: engine.resume())
        simulation.run()
        assert (simulation.view(job_id).status, began) == (JobStatus.COMPLETED, ["first", "second"])
