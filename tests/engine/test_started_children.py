"""Children that a workflow starts and does not wait for: each once, and stopped with the parent or not, as it says."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from orchestrator import (
    ChildRequest,
    JobContext,
    JobOptions,
    NonRetryableError,
    StepFailedError,
    WorkflowOptions,
    current_step,
    workflow,
)
from orchestrator.child_operations import OnParentEnd
from orchestrator.lifecycle import JobStatus
from orchestrator.model import RetryJob
from orchestrator.testing import Crash, World


class Wish(BaseModel):
    #: How many children are started.
    n: int = 1
    on_parent_end: OnParentEnd = "cancel_unless_completed"
    idempotency_key: str | None = None
    #: What the parent does then.
    then: str = "complete"
    #: How long a child takes.
    naps_ms: int = 600_000


class Outside:
    def __init__(self) -> None:
        self.worked: list[str] = []
        self.broken = True


async def work(job_id: str) -> str:
    outside = current_step().services
    assert isinstance(outside, Outside)
    outside.worked.append(job_id)
    return job_id


async def may_break() -> None:
    outside = current_step().services
    assert isinstance(outside, Outside)
    if outside.broken:
        raise NonRetryableError("broken", code="broken")


@workflow("child")
async def child(job: JobContext, payload: Wish) -> str:
    await job.sleep(payload.naps_ms)
    return await job.step("work", work, job.id)


@workflow("parent")
async def parent(job: JobContext, payload: Wish) -> list[object]:
    started: list[object] = []
    for number in range(payload.n):
        options = JobOptions(tags=("started",))
        if payload.idempotency_key is not None:
            options = JobOptions(idempotency_key=payload.idempotency_key, idempotency_on_ended="new", tags=("started",))
        handle = await job.start_child(
            "start",
            "child",
            {"naps_ms": payload.naps_ms, "n": number},
            options=options,
            on_parent_end=payload.on_parent_end,
        )
        started.append([handle.id, handle.deduplicated])
    if payload.then == "wait":
        await job.wait_for_event("go")
    await job.step("may break", may_break) if payload.then == "fail" else None
    return started


async def tell(job: JobContext, payload: BaseModel, error: str) -> None:
    await job.start_child("tell", "child", {})


@workflow("telling", options=WorkflowOptions(on_failure=tell))
async def telling(job: JobContext, payload: Wish) -> None:
    await job.start_child("start", "child", {})
    await job.step("may break", may_break)


def play(wish: Wish, *crash_at: int, always_replay: bool = False) -> tuple[World, str, Outside]:
    outside = Outside()
    world = World(parent, child, services=outside, always_replay=always_replay)
    world.crash_at(*crash_at)
    return world, world.start("parent", wish.model_dump()), outside


def children(world: World, parent_id: str) -> list[str]:
    return sorted(item.id for item in world.catalog.values() if item.parent_id == parent_id)


@pytest.mark.parametrize("always_replay", [False, True])
def test_a_parent_goes_on_and_its_child_outlives_it(always_replay: bool) -> None:
    world, parent_id, outside = play(Wish(), always_replay=always_replay)
    asyncio.run(world.run())
    view = world.view(parent_id)
    (child_id,) = children(world, parent_id)
    assert (view.status, view.result) == (JobStatus.COMPLETED, [[child_id, False]])
    assert world.view(child_id).tags == ("started",)
    assert outside.worked == [child_id]
    assert world.view(child_id).finished_at_ms is not None
    assert world.view(child_id).finished_at_ms >= (view.finished_at_ms or 0) + 600_000 - 1_000  # type: ignore[operator]


@pytest.mark.parametrize("key", [None, "once"])
def test_crash_at_every_write_starts_each_child_once(key: str | None) -> None:
    wish = Wish(n=1 if key else 3, idempotency_key=key, naps_ms=0)
    undisturbed, parent_id, _ = play(wish)
    asyncio.run(undisturbed.run())
    expected = undisturbed.view(parent_id).result
    for write in range(1, undisturbed.writes + 1):
        world, parent_id, outside = play(wish, write)
        asyncio.run(world.run())
        assert world.view(parent_id).result == expected, f"crashed before write {write}"
        assert sorted(set(outside.worked)) == children(world, parent_id), f"crashed before write {write}"
        assert len(world.objects) == 1 + wish.n


def test_a_key_leads_to_the_job_that_is_there_and_to_a_new_one_when_it_has_ended() -> None:
    world, first, _ = play(Wish(idempotency_key="one"))
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 1_000))
    second = world.start("parent", Wish(idempotency_key="one").model_dump())
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 1_000))
    (child_id,) = children(world, first)
    assert world.view(first).result == [[child_id, False]]
    assert world.view(second).result == [[child_id, True]]
    asyncio.run(world.run())
    third = world.start("parent", Wish(idempotency_key="one").model_dump())
    asyncio.run(world.run())
    (later_id,) = children(world, third)
    assert later_id != child_id
    assert world.view(third).result == [[later_id, False]]


def test_a_crash_while_a_key_is_followed_starts_one_child() -> None:
    def start(*crash_at: int) -> tuple[World, str, int]:
        world, _, _ = play(Wish(idempotency_key="one", naps_ms=0))
        asyncio.run(world.run())
        before = world.writes
        world.crash_at(*(before + write for write in crash_at))
        second = world.start("parent", Wish(idempotency_key="one", naps_ms=0).model_dump())
        asyncio.run(world.run())
        return world, second, world.writes - before

    _, _, writes = start()
    for write in range(1, writes + 1):
        world, second, _ = start(write)
        (later_id,) = children(world, second)
        assert world.view(second).result == [[later_id, False]], f"crashed before write {write}"
        assert len(world.objects) == 4


@pytest.mark.parametrize(
    ("policy", "then", "expected"),
    [
        ("cancel_unless_completed", "complete", JobStatus.COMPLETED),
        ("cancel_unless_completed", "fail", JobStatus.CANCELLED),
        ("cancel_unless_completed", "wait", JobStatus.CANCELLED),
        ("cancel", "complete", JobStatus.CANCELLED),
        ("cancel", "fail", JobStatus.CANCELLED),
        ("keep", "fail", JobStatus.COMPLETED),
        ("keep", "wait", JobStatus.COMPLETED),
    ],
)
def test_what_becomes_of_children_when_their_parent_ends(policy: OnParentEnd, then: str, expected: JobStatus) -> None:
    """``wait`` is a parent that is cancelled."""

    def end(*crash_at: int) -> tuple[World, str]:
        world, parent_id, _ = play(Wish(n=3, on_parent_end=policy, then=then), *crash_at)
        asyncio.run(world.run(until_ms=world.clock.now_ms() + 60_000))
        if then == "wait":
            world.call(parent_id, lambda engine: engine.cancel("enough"))
        asyncio.run(world.run())
        return world, parent_id

    undisturbed, _ = end()
    for write in range(1, undisturbed.writes + 1, 3):
        world, parent_id = end(write)
        found = [world.view(child_id).status for child_id in children(world, parent_id)]
        assert found == [expected] * 3, f"crashed before write {write}"


def test_a_hooks_own_children_stay() -> None:
    world = World(telling, child, services=Outside())
    parent_id = world.start("telling", {})
    asyncio.run(world.run())
    found = [world.view(child_id).status for child_id in children(world, parent_id)]
    assert sorted(found) == [JobStatus.CANCELLED, JobStatus.COMPLETED]


def test_somebody_elses_job_is_not_cancelled() -> None:
    world, owner, _ = play(Wish(idempotency_key="one"))
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 1_000))
    other = world.start("parent", Wish(idempotency_key="one", then="wait").model_dump())
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 1_000))
    world.call(other, lambda engine: engine.cancel("enough"))
    asyncio.run(world.run())
    (child_id,) = children(world, owner)
    assert world.view(child_id).status is JobStatus.COMPLETED


def test_many_children_are_stopped_by_one_row() -> None:
    world, parent_id, _ = play(Wish(n=130, then="wait"))
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 60_000))
    before = world.view(parent_id).rows_written
    world.call(parent_id, lambda engine: engine.cancel("enough"))
    asyncio.run(world.run())
    assert {world.view(child_id).status for child_id in children(world, parent_id)} == {JobStatus.CANCELLED}
    assert world.view(parent_id).rows_written - before < 130 + 30  # each is marked as stopped


@pytest.mark.parametrize(("policy", "again"), [("cancel_unless_completed", True), ("keep", False)])
def test_a_retried_parent_starts_the_stopped_children_again(policy: OnParentEnd, again: bool) -> None:
    world, parent_id, outside = play(Wish(n=2, on_parent_end=policy, then="fail"))
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 60_000))
    first = children(world, parent_id)
    outside.broken = False
    world.call(parent_id, lambda engine: engine.retry(RetryJob()))
    asyncio.run(world.run())
    assert world.view(parent_id).status is JobStatus.COMPLETED
    everybody = children(world, parent_id)
    assert len(everybody) == (4 if again else 2)
    assert sorted(outside.worked) == sorted(set(everybody) - set(first) if again else first)


def test_a_parent_that_is_retried_before_its_children_were_stopped_keeps_them() -> None:
    world, parent_id, outside = play(Wish(n=130, then="fail"))
    while world.view(parent_id).status is not JobStatus.FAILED:
        asyncio.run(world.step())
    outside.broken = False
    world.call(parent_id, lambda engine: engine.retry(RetryJob()))
    asyncio.run(world.run())
    assert world.view(parent_id).status is JobStatus.COMPLETED
    statuses = [world.view(child_id).status for child_id in children(world, parent_id)]
    assert statuses.count(JobStatus.COMPLETED) == 130
    assert statuses.count(JobStatus.CANCELLED) == 50


@pytest.mark.parametrize(
    ("name", "payload", "code"),
    [
        ("child", {"n": "many"}, "invalid_payload"),
        ("nothing", {}, "unknown_workflow"),
        ("child", object(), "value_not_encodable"),
    ],
)
def test_a_child_that_cannot_be_started_fails_its_step(name: str, payload: object, code: str) -> None:
    @workflow("starting")
    async def starting(job: JobContext, _: Wish) -> str:
        try:
            await job.start_child("start", name, payload)
        except StepFailedError as error:
            return error.record.code
        return "started"

    world = World(starting, child, services=Outside())
    job_id = world.start("starting", {})
    asyncio.run(world.run())
    assert world.view(job_id).result == code


def test_children_of_a_job_whose_slices_die_are_cancelled() -> None:
    dead = False

    @workflow("doomed")
    async def doomed(job: JobContext, payload: Wish) -> None:
        if dead:
            raise Crash
        await job.map_children(
            "kids", "child", [ChildRequest(key="a", payload={})], reduce=lambda state, _: state, state=0
        )

    world = World(doomed, child, services=Outside(), always_replay=True)
    job_id = world.start("doomed", {})
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 1_000))
    dead = True
    asyncio.run(world.run())
    assert world.view(job_id).status is JobStatus.FAILED
    assert [world.view(child_id).status for child_id in children(world, job_id)] == [JobStatus.CANCELLED]
