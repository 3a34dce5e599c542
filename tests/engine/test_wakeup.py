"""The alarm of an object, apart from what the object does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
from pydantic import BaseModel

from orchestrator import JobContext, workflow
from orchestrator.control import look_after
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import ALARM_LEAD_MS, ALARM_LOST_MS, TICK_RETRY_MAX_MS, TICK_RETRY_MS
from orchestrator.testing import World
from orchestrator.testing.faults import VirtualClock
from orchestrator.wakeup import Wakeup


class Nothing(BaseModel):
    pass


@workflow("nap")
async def napping(job: JobContext, payload: Nothing) -> None:
    await job.sleep(60_000)


class Stage:
    """A platform, and an object that is due at a time."""

    job_id = "run_1"

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.alarm = self
        self.due_ms: int | None = None
        self.armed_ms: int | None = None
        self.events: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.wakeup = Wakeup(self, self)

    def set(self, at_ms: int) -> None:
        self.armed_ms = at_ms

    def clear(self) -> None:
        self.armed_ms = None

    async def get(self) -> int | None:
        found = self.armed_ms
        self.meanwhile()
        return found

    async def take_back(self) -> None:
        self.armed_ms = None
        self.events.append("taken back")

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        self.events.append(event)

    def next_due_ms(self) -> int | None:
        return self.due_ms

    def look(self) -> None:
        """Look after the object, as every minute's calls do."""
        asyncio.run(self.wakeup.look())
        self.wakeup.rearm()

    @property
    def wait_ms(self) -> int:
        assert self.armed_ms is not None
        return self.armed_ms - self.clock.now_ms()


def test_a_tick_that_changes_nothing_does_not_come_again_at_once() -> None:
    stage = Stage()
    stage.due_ms = stage.clock.now_ms()
    stage.wakeup.fired()
    stage.wakeup.after_tick(failed=False, idle=True)
    assert stage.wait_ms == TICK_RETRY_MAX_MS
    assert stage.events == ["tick.idle"]


def test_ticks_that_fail_come_later_and_later_until_one_does_not() -> None:
    stage = Stage()
    stage.due_ms = stage.clock.now_ms()
    waits: list[int] = []
    for _ in range(9):
        stage.wakeup.fired()
        stage.wakeup.after_tick(failed=True, idle=False)
        waits.append(stage.wait_ms)
        stage.clock.time_ms += stage.wait_ms
    assert waits[:4] == [TICK_RETRY_MS, 2 * TICK_RETRY_MS, 4 * TICK_RETRY_MS, 8 * TICK_RETRY_MS]
    assert waits[-1] == TICK_RETRY_MAX_MS
    stage.wakeup.after_tick(failed=False, idle=False)
    stage.wakeup.after_tick(failed=True, idle=False)
    assert stage.wait_ms == TICK_RETRY_MS


def test_looking_sets_an_alarm_that_was_lost_again() -> None:
    stage = Stage()
    stage.due_ms = stage.clock.now_ms() + 60_000
    stage.wakeup.rearm()
    stage.armed_ms = None  # the platform has lost it, and the object knows nothing of that
    stage.clock.time_ms += 120_000
    stage.look()
    assert stage.wait_ms == ALARM_LEAD_MS
    assert stage.events == []


@pytest.mark.parametrize("forgetful", [False, True])
def test_looking_takes_back_an_alarm_that_the_platform_has_given_up(forgetful: bool) -> None:
    stage = Stage()
    stage.due_ms = stage.clock.now_ms() + 60_000
    stage.wakeup.rearm()
    stage.clock.time_ms += 60_000 + ALARM_LOST_MS + 1
    if forgetful:
        stage.wakeup = Wakeup(stage, stage)
    stage.look()
    assert stage.events == ["taken back"]
    assert stage.wait_ms == ALARM_LEAD_MS


@pytest.mark.parametrize("forgetful", [False, True])
def test_an_alarm_that_is_a_little_late_is_left_alone(forgetful: bool) -> None:
    """Calls that put it off again and again would keep it from firing, and one given up from ever being that late."""
    stage = Stage()
    stage.due_ms = stage.clock.now_ms()
    stage.wakeup.rearm()
    armed_ms = stage.armed_ms
    for _ in range(8):
        stage.clock.time_ms += 10_000
        stage.due_ms = stage.clock.now_ms()
        if forgetful:
            stage.wakeup = Wakeup(stage, stage)
        stage.look()
        assert stage.armed_ms == armed_ms
    assert stage.events == []


def test_an_alarm_that_is_set_while_somebody_looks_stays() -> None:
    stage = Stage()
    stage.due_ms = stage.clock.now_ms() - ALARM_LOST_MS - 1
    stage.armed_ms = stage.due_ms
    stage.meanwhile = lambda: stage.wakeup.watchdog(stage.clock.now_ms() + 10_000)
    stage.look()
    assert stage.events == []
    assert stage.wait_ms == ALARM_LEAD_MS


def test_calls_do_not_put_off_an_alarm_that_comes_at_once() -> None:
    stage = Stage()
    stage.due_ms = stage.clock.now_ms()
    stage.wakeup.rearm()
    at_ms = stage.armed_ms
    stage.clock.time_ms += ALARM_LEAD_MS - 1
    stage.wakeup.rearm()
    assert stage.armed_ms == at_ms
    stage.clock.time_ms += ALARM_LEAD_MS
    stage.wakeup.rearm()
    assert stage.armed_ms == at_ms, "it is about to fire"


def test_an_alarm_is_set_sooner_for_what_is_due_sooner() -> None:
    stage = Stage()
    stage.due_ms = stage.clock.now_ms() + 60_000
    stage.wakeup.rearm()
    stage.due_ms = stage.clock.now_ms() + 30_000
    stage.wakeup.rearm()
    assert stage.wait_ms == 30_000
    stage.due_ms = stage.clock.now_ms() + 60_000
    stage.wakeup.rearm()
    assert stage.wait_ms == 60_000


def test_a_job_that_is_looked_at_has_an_alarm_again() -> None:
    world = World(napping)
    job_id = world.start("nap", {})
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 1_000))
    item = world.objects[job_id]
    item.alarm_ms = None
    item.commit()
    world.clock.time_ms += 120_000
    asyncio.run(world.wait_for(None, "summary", item, look_after))
    asyncio.run(world.run())
    assert world.view(job_id).status is JobStatus.COMPLETED


def test_an_alarm_is_never_set_for_now_or_for_the_one_that_fired() -> None:
    stage = Stage()
    stage.due_ms = stage.clock.now_ms() - 60_000
    stage.wakeup.rearm()
    assert stage.wait_ms == ALARM_LEAD_MS
    stage.wakeup.fired()  # a little early, as between two clocks
    fired_ms = stage.armed_ms or 0
    stage.wakeup.after_tick(failed=False, idle=False)
    assert (stage.armed_ms or 0) > fired_ms
