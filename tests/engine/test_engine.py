"""The engine on CPython: every workflow, undisturbed, always replayed, and crashed at every write."""

from __future__ import annotations

import asyncio

import pytest

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
    asyncio.run(world.run())
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
