"""The engine on CPython: every workflow, undisturbed, always replayed, and crashed at every write."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator import ChildRequest, JobContext, Page, workflow
from orchestrator.lifecycle import JobStatus
from orchestrator.model import JobView
from orchestrator.testing import World
from tests.engine import workflows

EXPECTED: dict[str, tuple[int, JobStatus, object]] = {
    "sums": (5, JobStatus.COMPLETED, 10),
    "retrying": (1, JobStatus.COMPLETED, "x"),
    "failing": (1, JobStatus.FAILED, None),
    "catching": (1, JobStatus.COMPLETED, "broken_thing"),
    "looping": (95, JobStatus.COMPLETED, {"total": 4465, "last": 94, "items": 95}),
    "parallel": (7, JobStatus.COMPLETED, [f"item {i}" for i in range(7)]),
    "fan": (9, JobStatus.COMPLETED, {"total": 84, "succeeded": 9, "failed": 0}),
    "fan-failing": (3, JobStatus.FAILED, None),
}


def run(name: str, n: int, *, always_replay: bool = False, crash_at: tuple[int, ...] = ()) -> tuple[World, JobView]:
    outside = workflows.World()
    world = World(*workflows.ALL, services=outside, always_replay=always_replay)
    world.crash_at(*crash_at)
    job_id = world.start(name, {"n": n})
    asyncio.run(world.run(max_ticks=2_000))
    return world, world.view(job_id)


@pytest.mark.parametrize("always_replay", [False, True])
@pytest.mark.parametrize("name", EXPECTED)
def test_outcome(name: str, always_replay: bool) -> None:
    n, status, result = EXPECTED[name]
    _, view = run(name, n, always_replay=always_replay)
    assert (view.status, view.result) == (status, result)


@pytest.mark.parametrize("name", EXPECTED)
def test_crash_at_every_write(name: str) -> None:
    n, status, result = EXPECTED[name]
    undisturbed, _ = run(name, n)
    assert undisturbed.writes > 5
    for write in range(1, undisturbed.writes + 1):
        world, view = run(name, n, crash_at=(write,))
        assert world.crashes == 1
        assert (view.status, view.result) == (status, result), f"crashed before write {write}"


@pytest.mark.parametrize("name", ["sums", "looping", "fan"])
def test_two_crashes(name: str) -> None:
    n, status, result = EXPECTED[name]
    undisturbed, _ = run(name, n)
    for first in range(1, undisturbed.writes, 7):
        for second in range(first + 1, first + 40, 5):
            world, view = run(name, n, crash_at=(first, second))
            assert (view.status, view.result) == (status, result), f"crashed before writes {first} and {second}"
            assert world.crashes >= 1


class Gaps:
    """A source with pages that hold nothing before its end."""

    async def read(self, cursor: object, limit: int, /) -> Page[ChildRequest]:
        at = cursor if isinstance(cursor, int) else 0
        items = [ChildRequest(key=str(at), payload={"n": at})] if at % 3 == 0 else []
        return Page(items, at + 1, done=at >= 9)


@workflow("gaps")
async def gaps(job: JobContext, payload: workflows.Number) -> int:
    result = await job.map_children("kids", "sums", Gaps(), reduce=workflows.total_of, state=0, window=2)
    return result.succeeded


def test_an_empty_page_does_not_hold_a_fan_out_up() -> None:
    world = World(*workflows.ALL, gaps, services=workflows.World())
    began_ms = world.clock.now_ms()
    job_id = world.start("gaps", {})
    asyncio.run(world.run())
    assert world.view(job_id).result == 4
    assert world.clock.now_ms() - began_ms < 10_000


@workflow("bad-request")
async def bad_request(job: JobContext, payload: workflows.Number) -> None:
    await job.run_child("one", "sums", {"n": object()})


class Unreadable:
    """A source that never gives anything."""

    async def read(self, cursor: object, limit: int, /) -> Page[ChildRequest]:
        raise ConnectionError("the database is down")


@workflow("unreadable")
async def unreadable(job: JobContext, payload: workflows.Number) -> None:
    await job.map_children("kids", "sums", Unreadable(), reduce=workflows.total_of, state=0)


@pytest.mark.parametrize(("name", "code"), [("bad-request", "value_not_encodable"), ("unreadable", "ConnectionError")])
def test_a_fan_out_that_cannot_go_on_is_retried_with_waits_and_then_fails(name: str, code: str) -> None:
    world = World(*workflows.ALL, bad_request, unreadable, services=workflows.World())
    job_id = world.start(name, {})
    asyncio.run(world.run(max_ticks=200))
    view = world.view(job_id)
    assert view.status is JobStatus.FAILED
    assert view.error is not None
    assert view.error.code == code
