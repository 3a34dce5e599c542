"""Only what kills its slice is blamed for it: not a step that fails, and not a slice that somebody took over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel

from orchestrator import JobContext, RetryableError, RetryPolicy, current_step, workflow
from orchestrator.lifecycle import JobStatus
from orchestrator.testing import Crash, World
from orchestrator.testing.blobs import MemoryBlobs
from orchestrator.testing.host import Copy
from orchestrator.testing.simulation import Simulation

T = TypeVar("T")
PATIENT = RetryPolicy(max_attempts=10, initial_interval_ms=10, max_interval_ms=10)


class Nothing(BaseModel):
    pass


async def fails_often(dies: bool) -> int:
    attempt = current_step().attempt
    log = current_step().services
    assert isinstance(log, list)
    log.append(attempt)  # pyright: ignore[reportUnknownMemberType]
    if dies and len(log) == 1:  # pyright: ignore[reportUnknownArgumentType]
        raise Crash
    if attempt < 9:
        raise RetryableError("not yet")
    return attempt


@workflow("often")
async def often(job: JobContext, payload: Nothing) -> int:
    return await job.options(retry=PATIENT).step("often", fails_often, True)


def test_a_step_that_fails_again_and_again_after_one_death_is_no_killer() -> None:
    world = World(often, services=[])
    job_id = world.start("often", {})
    asyncio.run(world.run())
    view = world.view(job_id)
    assert (view.status, view.result, view.crashes) == (JobStatus.COMPLETED, 9, 1)


@workflow("limited")
async def limited(job: JobContext, payload: Nothing) -> None:
    await job.rate_limit("slow", count=1, per_ms=90_000)


class DiesAsking(World):
    """The last job dies when it asks for the first time."""

    victim = ""

    async def send(self, sender: Copy, what: str, to: str, call: Callable[[], T]) -> T:
        if what == "reserve" and sender.host.name == self.victim:
            self.victim = ""
            raise Crash
        return await super().send(sender, what, to, call)


def test_waiting_for_a_shared_rate_after_a_death_kills_nothing() -> None:
    world = DiesAsking(limited)
    job_ids = [world.start("limited", {}) for _ in range(8)]
    world.victim = job_ids[-1]
    asyncio.run(world.run())
    assert world.crashes == 1
    assert {world.view(job_id).status for job_id in job_ids} == {JobStatus.COMPLETED}


async def hangs() -> None:
    await asyncio.sleep(30 if current_step().attempt == 1 else 0)


@workflow("hanging")
async def hanging(job: JobContext, payload: Nothing) -> None:
    await job.options(timeout_ms=20_000, retry=PATIENT).step("hang", hangs)


def test_resuming_a_job_while_its_slice_runs_is_no_death() -> None:
    with Simulation(hanging) as simulation:
        job_id = simulation.start("hanging", {})
        simulation.advance(1_000)
        simulation.call(job_id, lambda engine: engine.pause())
        simulation.advance(1_000)
        simulation.call(job_id, lambda engine: engine.resume())
        simulation.run()
        view = simulation.view(job_id)
    assert (view.status, view.crashes) == (JobStatus.COMPLETED, 0)
    assert [event for level, event, _ in simulation.logs if level == "error"] == []


async def make_large() -> str:
    return "x" * 2_000_000


@workflow("large")
async def large(job: JobContext, payload: Nothing) -> int:
    text = await job.step("make", make_large)
    await job.sleep(1_000)
    return len(text)


class DeafBlobs(MemoryBlobs):
    """Gives nothing back for a while."""

    def __init__(self, deaf_for: int) -> None:
        super().__init__()
        self.left = deaf_for

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes | None:
        self.left -= 1
        if self.left >= 0:
            raise ConnectionError("the object storage gave no answer")
        return await super().get(key, offset=offset, length=length)


def test_an_outage_of_the_object_storage_fails_no_job() -> None:
    """Its large results cannot be read back, slice after slice: none of them has died of that."""
    world = World(large, always_replay=True)
    world.blobs = DeafBlobs(40)
    job_id = world.start("large", {})
    asyncio.run(world.run(max_ticks=200))
    view = world.view(job_id)
    assert (view.status, view.result, view.crashes) == (JobStatus.COMPLETED, 2_000_000, 0)
    assert world.clock.now_ms() - view.created_at_ms > 30 * 60_000, "it asks less and less often"
