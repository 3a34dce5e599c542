"""Jobs and their lanes in a world with faults: limits hold, nothing leaks, nobody is stranded."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import cast

import pytest
from pydantic import BaseModel

from orchestrator import (
    ChildOutcome,
    ChildRequest,
    JobContext,
    KeyLimit,
    LanePolicy,
    Rate,
    WorkflowOptions,
    current_step,
    workflow,
)
from orchestrator.control import look_after
from orchestrator.errors import DefinitionError
from orchestrator.lane import PermitBatch, PermitRequest
from orchestrator.lifecycle import TERMINAL, JobStatus
from orchestrator.limits import ALARM_LOST_MS
from orchestrator.model import JobOptions
from orchestrator.testing import World
from orchestrator.testing.world_lane import CallFault
from orchestrator.workflow import Registry

LANE = LanePolicy(name="work", concurrency=2, keys=(KeyLimit("org", 1),))
FAULTS: tuple[CallFault, ...] = ("lost", "unanswered", "twice")


class Nothing(BaseModel):
    pass


class Job(BaseModel):
    sleep_ms: int = 0


async def act() -> None:
    calls_of(current_step().services).append(current_step().job_id)


def calls_of(services: object) -> list[str]:
    return cast("list[str]", services)


async def clean_up(job: JobContext, payload: BaseModel, error: str) -> None:
    await job.step("clean up", act)


@workflow("work", options=WorkflowOptions(lane=LANE, on_cancel=clean_up))
async def work(job: JobContext, payload: Job) -> str:
    await job.step("before", act)
    if payload.sleep_ms:
        await job.sleep(payload.sleep_ms)
    await job.step("after", act)
    return "done"


def count(state: int, outcome: ChildOutcome) -> int:
    return state + 1


@workflow("family", options=WorkflowOptions(lane=LanePolicy(name="families", concurrency=1)))
async def family(job: JobContext, payload: Job) -> int:
    requests = [ChildRequest(key=str(n), payload={"sleep_ms": 500}) for n in range(4)]
    return (await job.map_children("kids", "work", requests, reduce=count, state=0)).state


@workflow("free")
async def free(job: JobContext, payload: Nothing) -> None:
    await job.step("act", act)


@workflow("limited")
async def limited(job: JobContext, payload: Nothing) -> int:
    await job.rate_limit("provider/ns_1", count=5)
    return job.now_ms()


ALL = [work, family, free, limited]


def world_with(*, always_replay: bool = False, seed: int = 0) -> World:
    return World(*ALL, services=[], always_replay=always_replay, seed=seed)


def options(org: str = "", *, priority: int = 0) -> JobOptions:
    return JobOptions(mode="direct", lane_keys={"org": org} if org else {}, priority=priority)


def settle(world: World, for_ms: int = 300) -> None:
    asyncio.run(world.run(until_ms=world.clock.now_ms() + for_ms))


def permits(world: World, lane: str = "work") -> int:
    view = world.lanes.get(lane).engine.view(lane)
    return view.running + view.waiting


def assert_all_done(world: World, job_ids: list[str]) -> None:
    assert [world.view(job_id).status for job_id in job_ids] == [JobStatus.COMPLETED] * len(job_ids)
    assert [permits(world, name) for name in world.lanes.by_name] == [0] * len(world.lanes.by_name)


def start_five(world: World) -> list[str]:
    return [world.start("work", {"sleep_ms": 200 * (n % 2)}, options(f"org{n % 3}")) for n in range(5)]


@pytest.mark.parametrize("always_replay", [False, True])
def test_a_lane_is_never_over_its_limits_and_everybody_gets_a_turn(always_replay: bool) -> None:
    world = world_with(always_replay=always_replay)
    job_ids = [world.start("work", {"sleep_ms": 1_000}, options(f"org{n % 7}")) for n in range(40)]
    asyncio.run(world.run())
    assert_all_done(world, job_ids)
    assert len(calls_of(world.services)) == 80


def test_a_job_that_suspends_gives_its_permit_back() -> None:
    world = world_with()
    job_ids = [world.start("work", {"sleep_ms": 60_000}) for _ in range(10)]
    settle(world, 10_000)
    assert {world.view(job_id).status for job_id in job_ids} == {JobStatus.SUSPENDED}
    assert permits(world) == 0


def test_status_says_why_a_job_waits() -> None:
    world = world_with()
    lane = world.lanes.get("work")
    first = world.start("work", {}, options("a"))
    settle(world)
    assert world.view(first).status is JobStatus.COMPLETED
    lane.call(lambda engine: engine.pause())
    held = [world.start("work", {}, options("a")) for _ in range(2)]
    settle(world)
    wait = world.view(held[0]).waits[0]
    assert (world.view(held[0]).status, wait.kind, wait.key, wait.reason) == ("waiting", "lane", "work", "lane paused")
    assert permits(world) == 2
    lane.call(lambda engine: engine.resume())
    reasons = {world.view(job_id).waits[0].reason for job_id in held}
    assert reasons == {"the permit is on its way", "key org=a: 1 of 1"}
    asyncio.run(world.run())
    assert_all_done(world, [first, *held])


def test_nothing_fires_while_nothing_can_change() -> None:
    world = world_with()
    lane = world.lanes.get("work")
    world.start("work", {})
    settle(world)
    lane.call(lambda engine: engine.pause())
    job_ids = [world.start("work", {}) for _ in range(20)]
    settle(world, 1_000_000)
    ticks = world.ticks
    settle(world, 86_400_000)
    assert world.ticks == ticks
    assert {world.view(job_id).status for job_id in job_ids} == {JobStatus.WAITING}
    lane.call(lambda engine: engine.resume())
    asyncio.run(world.run())
    assert_all_done(world, job_ids)


def test_a_crash_before_any_write_loses_nothing() -> None:
    calm = world_with()
    start_five(calm)
    asyncio.run(calm.run())
    for write in range(1, calm.writes + 10):
        world = world_with()
        world.crash_at(write)
        job_ids = start_five(world)
        asyncio.run(world.run())
        assert_all_done(world, job_ids)


@pytest.mark.parametrize("fault", FAULTS)
def test_calls_that_are_lost_unanswered_or_repeated_heal(fault: CallFault) -> None:
    calm = world_with()
    start_five(calm)
    asyncio.run(calm.run())
    for call in range(1, calm.lanes.calls + 5):
        world = world_with()
        world.lanes.faults = {call: fault, call + 1: fault}
        job_ids = start_five(world)
        asyncio.run(world.run())
        assert_all_done(world, job_ids)


def test_a_job_that_does_not_answer_is_offered_its_permit_again() -> None:
    """Its lane alone knows: nobody else has anything to ask or to give back."""
    world = world_with()
    lane = world.lanes.get("work")
    holder = world.start("work", {}, options("a"))
    settle(world, 5)
    lane.call(lambda engine: engine.pause())
    waiting = world.start("work", {}, options("a"))
    asyncio.run(world.run())
    assert (world.view(holder).status, world.view(waiting).status) == (JobStatus.COMPLETED, JobStatus.WAITING)
    world.lanes.faults = {world.lanes.calls + number: "lost" for number in range(1, 4)}
    lane.call(lambda engine: engine.resume())
    settle(world, 30_000)
    assert_all_done(world, [holder, waiting])


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_limits_hold_and_jobs_end(seed: int) -> None:
    chance = random.Random(seed)
    world = world_with(always_replay=seed % 2 == 1, seed=seed)
    world.crash_at(*(chance.randrange(1, 900) for _ in range(12)))
    world.lanes.faults = {chance.randrange(1, 120): chance.choice(FAULTS) for _ in range(12)}
    job_ids = [
        world.start("work", {"sleep_ms": chance.choice([0, 50, 3_000])}, options(chance.choice("abc")))
        for _ in range(12)
    ]
    job_ids.append(world.start("family", {}, options("a")))
    for _ in range(25):
        settle(world, chance.choice([1, 10, 100, 2_000]))
        job_id = chance.choice(job_ids)
        status = world.view(job_id).status
        if status not in TERMINAL:
            if status is JobStatus.PAUSED:
                world.call(job_id, lambda engine: engine.resume())
            elif status is not JobStatus.CANCELLING:
                act_on = chance.choice(["cancel", "pause", "pause"])
                world.call(job_id, lambda engine, a=act_on: engine.cancel("") if a == "cancel" else engine.pause())  # type: ignore[misc]
        if chance.random() < 0.2:
            world.lanes.get("work").call(lambda engine: engine.pause())
        elif chance.random() < 0.5:
            world.lanes.get("work").call(lambda engine: engine.resume())
    world.lanes.get("work").call(lambda engine: engine.resume())
    for job_id in job_ids:
        if world.view(job_id).status is JobStatus.PAUSED:
            world.call(job_id, lambda engine: engine.resume())
    asyncio.run(world.run())
    assert {world.view(job_id).status for job_id in world.objects} <= {
        JobStatus.COMPLETED,
        JobStatus.CANCELLED,
        JobStatus.FAILED,
    }
    assert [permits(world, name) for name in world.lanes.by_name] == [0] * len(world.lanes.by_name)


def test_a_permit_whose_job_vanished_is_taken_back_only_after_asking() -> None:
    world = world_with()
    lane = world.lanes.get("work")
    job_ids = [world.start("work", {}, options(org)) for org in "ab"]
    settle(world)
    for n in range(2):
        gone = PermitRequest(permit_id=f"run_gone:{n}", job_id=f"run_gone{n}", since_ms=0)
        assert lane.call(lambda engine, g=gone: engine.request(PermitBatch(LANE, (g,))))[0].granted  # type: ignore[misc]
    waiting = world.start("work", {})
    settle(world, 500_000)
    assert world.view(waiting).waits[0].reason == "lane work: 2 of 2 running"
    settle(world, 200_000)
    assert world.view(waiting).status is JobStatus.COMPLETED
    assert_all_done(world, [*job_ids, waiting])


def test_a_job_that_lost_its_alarm_while_it_held_a_permit_is_woken_when_the_lane_asks() -> None:
    """Nobody else would: it holds up those who wait, a parent of its own among them."""
    world = world_with()
    holder = world.start("work", {"sleep_ms": 1_000}, options("a"))
    world.lanes.get("work")
    world.crash_at(world.writes + 16)
    settle(world, 20)
    assert (world.crashes, permits(world)) == (1, 1)
    world.objects[holder].alarm_ms = None
    world.objects[holder].commit()
    waiting = world.start("work", {}, options("a"))
    settle(world, 500_000)
    assert world.view(waiting).status is JobStatus.WAITING
    settle(world, 200_000)
    assert_all_done(world, [holder, waiting])


@pytest.mark.parametrize("forgetful", [True, False])
def test_a_lane_that_lost_its_alarm_is_asked_again_by_those_who_wait(forgetful: bool) -> None:
    """Nobody else comes by there, and what it has in memory says that its alarm is set."""
    world = world_with()
    lane = world.lanes.get("work")
    gone = PermitRequest(permit_id="run_gone:1", job_id="run_gone", keys={"org": "a"}, since_ms=0)
    lane.call(lambda engine: engine.request(PermitBatch(LANE, (gone,))))
    waiting = world.start("work", {}, options("a"))
    settle(world)
    lane.call(lambda engine: engine.release([gone.permit_id]))
    lane.alarm_ms = None
    lane.commit()
    if forgetful:
        lane.crash()
    settle(world, ALARM_LOST_MS + 10_000)
    assert world.view(waiting).status is JobStatus.WAITING
    asyncio.run(world.wait_for(None, "summary", world.object(waiting), look_after))
    settle(world)
    assert_all_done(world, [waiting])


def test_a_job_that_does_not_answer_keeps_its_permit() -> None:
    """It may be at work: only its own word gives the permit to somebody else."""
    world = world_with()
    holder = world.start("work", {"sleep_ms": 1_000}, options("a"))
    world.lanes.get("work")
    world.crash_at(world.writes + 16)
    settle(world, 20)
    world.objects[holder].alarm_ms = None
    world.objects[holder].commit()
    waiting = world.start("work", {}, options("a"))
    settle(world, 500_000)
    world.lanes.faults = {world.lanes.calls + 1: "lost"}
    settle(world, 100_500)
    assert (world.view(waiting).status, permits(world)) == (JobStatus.WAITING, 2)
    settle(world, 100_000)
    assert_all_done(world, [holder, waiting])


def test_cancelling_a_job_that_waits_for_its_lane() -> None:
    world = world_with()
    lane = world.lanes.get("work")
    started = world.start("work", {"sleep_ms": 1_000})
    settle(world)
    lane.call(lambda engine: engine.pause())
    fresh = world.start("work", {})
    settle(world, 5_000)
    assert (world.view(started).status, world.view(fresh).status) == (JobStatus.WAITING, JobStatus.WAITING)
    for job_id in (started, fresh):
        world.call(job_id, lambda engine: engine.cancel("not wanted"))
    asyncio.run(world.run())
    assert {world.view(job_id).status for job_id in (started, fresh)} == {JobStatus.CANCELLED}
    assert world.services == [started, started], "the hook runs for the one that had begun, without a permit"
    assert permits(world) == 0


def test_time_limits_count_while_a_job_waits_for_its_lane() -> None:
    world = world_with()
    world.lanes.get("work")
    first = world.start("work", {"sleep_ms": 1_000}, JobOptions(mode="direct", max_duration_ms=60_000))
    settle(world)
    world.lanes.get("work").call(lambda engine: engine.pause())
    late = world.start("work", {}, JobOptions(mode="direct", ttl_ms=30_000))
    settle(world, 20_000)
    assert world.view(first).status is world.view(late).status is JobStatus.WAITING
    asyncio.run(world.run())
    assert (world.view(first).status, world.view(late).status) == (JobStatus.FAILED, JobStatus.EXPIRED)
    assert permits(world) == 0


def test_priority_goes_first() -> None:
    world = world_with()
    lane = world.lanes.get("work")
    world.start("work", {})
    settle(world)
    lane.call(lambda engine: engine.pause())
    ids = [world.start("work", {}, options("same", priority=n * 10)) for n in range(4)]
    settle(world)
    lane.call(lambda engine: engine.resume())
    asyncio.run(world.run())
    ends = list(dict.fromkeys(item for item in calls_of(world.services) if item in ids))
    assert ends == ids[::-1]


def test_children_take_their_parents_place_in_the_lanes() -> None:
    world = world_with()
    job_id = world.start("family", {}, options("o", priority=7))
    asyncio.run(world.run())
    assert world.view(job_id).result == 4
    assert_all_done(world, list(world.objects))


def test_jobs_without_a_lane_know_nothing_of_lanes() -> None:
    world = world_with()
    job_id = world.start("free", {})
    asyncio.run(world.run())
    item = world.objects[job_id]
    assert world.lanes.calls == 0
    assert item.sql.execute("select 1 from sqlite_master where name = 'lane_ticket'") == []


@workflow("unlimited", options=WorkflowOptions(lane=LanePolicy(name="wide", concurrency=5)))
async def unlimited(job: JobContext, payload: Nothing) -> None:
    await job.step("act", act)


def test_what_a_lane_costs_a_job() -> None:
    """A permit granted at once: 6 rows of the job's (a table's 2 among them), 2 of the lane's, and 2 calls."""
    world = World(free, unlimited, services=[])
    rows = {}
    for name in ("free", "unlimited"):
        job_id = world.start(name, {})
        asyncio.run(world.run())
        rows[name] = world.objects[job_id].sql.rows_written
        assert world.objects[job_id].alarm_writes <= 4
    lane = world.lanes.by_name["wide"]
    assert rows["unlimited"] - rows["free"] == 6
    assert world.lanes.calls == 2
    before = lane.sql.rows_written
    world.start("unlimited", {})
    asyncio.run(world.run())
    assert lane.sql.rows_written - before == 2
    assert lane.fired == 2, "once per idle lease, far ahead"


