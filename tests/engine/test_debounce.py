"""Debounced jobs: calls that come before the start are one job with the last payload, and none waits for ever."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from orchestrator import JobContext, LanePolicy, WorkflowOptions, current_step, workflow
from orchestrator.errors import ContradictionError, InvalidPayloadError, InvalidRequestError
from orchestrator.lifecycle import JobStatus
from orchestrator.model import Created, CreateJob, JobOptions
from orchestrator.reuse import keyed_job_id
from orchestrator.testing import World

SECOND = 1_000


class Change(BaseModel):
    text: str


class Done:
    def __init__(self) -> None:
        self.texts: list[str] = []


async def index(text: str) -> str:
    outside = current_step().services
    assert isinstance(outside, Done)
    outside.texts.append(text)
    return text


@workflow("indexing")
async def indexing(job: JobContext, payload: Change) -> str:
    return await job.step("index", index, payload.text)


@workflow("narrow", options=WorkflowOptions(lane=LanePolicy(name="one", concurrency=1)))
async def narrow(job: JobContext, payload: Change) -> str:
    return await job.step("index", index, payload.text)


def options(*, debounce_ms: int = 5 * SECOND, debounce_max_ms: int = 0) -> JobOptions:
    return JobOptions(idempotency_key="page", debounce_ms=debounce_ms, debounce_max_ms=debounce_max_ms, mode="direct")


def ask(world: World, text: str, wish: JobOptions | None = None, name: str = "indexing") -> Created:
    """Ask as the API does: from the key's first job to the one that answers."""
    wish = wish or options()
    generation = 0
    while True:
        request = CreateJob(
            job_id=keyed_job_id(name, "page", generation),
            workflow=name,
            payload={"text": text},
            options=wish,
            generation=generation,
        )
        created = world.call(request.job_id, lambda engine, request=request: engine.create(request))  # type: ignore[misc]
        if created.successor is None:
            return created
        generation = created.successor


def forward(world: World, by_ms: int) -> None:
    asyncio.run(world.run(until_ms=world.clock.now_ms() + by_ms))


def new_world(*crash_at: int) -> tuple[World, list[str]]:
    done = Done()
    world = World(indexing, narrow, services=done)
    world.crash_at(*crash_at)
    return world, done.texts


def test_calls_in_quick_succession_are_one_job_with_the_last_payload() -> None:
    world, done = new_world()
    first = ask(world, "a")
    for text in "bcd":
        forward(world, 4 * SECOND)
        assert ask(world, text).id == first.id
    view = world.view(first.id)
    assert (view.status, view.waits[0].due_at_ms) == (JobStatus.WAITING, world.clock.now_ms() + 5 * SECOND)
    forward(world, 4 * SECOND)
    assert done == []
    forward(world, 2 * SECOND)
    assert done == ["d"]
    assert world.view(first.id).result == "d"


def test_calls_that_never_stop_do_not_keep_a_job_from_starting() -> None:
    for debounce_max_ms, longest_ms in ((0, 50 * SECOND), (12 * SECOND, 12 * SECOND)):
        world, done = new_world()
        began_ms = world.clock.now_ms()
        while not done and world.clock.now_ms() - began_ms < 2 * longest_ms:
            ask(world, str(world.clock.now_ms() - began_ms), options(debounce_max_ms=debounce_max_ms))
            forward(world, SECOND)
        assert done == [str(longest_ms - SECOND)]


def test_a_call_after_the_start_is_a_new_job() -> None:
    world, done = new_world()
    first = ask(world, "a")
    asyncio.run(world.run())
    second = ask(world, "b")
    assert (second.id != first.id, second.deduplicated, second.status) == (True, False, JobStatus.WAITING)
    assert ask(world, "c").id == second.id
    asyncio.run(world.run())
    assert done == ["a", "c"]


def test_a_crash_at_every_write_loses_no_call_and_doubles_no_job() -> None:
    def play(*crash_at: int) -> tuple[World, list[str], list[str]]:
        world, done = new_world(*crash_at)
        ids = [ask(world, "a").id]
        forward(world, SECOND)
        ids.append(ask(world, "b").id)
        asyncio.run(world.run())
        ids.append(ask(world, "c").id)
        forward(world, SECOND)
        ids.append(ask(world, "d").id)
        asyncio.run(world.run())
        return world, done, ids

    undisturbed, done, expected = play()
    assert done == ["b", "d"]
    assert expected[0] == expected[1] != expected[2] == expected[3]
    for write in range(1, undisturbed.writes + 1):
        world, done, ids = play(write)
        assert ids == expected, f"crashed before write {write}"
        assert list(dict.fromkeys(done)) == ["b", "d"], f"crashed before write {write}"
        assert len(world.objects) == 2


def test_a_job_that_waits_for_its_lane_takes_the_payload_and_keeps_its_place() -> None:
    world, done = new_world()
    world.lanes.get("one").call(lambda engine: engine.pause())
    first = ask(world, "a", name="narrow")
    forward(world, 10 * SECOND)
    assert [wait.kind for wait in world.view(first.id).waits] == ["lane"]
    assert ask(world, "b", name="narrow").id == first.id
    world.lanes.get("one").call(lambda engine: engine.resume())
    forward(world, SECOND)
    assert done == ["b"]


def test_a_paused_job_takes_the_payload_and_stays_paused() -> None:
    world, done = new_world()
    first = ask(world, "a")
    world.call(first.id, lambda engine: engine.pause())
    assert ask(world, "b").id == first.id
    forward(world, 60 * SECOND)
    assert (world.view(first.id).status, done) == (JobStatus.PAUSED, [])
    world.call(first.id, lambda engine: engine.resume())
    forward(world, SECOND)
    assert done == ["b"]


def test_a_payload_that_does_not_fit_replaces_nothing() -> None:
    world, done = new_world()
    first = ask(world, "a")
    request = CreateJob(job_id=first.id, workflow="indexing", payload={"text": 5}, options=options())
    with pytest.raises(InvalidPayloadError):
        world.call(first.id, lambda engine: engine.create(request))
    asyncio.run(world.run())
    assert done == ["a"]


@pytest.mark.parametrize(
    "wish",
    [
        JobOptions(debounce_ms=1),
        JobOptions(debounce_ms=1, idempotency_key="a", delay_ms=1),
        JobOptions(debounce_ms=1, idempotency_key="a", idempotency_on_ended="new"),
        JobOptions(debounce_ms=1, idempotency_key="a", idempotency_window_ms=10),
        JobOptions(debounce_ms=10, idempotency_key="a", debounce_max_ms=5),
        JobOptions(debounce_max_ms=5),
        JobOptions(debounce_ms=10, idempotency_key="a", ttl_ms=10),
        JobOptions(delay_ms=10, ttl_ms=5),
        JobOptions(idempotency_on_ended="new"),
    ],
)
def test_contradictions_are_refused(wish: JobOptions) -> None:
    world, _ = new_world()
    with pytest.raises(ContradictionError):
        world.start("indexing", {"text": "a"}, wish)


@pytest.mark.parametrize(
    "wish", [JobOptions(delay_ms=-1), JobOptions(delay_ms=367 * 86_400_000), JobOptions(tags=("",))]
)
def test_options_out_of_bounds_are_refused(wish: JobOptions) -> None:
    world, _ = new_world()
    with pytest.raises(InvalidRequestError):
        world.start("indexing", {"text": "a"}, wish)
