"""Stopping another job: what follows relies on its not running any more, whatever is lost or crashes on the way."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from pydantic import BaseModel

from orchestrator import JobContext, StepFailedError, WorkflowOptions, current_step, workflow
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import CHILD_HEAL_MS
from orchestrator.model import Cost, JobView
from orchestrator.testing import World


class Whom(BaseModel):
    job_id: str = ""
    workflows: list[str] = []
    timeout_ms: int | None = None


class Nothing(BaseModel):
    pass


class Diary:
    """What happened, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.cleans_up_ms = 0


async def note(line: str) -> None:
    diary = current_step().services
    assert isinstance(diary, Diary)
    if line not in diary.lines:
        diary.lines.append(line)


async def how_long() -> int:
    diary = current_step().services
    assert isinstance(diary, Diary)
    return diary.cleans_up_ms


async def clean_up(job: JobContext, payload: BaseModel, reason: str) -> None:
    await job.step("note", note, f"told: {reason}")
    await job.sleep(await job.step("how long", how_long))
    await job.step("note", note, "cleaned up")


@workflow("worker", options=WorkflowOptions(on_cancel=clean_up))
async def worker(job: JobContext, payload: Nothing) -> str:
    await job.step("note", note, "working")
    await job.sleep(86_400_000)
    await job.step("note", note, "done")
    return "done"


@workflow("stopper")
async def stopper(job: JobContext, payload: Whom) -> object:
    await job.sleep(1_000)
    try:
        ended = await job.stop_job(
            payload.job_id, reason="no more", workflows=payload.workflows, timeout_ms=payload.timeout_ms
        )
    except StepFailedError as error:
        return error.record.code
    await job.step("note", note, "stopped")
    return ended


def play(
    *crash_at: int, always_replay: bool = False, cleans_up_ms: int = 5_000, plan: Whom | None = None
) -> tuple[World, str, str, Diary]:
    diary = Diary()
    diary.cleans_up_ms = cleans_up_ms
    world = World(worker, stopper, services=diary, always_replay=always_replay)
    world.crash_at(*crash_at)
    worker_id = world.start("worker", {})
    plan = plan or Whom()
    stopper_id = world.start("stopper", plan.model_copy(update={"job_id": plan.job_id or worker_id}).model_dump())
    return world, worker_id, stopper_id, diary


def finish(world: World) -> None:
    asyncio.run(world.run())


@pytest.mark.parametrize("always_replay", [False, True])
def test_what_follows_begins_after_the_end_of_the_other_job(always_replay: bool) -> None:
    world, worker_id, stopper_id, diary = play(always_replay=always_replay)
    finish(world)
    assert diary.lines == ["working", "told: no more", "cleaned up", "stopped"]
    assert (world.view(worker_id).status, world.view(stopper_id).result) == (JobStatus.CANCELLED, "cancelled")
    later_ms = (world.view(stopper_id).finished_at_ms or 0) - (world.view(worker_id).finished_at_ms or 0)
    assert 0 <= later_ms < 1_000  # told, not asked


def test_crash_at_every_write() -> None:
    undisturbed, _, _, _ = play()
    finish(undisturbed)
    for write in range(1, undisturbed.writes + 1):
        world, worker_id, stopper_id, diary = play(write)
        finish(world)
        # It may be stopped before it has begun.
        assert diary.lines[-3:] == ["told: no more", "cleaned up", "stopped"], f"crashed before write {write}"
        assert world.view(worker_id).status is JobStatus.CANCELLED
        assert world.view(stopper_id).result == "cancelled", f"crashed before write {write}"


def test_a_lost_notice_is_healed_by_asking() -> None:
    world, _, stopper_id, diary = play(cleans_up_ms=3 * CHILD_HEAL_MS)
    world.lose_notices = True
    finish(world)
    assert world.view(stopper_id).result == "cancelled"
    assert diary.lines[-1] == "stopped"


@pytest.mark.parametrize("workflow_name", ["worker", "stopper"])
def test_only_a_job_of_these_workflows_is_meant(workflow_name: str) -> None:
    world, worker_id, stopper_id, diary = play(plan=Whom(workflows=[workflow_name]))
    finish(world)
    meant = workflow_name == "worker"
    assert world.view(worker_id).status is (JobStatus.CANCELLED if meant else JobStatus.COMPLETED)
    assert world.view(stopper_id).result == ("cancelled" if meant else None)
    assert ("done" in diary.lines) is not meant


def test_an_unknown_job_is_nothing_to_stop() -> None:
    world, worker_id, stopper_id, _ = play(plan=Whom(job_id="run_00000000000000000000000000"))
    finish(world)
    assert world.view(stopper_id).result is None
    assert world.view(worker_id).status is JobStatus.COMPLETED


def seen(world: World, job_id: str) -> JobView:
    """Return a job's status without its cost, which looking at it raises."""
    return msgspec.structs.replace(world.view(job_id), cost=Cost())


def test_an_ended_job_stays_as_it_is() -> None:
    world, worker_id, first, _ = play()
    finish(world)
    for plan in (Whom(job_id=first), Whom(job_id=worker_id)):
        before = seen(world, plan.job_id)
        again = world.start("stopper", plan.model_dump())
        finish(world)
        assert world.view(again).result == before.status
        assert seen(world, plan.job_id) == before


def test_a_paused_job_is_stopped() -> None:
    world, worker_id, stopper_id, diary = play()
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 500))
    world.call(worker_id, lambda engine: engine.pause())
    finish(world)
    assert (world.view(worker_id).status, world.view(stopper_id).result) == (JobStatus.CANCELLED, "cancelled")
    assert diary.lines[-1] == "stopped"


def test_a_wait_may_have_an_end() -> None:
    world, worker_id, stopper_id, diary = play(cleans_up_ms=120_000, plan=Whom(timeout_ms=30_000))
    finish(world)
    assert world.view(stopper_id).result == "wait_timeout"
    assert world.view(worker_id).status is JobStatus.CANCELLED
    assert "stopped" not in diary.lines


def test_two_jobs_that_stop_the_same_one_both_hear_of_its_end() -> None:
    world, worker_id, first, _ = play()
    second = world.start("stopper", Whom(job_id=worker_id).model_dump())
    finish(world)
    assert [world.view(job_id).result for job_id in (first, second)] == ["cancelled", "cancelled"]


def test_a_job_cannot_stop_itself() -> None:
    world, _, stopper_id, _ = play()

    async def body() -> None:
        own = world.start("selfish", {})
        await world.run()
        error = world.view(own).error
        assert error is not None
        assert error.code == "invalid_request"

    world.registry = World(worker, stopper, selfish).registry
    asyncio.run(body())
    assert world.view(stopper_id).result == "cancelled"


@workflow("selfish")
async def selfish(job: JobContext, payload: Nothing) -> None:
    await job.stop_job(job.id)


def test_status_says_what_is_waited_for() -> None:
    world, _, stopper_id, _ = play(cleans_up_ms=60_000)
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 10_000))
    (wait,) = world.view(stopper_id).waits
    assert (wait.kind, wait.key, wait.reason) == ("stop", "stop job", "waiting for another job to stop")
    finish(world)