def test_a_shared_rate_is_never_exceeded() -> None:
    world = world_with()
    job_ids = [world.start("limited", {}) for _ in range(23)]
    asyncio.run(world.run())
    times = sorted(int(str(world.view(job_id).result)) for job_id in job_ids)
    began = min(world.view(job_id).created_at_ms for job_id in job_ids)
    for n, at_ms in enumerate(times):
        # A full bucket of 5 and 5 more per second; alarms may be a few ms late, never early.
        assert at_ms >= began + max(0, (n - 4)) * 200, n
    assert times[-1] - began < (len(times) - 5) * 200 + 1_000
    lane = world.lanes.by_name["rate/provider/ns_1"]
    assert lane.fired == 0
    assert world.lanes.calls == 23


def test_a_token_far_away_is_not_promised() -> None:
    world = World(slow, services=[])
    job_ids = [world.start("slow", {}) for _ in range(4)]
    settle(world, 10_000)
    world.call(job_ids[3], lambda engine: engine.cancel(""))
    asyncio.run(world.run())
    done = [world.view(job_id) for job_id in job_ids]
    assert [view.status for view in done] == [JobStatus.COMPLETED] * 3 + [JobStatus.CANCELLED]


@workflow("slow")
async def slow(job: JobContext, payload: Nothing) -> int:
    await job.rate_limit("slow", count=1, per_ms=90_000)
    return job.now_ms()


