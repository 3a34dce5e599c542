"""When alarms fire, and when they come again, on every platform."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable

from tests.conformance.object_scenarios import lost_call, notes
from tests.conformance.platform import Platform, scenario, until

#: The platform's first pause before a handler that failed runs again, doubling, with up to a quarter more; and the
#: little that clocks differ by.
PAUSE_MS, OFF_MS = 2_000, 50


def noted(platform: Platform, name: str, *expected: str) -> Callable[[], Awaitable[bool]]:
    """Return whether the notes that are no times of runs are these."""

    async def holds() -> bool:
        return [note for note in await notes(platform, name) if not note.startswith("run ")] == [*expected]

    return holds


async def began_ms(platform: Platform, name: str) -> list[int]:
    """Return when the handler began, each time."""
    return [int(note.split()[1]) for note in await notes(platform, name) if note.startswith("run ")]


async def run_times(platform: Platform, name: str, times: int, *, within_ms: int = 10_000) -> list[int]:
    """Wait until the handler has begun so often; return when."""

    async def began() -> bool:
        return len(await began_ms(platform, name)) >= times

    await until(platform, began, within_ms=within_ms)
    return await began_ms(platform, name)


@scenario("§1.4")
async def an_alarm_fires_once_and_not_before_its_time(platform: Platform) -> None:
    set_ms = int(await platform.act("once", "arm", "nothing", "100"))
    [ran_ms] = await run_times(platform, "once", 1)
    assert ran_ms >= set_ms + 100 - OFF_MS
    await platform.wait(300)
    assert len(await began_ms(platform, "once")) == 1


@scenario("§1.4")
async def an_object_has_one_alarm(platform: Platform) -> None:
    set_ms = int(await platform.act("replaced", "arm", "nothing", "50", "600000"))
    assert await platform.act("replaced", "armed") == str(set_ms + 600_000)
    await platform.wait(300)
    assert await began_ms(platform, "replaced") == []
    await platform.act("replaced", "arm", "nothing", "600000", "50")
    await run_times(platform, "replaced", 1)
    await platform.act("replaced", "arm", "nothing", "200")
    await platform.act("replaced", "disarm")
    assert await platform.act("replaced", "armed") == ""
    await platform.wait(400)
    assert len(await began_ms(platform, "replaced")) == 1


@scenario("§1.4")
async def an_alarm_is_not_set_while_its_handler_runs(platform: Platform) -> None:
    await platform.act("unset", "arm", "arm_again", "20")
    await run_times(platform, "unset", 2)
    assert [note.split()[-1] for note in await notes(platform, "unset")] == ["unset", "again", "unset"]
    assert await platform.act("unset", "armed") == ""


@scenario("§1.3, §1.4")
async def an_alarm_is_kept_or_lost_with_the_writes_around_it(platform: Platform) -> None:
    await lost_call(platform.act("not kept", "arm_and_die", "600000"))
    assert await platform.act("not kept", "armed") == ""
    await platform.act("kept", "arm", "nothing", "600000")
    await lost_call(platform.act("kept", "note_and_die", "lost"))
    assert await platform.act("kept", "armed") != ""


@scenario("§1.4, design.md §4.4")
async def an_alarm_in_the_past(platform: Platform) -> None:
    """Fires at once, or at the end of the handler that has set it; the simulator refuses what nobody is to rely on."""
    if platform.is_simulated:
        for name, act, delay in (("past", "nothing", "-1000"), ("now", "nothing", "0")):
            try:
                await platform.act(name, "arm", act, delay)
            except AssertionError:
                continue
            raise AssertionError("an alarm in the past was taken")
        return
    await platform.act("past", "arm", "nothing", "-1000")
    await platform.act("now", "arm", "nothing", "0")
    await platform.act("past inside", "arm", "arm_in_the_past", "20")
    for name, times in (("past", 1), ("now", 1), ("past inside", 2)):
        await run_times(platform, name, times)


@scenario("§1.4")
async def a_handler_that_fails_runs_again_later_and_later(platform: Platform) -> None:
    await platform.act("again", "arm", "keep_and_die", "20")
    first_ms, second_ms, third_ms = (await run_times(platform, "again", 3))[:3]
    assert second_ms - first_ms >= PAUSE_MS - OFF_MS
    assert third_ms - second_ms >= 2 * PAUSE_MS - OFF_MS
    assert "lost" not in await notes(platform, "again")


@scenario("§1.3, §1.4")
async def a_handler_that_dies_before_its_first_write_is_kept_runs_again(platform: Platform) -> None:
    await platform.act("dying", "arm", "die_at_once", "20")

    async def died_twice() -> bool:
        return len(await notes(platform, "witness of deaths")) == 2

    await until(platform, died_twice, within_ms=10_000)
    first_ms, second_ms = (int(note) for note in await notes(platform, "witness of deaths"))
    assert second_ms - first_ms >= PAUSE_MS - OFF_MS, second_ms - first_ms
    assert "lost" not in await notes(platform, "dying")


@scenario("§1.4")
async def an_alarm_set_inside_wins_over_the_one_that_failed(platform: Platform) -> None:
    await platform.act("new one", "arm", "arm_again_and_die", "20")
    first_ms, second_ms = await run_times(platform, "new one", 2)
    assert second_ms - first_ms < PAUSE_MS - OFF_MS
    await platform.act("taken back", "arm", "disarm_and_die", "20")
    await run_times(platform, "taken back", 1)
    await platform.wait(3_000)
    assert len(await began_ms(platform, "new one")) == 2
    assert len(await began_ms(platform, "taken back")) == 1


async def fall_off_the_cliff(platform: Platform, name: str, act: str) -> None:
    """Have a handler die until the platform gives its alarm up."""
    await platform.act(name, "arm", act, "20")
    times = await run_times(platform, name, 7, within_ms=200_000)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    for number, pause_ms in enumerate(pauses):
        assert PAUSE_MS * 2**number - OFF_MS <= pause_ms <= PAUSE_MS * 2**number * 1.25 + 2_000, pauses
    await platform.wait(200_000)
    assert len(await began_ms(platform, name)) == 7


@scenario("§1.4", long=True)
async def after_six_retries_an_alarm_is_gone(platform: Platform) -> None:
    await fall_off_the_cliff(platform, "cliff", "die_with_nothing_to_lose")
    assert await platform.act("cliff", "armed") == ""
    await platform.act("cliff", "arm", "nothing", "20")
    await run_times(platform, "cliff", 8)


@scenario("§1.4", long=True)
async def an_object_that_lost_writes_still_believes_in_an_alarm_that_is_gone(platform: Platform) -> None:
    """And no other fires there until the old one is durably taken back: not for a new copy, nor in the same turn."""
    await fall_off_the_cliff(platform, "believer", "keep_and_die")
    assert await platform.act("believer", "armed") != ""
    await platform.act("believer", "arm", "nothing", "20")
    await platform.evict("believer")
    await platform.wait(15_000)
    await platform.act("believer", "arm", "nothing", "20", "5000")
    await platform.wait(15_000)
    await platform.act("believer", "disarm_and_arm", "nothing", "20")
    await platform.wait(15_000)
    assert len(await began_ms(platform, "believer")) == 7
    await platform.act("believer", "take_back_and_arm", "nothing", "20")
    await run_times(platform, "believer", 8)
    await platform.act("believer", "arm", "nothing", "20")
    await run_times(platform, "believer", 9)


@scenario("§1.4")
async def calls_come_in_while_a_handler_waits(platform: Platform) -> None:
    await platform.act("open", "arm", "wait_for_a_note", "20")
    await run_times(platform, "open", 1)
    await platform.act("open", "note", "called")
    await until(platform, noted(platform, "open", "called", "handler ended"), within_ms=5_000)


@scenario("§1.4, §1.5")
async def an_alarm_wakes_an_object_that_was_forgotten(platform: Platform) -> None:
    await platform.act("asleep", "arm", "nothing", "400")
    await platform.evict("asleep")
    await run_times(platform, "asleep", 1)


@scenario("§1.4, §8.3", crashes=True)
async def an_alarm_survives_a_crash(platform: Platform) -> None:
    """Also one whose handler was running."""
    await platform.act("survivor", "arm", "nothing", "500")
    await platform.act("interrupted", "arm", "wait_for_a_note", "20")
    await run_times(platform, "interrupted", 1)
    await platform.crash()
    await run_times(platform, "survivor", 1)
    await platform.act("interrupted", "note", "called")
    await until(platform, noted(platform, "interrupted", "called", "handler ended"), within_ms=20_000)
    assert len(await began_ms(platform, "interrupted")) == 2
