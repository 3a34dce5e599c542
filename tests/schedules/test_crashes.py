"""Whatever dies, and whichever tick is lost or doubled, each planned time is dealt with exactly once."""

from __future__ import annotations

import asyncio
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import RetryableError
from orchestrator.schedule import CatchUp, Overlap, Schedule
from tests.schedules.workflows import report
from tests.schedules.world import DAY_MS, HOUR_MS, MINUTE_MS, ScheduleWorld, at

END = "2026-11-24 10:55"
#: No job ends at the very minute of a planned time: what a crash delays must not decide who was first.
JOB_MS = 17 * MINUTE_MS + 30_000
OFTEN = Schedule(id="s", workflow="report", cron="*/10 * * * *", payload={"sleep_ms": JOB_MS}, time_field="at")


def story(overlap: Overlap, *crashes: int) -> ScheduleWorld:
    """Live through everything a schedule may meet, and stop before the chosen writes."""
    world = ScheduleWorld(report)
    world.crash_at(*crashes)
    world.add(msgspec.structs.replace(OFTEN, overlap=overlap))
    asyncio.run(world.until("2026-11-24 10:15"))
    world.ask("s", lambda engine: engine.backfill(at("2026-11-24 09:40"), at("2026-11-24 09:55")))
    asyncio.run(world.until("2026-11-24 10:22"))
    asyncio.run(world.ask_async("s", lambda engine: engine.run_now("by hand")))
    asyncio.run(world.until("2026-11-24 10:35"))
    world.ask("s", lambda engine: engine.pause())
    asyncio.run(world.until("2026-11-24 10:45"))
    world.ask("s", lambda engine: engine.resume())
    world.ask("s", lambda engine: engine.update({"cron": "2-59/5 * * * *"}))
    asyncio.run(world.until(END))
    return world


def told(world: ScheduleWorld) -> object:
    """What a story comes to: its jobs, and what became of the planned times."""
    jobs = [(request.job_id, world.view(request.job_id).status) for request in world.created]
    return sorted(jobs), sorted(world.outcomes("s")), world.see("s").waiting, world.listed["s"].next_at_ms


@pytest.mark.parametrize("overlap", ["skip", "buffer_one", "allow", "cancel_other"])
def test_crash_at_every_write(overlap: Overlap) -> None:
    undisturbed = story(overlap)
    assert undisturbed.writes > 100
    expected = told(undisturbed)
    for write in range(1, undisturbed.writes + 1):
        world = story(overlap, write)
        assert world.crashes == 1
        assert told(world) == expected, f"crashed before write {write}"


def test_two_crashes() -> None:
    undisturbed = story("buffer_one")
    expected = told(undisturbed)
    for first in range(1, undisturbed.writes, 11):
        for second in range(first + 1, first + 12, 3):
            assert told(story("buffer_one", first, second)) == expected, f"crashed before writes {first} and {second}"


@pytest.mark.parametrize("failing", ["create", "created", "view", "enqueue", "publish"])
def test_calls_that_fail(failing: str) -> None:
    world = ScheduleWorld(report)
    world.failures[failing] = [RetryableError("no answer", code="object_unreachable") for _ in range(3)]
    world.add(OFTEN)
    asyncio.run(world.until(END))
    assert len(world.created) == len({request.job_id for request in world.created}) == 3
    assert world.outcomes("s") == [
        ("10:10", "started", 1), ("10:20", "skipped", 1), ("10:30", "started", 1), ("10:40", "skipped", 1),
        ("10:50", "started", 1),
    ]  # fmt: skip


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(1, 200 * MINUTE_MS)),
        st.tuples(st.just("lose the alarm"), st.integers(1, 200 * MINUTE_MS)),
        st.tuples(st.just("tick"), st.integers(1, 3)),
        st.tuples(st.just("wake"), st.just(0)),
        st.tuples(st.just("crash"), st.just(0)),
        st.tuples(st.just("crash at a write"), st.integers(1, 12)),
    ),
    min_size=1,
    max_size=12,
)


def act(world: ScheduleWorld, action: str, amount: int) -> None:
    host = world.hosts["s"]
    if action in {"pass", "lose the alarm"}:
        until_ms = world.clock.now_ms() + amount
        if action == "lose the alarm":
            host.commit()
            host.alarm_ms = None
            host.commit()
        asyncio.run(world.run(until_ms=until_ms))
        world.clock.time_ms = max(world.clock.time_ms, until_ms)
        if action == "lose the alarm":
            world.ask("s", lambda engine: engine.wake())
    elif action == "tick":
        for _ in range(amount):
            asyncio.run(host.fire())
    elif action == "wake":
        world.ask("s", lambda engine: engine.wake())
    elif action == "crash":
        host.crash()
    else:
        world.crash_at(world.writes + amount)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["skip", "buffer_one", "allow", "cancel_other"]),
    st.sampled_from(["all", "latest", "none"]),
    st.integers(0, 90 * MINUTE_MS),
    ACTIONS,
)
def test_each_planned_time_is_dealt_with_once(
    overlap: Overlap, catch_up: CatchUp, sleep_ms: int, actions: list[tuple[str, int]]
) -> None:
    schedule = Schedule(
        id="s", workflow="report", cron="*/30 * * * *", overlap=overlap, catch_up=catch_up,
        payload={"sleep_ms": sleep_ms},
    )  # fmt: skip
    world = ScheduleWorld(report)
    world.add(schedule)
    began_ms = world.clock.now_ms()
    for action, amount in actions:
        act(world, action, amount)
    world.ask("s", lambda engine: engine.wake())
    world.ask("s", lambda engine: engine.update({"cron": "0 0 1 1 *"}))  # no more times; those that wait are run
    ended_ms = world.clock.now_ms()
    asyncio.run(world.run(until_ms=ended_ms + 12 * HOUR_MS))
    lines = world.see("s").history
    expected = list(schedule.times.between(began_ms, ended_ms))
    started = Counter(line.planned_ms for line in lines if line.outcome == "started")
    assert set(started) <= set(expected)
    assert set(started.values()) <= {1}
    assert sorted(request.job_id for request in world.created) == sorted(map(schedule.job_id, started))
    given_up = sum(line.count for line in lines if line.outcome in {"skipped", "missed"})
    assert sum(started.values()) + given_up == len(expected)
    if catch_up == "all" and overlap == "allow" and ended_ms - began_ms < DAY_MS:
        assert set(started) == set(expected)