def test_a_lanes_own_rate_lets_jobs_start_one_by_one() -> None:
    policy = LanePolicy(name="slow lane", rate=Rate(count=2, per_ms=1_000, burst=1))

    @workflow("timed", options=WorkflowOptions(lane=policy))
    async def timed(job: JobContext, payload: Nothing) -> int:
        return job.now_ms()

    world = World(timed, services=[])
    job_ids = [world.start("timed", {}) for _ in range(6)]
    asyncio.run(world.run())
    times = sorted(int(str(world.view(job_id).result)) for job_id in job_ids)
    assert all(b - a >= 480 for a, b in itertools.pairwise(times)), times
    assert world.lanes.by_name["slow lane"].fired <= 12


def test_a_restart_fills_no_bucket() -> None:
    rate = Rate(count=2, per_ms=60_000)
    policy = LanePolicy(name="metered lane", rate=rate, keys=(KeyLimit("org", rate=rate),))

    @workflow("metered", options=WorkflowOptions(lane=policy))
    async def metered(job: JobContext, payload: Nothing) -> None:
        return None

    world = World(metered, services=[])
    for _ in range(2):
        world.start("metered", {}, options("one"))
    settle(world, 1_000)
    lane = world.lanes.get("metered lane")
    lane.crash()
    waiting = [world.start("metered", {}, options(org)) for org in ("one", "two")]
    settle(world, 1_000)
    assert [world.view(job_id).status for job_id in waiting] == [JobStatus.WAITING] * 2
    asyncio.run(world.run())
    assert_all_done(world, waiting)


def test_one_lane_has_one_policy() -> None:
    @workflow("other", options=WorkflowOptions(lane=LanePolicy(name="work", concurrency=9)))
    async def other(job: JobContext, payload: Nothing) -> None:
        return None

    with pytest.raises(DefinitionError, match="limits of lane"):
        Registry([work, other])


def test_a_new_policy_holds_for_those_who_wait() -> None:
    world = world_with()
    lane = world.lanes.get("work")
    world.start("work", {})
    settle(world)
    lane.call(lambda engine: engine.pause())
    job_ids = [world.start("work", {}, options("one")) for _ in range(6)]
    settle(world)
    wider = LanePolicy(name="work", concurrency=6)
    lane.call(lambda engine: engine.request(PermitBatch(wider, ())))
    lane.call(lambda engine: engine.resume())
    assert lane.engine.view("work").running == 6
    asyncio.run(world.run())
    assert_all_done(world, job_ids)
