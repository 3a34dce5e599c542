"""Undo steps: in reverse order, each to its end, whatever ends the workflow and whatever crashes on the way."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from orchestrator import (
    JobContext,
    JobOptions,
    NonRetryableError,
    RetryPolicy,
    WorkflowOptions,
    current_step,
    workflow,
)
from orchestrator.errors import ConflictError
from orchestrator.lifecycle import JobStatus, StepStatus
from orchestrator.model import RetryJob
from orchestrator.testing import Crash, World
from orchestrator.workflow import Workflow


class Trip(BaseModel):
    legs: list[str] = ["flight", "hotel", "car"]
    then: str = "fail"
    large: int = 0


class Office:
    """What is booked at this moment, and everything that was said, in order."""

    def __init__(self) -> None:
        self.booked: set[str] = set()
        self.said: list[str] = []
        self.keys: dict[str, set[str]] = {}
        self.broken = True
        self.cannot_undo: set[str] = set()


def office() -> Office:
    found = current_step().services
    assert isinstance(found, Office)
    return found


def say(what: str) -> None:
    office().said.append(what)
    office().keys.setdefault(what, set()).add(current_step().idempotency_key)


async def book(leg: str, size: int) -> str:
    say(f"book {leg}")
    office().booked.add(leg)
    return leg + "." * size


async def unbook(leg: str) -> None:
    say(f"unbook {leg}")
    if leg in office().cannot_undo:
        raise NonRetryableError("cannot be undone", code="stuck")
    office().booked.discard(leg)


async def pay() -> None:
    say("pay")
    if office().broken:
        raise NonRetryableError("no money", code="no_money")


async def tell(text: str) -> None:
    say(text)


async def failed(job: JobContext, payload: BaseModel, error: str) -> None:
    await job.step("tell", tell, f"failed: {error}")


async def cancelled(job: JobContext, payload: BaseModel, error: str) -> None:
    await job.step("tell", tell, f"cancelled: {error}")


@workflow("trip", options=WorkflowOptions(on_failure=failed, on_cancel=cancelled, retry=RetryPolicy(max_attempts=2)))
async def trip(job: JobContext, payload: Trip) -> str:
    for leg in payload.legs:
        job.compensate("unbook", unbook, leg)
        await job.options(key=leg).step("book", book, leg, payload.large)
    if payload.then == "wait":
        await job.wait_for_event("never")
    if payload.then == "sleep":
        await job.sleep(3_600_000)
    await job.step("pay", pay)
    return "booked"


def play(trip_: Trip, *crash_at: int, always_replay: bool = False, office: Office | None = None) -> tuple[World, str]:
    world = World(trip, services=office or Office(), always_replay=always_replay)
    world.crash_at(*crash_at)
    return world, world.start("trip", trip_.model_dump(), JobOptions(mode="direct", max_duration_ms=7_200_000))


def desk(world: World) -> Office:
    assert isinstance(world.services, Office)
    return world.services


def order(world: World) -> list[str]:
    """Return what was said, without what a crash had said again."""
    return list(dict.fromkeys(desk(world).said))


FORTH = ["book flight", "book hotel", "book car"]
BACK = ["unbook car", "unbook hotel", "unbook flight"]


@pytest.mark.parametrize("always_replay", [False, True])
@pytest.mark.parametrize("large", [0, 2_000_000])
def test_a_failed_workflow_is_undone_in_reverse_order_before_its_hook(large: int, always_replay: bool) -> None:
    world, job_id = play(Trip(large=large), always_replay=always_replay)
    asyncio.run(world.run())
    view = world.view(job_id)
    assert view.status is JobStatus.FAILED
    assert view.error is not None
    assert (view.error.code, view.error.cause) == ("no_money", None)
    assert order(world) == [*FORTH, "pay", *BACK, "failed: no money"]
    assert desk(world).booked == set()


@pytest.mark.parametrize("always_replay", [False, True])
def test_a_cancelled_workflow_is_undone(always_replay: bool) -> None:
    world, job_id = play(Trip(then="wait"), always_replay=always_replay)
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 1_000))
    world.call(job_id, lambda engine: engine.cancel("rain"))
    asyncio.run(world.run())
    assert world.view(job_id).status is JobStatus.CANCELLED
    assert order(world) == [*FORTH, *BACK, "cancelled: rain"]
    assert len(desk(world).said) == 7


def test_nothing_is_undone_when_the_workflow_completes() -> None:
    office = Office()
    office.broken = False
    world, job_id = play(Trip(), office=office)
    asyncio.run(world.run())
    assert world.view(job_id).result == "booked"
    assert order(world) == [*FORTH, "pay"]


def test_a_job_that_takes_too_long_is_undone() -> None:
    world, job_id = play(Trip(then="wait"))
    asyncio.run(world.run())
    view = world.view(job_id)
    assert (view.status, view.error and view.error.code) == (JobStatus.FAILED, "job_timeout")
    assert order(world)[:6] == [*FORTH, *BACK]


@pytest.mark.parametrize("then", ["fail", "wait", "sleep"])
def test_a_crash_at_every_write(then: str) -> None:
    def end(*crash_at: int) -> tuple[World, str]:
        world, job_id = play(Trip(then=then), *crash_at)
        asyncio.run(world.run(until_ms=world.clock.now_ms() + 60_000))
        if then == "wait":
            world.call(job_id, lambda engine: engine.cancel("rain"))
        asyncio.run(world.run())
        return world, job_id

    undisturbed, _ = end()
    for write in range(1, undisturbed.writes + 1):
        world, job_id = end(write)
        assert order(world) == order(undisturbed), f"crashed before write {write}"
        assert world.view(job_id).status in {JobStatus.FAILED, JobStatus.CANCELLED}
        assert desk(world).booked == set(), f"crashed before write {write}"
        # A step that runs again says so to the outside by the same key.
        assert {len(keys) for keys in desk(world).keys.values()} == {1}


def test_what_crashed_before_it_was_recorded_is_undone_when_its_undoing_was_registered_before() -> None:
    """The step that books has had its effect and has not come back when the job is cancelled."""

    async def book_and_die() -> None:
        office().booked.add("boat")
        raise Crash

    @workflow("sailing")
    async def sailing(job: JobContext, payload: Trip) -> None:
        job.compensate("unbook", unbook, "boat")
        await job.step("book", book_and_die)

    world = World(sailing, services=Office())
    job_id = world.start("sailing", {})
    asyncio.run(world.step())
    assert desk(world).booked == {"boat"}
    world.call(job_id, lambda engine: engine.cancel("storm"))
    asyncio.run(world.run())
    assert world.view(job_id).status is JobStatus.CANCELLED
    assert desk(world).booked == set()


def test_an_undo_step_that_gives_up_is_noted_and_the_others_run() -> None:
    office = Office()
    office.cannot_undo = {"hotel"}
    world, job_id = play(Trip(), office=office)
    asyncio.run(world.run())
    view = world.view(job_id)
    assert order(world) == [*FORTH, "pay", *BACK, "failed: no money"]
    assert desk(world).booked == {"hotel"}
    assert view.error is not None
    assert (view.error.code, view.error.cause) == ("no_money", "not undone: undo/unbook#2 (stuck)")
    journal = world.objects[job_id].engine.journal
    assert [event.key for event in journal.history.after(0, 500) if event.kind == "compensation.failed"] == [
        "undo/unbook#2"
    ]
    row = journal.step("undo/unbook#2")
    assert row is not None
    assert row.status is StepStatus.FAILED


def test_undo_steps_are_retried() -> None:
    tries: list[int] = []

    async def stubborn() -> None:
        tries.append(current_step().attempt)
        if len(tries) < 3:
            raise ConnectionError("not yet")

    @workflow("stubborn", options=WorkflowOptions(retry=RetryPolicy(max_attempts=3)))
    async def stubborn_trip(job: JobContext, payload: Trip) -> None:
        job.compensate("undo it", stubborn)
        await job.step("pay", pay)

    world = World(stubborn_trip, services=Office())
    job_id = world.start("stubborn", {})
    asyncio.run(world.run())
    assert (tries, world.view(job_id).status) == ([1, 2, 3], JobStatus.FAILED)


def test_a_retried_job_whose_steps_were_undone_begins_from_scratch_with_new_keys() -> None:
    world, job_id = play(Trip())
    asyncio.run(world.run())
    with pytest.raises(ConflictError) as refused:
        world.call(job_id, lambda engine: engine.retry(RetryJob(from_step="pay")))
    assert refused.value.error_code == "job_undone"
    desk(world).said.clear()
    desk(world).broken = False
    world.call(job_id, lambda engine: engine.retry(RetryJob()))
    asyncio.run(world.run())
    assert world.view(job_id).result == "booked"
    assert desk(world).said == [*FORTH, "pay"]
    assert desk(world).booked == {"flight", "hotel", "car"}
    assert len(desk(world).keys["book flight"]) == 2  # what the first run did under its key was undone


def test_undo_steps_in_parallel_branches_are_all_run() -> None:
    @workflow("branches")
    async def branches(job: JobContext, payload: Trip) -> None:
        async def branch(leg: str) -> None:
            job.options(key=leg).compensate("unbook", unbook, leg)
            await job.options(key=leg).step("book", book, leg, 0)

        await job.gather(*(branch(leg) for leg in payload.legs))
        await job.step("pay", pay)

    world = World(branches, services=Office(), always_replay=True)
    job_id = world.start("branches", Trip().model_dump())
    asyncio.run(world.run())
    assert world.view(job_id).status is JobStatus.FAILED
    assert sorted(order(world)[-3:]) == sorted(BACK)
    assert desk(world).booked == set()


def changed(old: Workflow) -> Workflow:
    """The same workflow after a deploy in which a step has become a sleep."""

    @workflow(old.name, options=WorkflowOptions(on_cancel=cancelled))
    async def new(job: JobContext, payload: Trip) -> None:
        await job.sleep(1_000, name="book", key="flight")

    return new


def test_a_job_whose_code_no_longer_fits_can_be_cancelled() -> None:
    world, job_id = play(Trip(then="wait"))
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 1_000))
    world.registry = type(world.registry)([changed(trip)])
    world.objects[job_id].crash()
    world.call(job_id, lambda engine: engine.cancel("rain"))
    asyncio.run(world.run())
    assert world.view(job_id).status is JobStatus.CANCELLED
    assert order(world)[-1] == "cancelled: rain"
    journal = world.objects[job_id].engine.journal
    assert [event.kind for event in journal.history.after(0, 500)].count("phase.skipped") == 2
