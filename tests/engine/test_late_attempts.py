"""An attempt that was given up, and comes to an end all the same while its slice goes on."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from orchestrator import JobContext, RetryPolicy, current_step, workflow
from orchestrator.testing.simulation import Simulation

AGAIN = RetryPolicy(max_attempts=2, initial_interval_ms=100, max_interval_ms=100, jitter="none")


class Nothing(BaseModel):
    pass


async def stubborn() -> str:
    attempt = current_step().attempt
    try:
        await asyncio.sleep(60 if attempt == 1 else 0.8)
    except asyncio.CancelledError:
        await asyncio.sleep(0.5)
    return f"attempt {attempt}"


async def slow() -> str:
    await asyncio.sleep(3)
    return "slow"


@workflow("both")
async def both(job: JobContext, payload: Nothing) -> list[str]:
    first = job.options(key="a", retry=AGAIN, timeout_ms=1_000).step("stubborn", stubborn)
    return await job.gather(first, job.options(key="b").step("slow", slow))


@pytest.mark.parametrize("always_replay", [False, True])
def test_what_it_returns_is_dropped(always_replay: bool) -> None:
    with Simulation(both, always_replay=always_replay) as simulation:
        job_id = simulation.start("both", {})
        simulation.run()
        view = simulation.view(job_id)
    assert (view.result, view.slices) == (["attempt 2", "slow"], 1)
