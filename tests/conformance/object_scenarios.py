"""What objects keep, lose and let in, on every platform."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable

from orchestrator.errors import OrchestratorError, RetryableError
from tests.conformance.platform import Platform, scenario, until


async def notes(platform: Platform, name: str) -> list[str]:
    """Read an object's notes; one that ends in this moment is asked again."""
    for _ in range(10):
        try:
            return json.loads(await platform.act(name, "notes"))
        except RetryableError:
            await platform.wait(50)
    raise AssertionError(f"{name} does not answer")


async def lost_call(call: Awaitable[str]) -> RetryableError:
    """Return the error of a call that gets no answer."""
    try:
        answer = await call
    except RetryableError as error:
        return error
    raise AssertionError(f"it answered {answer}")


@scenario("§1.3")
async def writes_of_a_turn_are_kept_or_lost_together(platform: Platform) -> None:
    await lost_call(platform.act("turn", "note_and_die", "a", "b"))
    assert await notes(platform, "turn") == []
    await lost_call(platform.act("turns", "note_thrice_and_die"))
    assert await notes(platform, "turns") in ([], ["1", "1"], ["1", "1", "2", "2"])


@scenario("§1.3")
async def what_was_synced_is_kept(platform: Platform) -> None:
    await lost_call(platform.act("synced", "note_sync_and_die", "kept", "lost"))
    assert await notes(platform, "synced") == ["kept"]


@scenario("§1.3")
async def what_was_sent_describes_what_is_kept(platform: Platform) -> None:
    """The output gate: no message leaves before the writes that came before it are durable."""
    await lost_call(platform.act("teller", "note_tell_and_die", "hearer"))
    assert await notes(platform, "hearer") == ["heard"]
    assert await notes(platform, "teller") == ["told"]


@scenario("§1.3")
async def an_error_takes_nothing_back(platform: Platform) -> None:
    try:
        await platform.act("failing", "note_and_fail", "kept")
    except RetryableError:
        raise AssertionError("an error of the object's code is nothing to repeat") from None
    except (OrchestratorError, ValueError):
        assert await notes(platform, "failing") == ["kept"]
    else:
        raise AssertionError("the error did not arrive")


@scenario("§1.5, §1.7")
async def callers_of_an_object_that_ends_are_told_to_call_again(platform: Platform) -> None:
    """Whoever waits for it, whatever it was doing for them; the next call finds a new copy."""
    waiting = [asyncio.ensure_future(platform.act("ending", "hang")) for _ in range(2)]

    async def both_wait() -> bool:
        return await platform.act("ending", "recall", "hanging") == "xx"

    await until(platform, both_wait, within_ms=10_000)
    errors = [await lost_call(platform.act("ending", "note_and_die", "lost"))]
    errors += [await lost_call(task) for task in waiting]
    assert {error.error_code for error in errors} == {"object_unreachable"}
    assert await notes(platform, "ending") == []


@scenario("§1.5, §1.7")
async def objects_that_call_one_that_ends_are_told_so_too(platform: Platform) -> None:
    error = await lost_call(platform.act("caller of it", "call", "called", "note_and_die", "lost"))
    assert error.error_code == "object_unreachable"
    assert await platform.act("caller of it", "call", "called", "notes") == "[]"


@scenario("§1.5")
async def memory_is_lost_and_storage_is_not(platform: Platform) -> None:
    for how in ("evicted", "killed"):
        await platform.act(how, "remember", "key", "value")
        await platform.act(how, "note", "kept")
        assert await platform.act(how, "recall", "key") == "value"
        if how == "evicted":
            await platform.evict(how)
        else:
            await lost_call(platform.act(how, "note_and_die", "lost"))
        assert await platform.act(how, "recall", "key") == "forgotten"
        assert await notes(platform, how) == ["kept"]


@scenario("§1.5")
async def an_object_is_the_one_of_its_name(platform: Platform) -> None:
    await platform.act("name one", "remember", "key", "one")
    await platform.act("name two", "remember", "key", "two")
    assert await platform.act("name one", "recall", "key") == "one"
    assert await platform.act("name two", "call", "name one", "recall", "key") == "one"


@scenario("§1.3")
async def others_come_in_while_an_object_waits(platform: Platform) -> None:
    """For anything: a timer, another object, and its own storage's disk."""
    for how in ("wait", "call"):
        first = asyncio.ensure_future(platform.act(how, "trace", how, "a"))

        async def began(name: str = how) -> bool:
            return await platform.act(name, "recall", "marks") == "a1 "

        await until(platform, began, within_ms=10_000)
        await platform.act(how, "trace", "not at all", "b")
        assert await first == "a1 b1 b2 a2 "
    names = [f"n{number}" for number in range(8)]
    await asyncio.gather(*(platform.act("sync", "trace", "sync", name) for name in names))
    marks = (await platform.act("sync", "recall", "marks")).split()
    assert sorted(marks) == sorted(f"{name}{part}" for name in names for part in "12")
    assert all(marks.index(f"{name}1") < marks.index(f"{name}2") for name in names)


@scenario("§1.3")
async def an_object_may_call_itself(platform: Platform) -> None:
    assert await platform.act("self", "call", "self", "note", "by myself") == "noted"
    assert await notes(platform, "self") == ["by myself"]


@scenario("§1.4")
async def deleting_everything_leaves_an_object_that_works(platform: Platform) -> None:
    await platform.act("deleted", "note", "old")
    await platform.act("deleted", "arm", "nothing", "300")
    assert await platform.act("deleted", "armed") != ""
    await platform.act("deleted", "forget")
    assert await platform.act("deleted", "armed") == ""
    await platform.wait(500)
    await platform.act("deleted", "note", "new")
    assert await notes(platform, "deleted") == ["new"]


@scenario("§1.6")
async def the_clock_stands_still_during_work_and_moves_by_waiting(platform: Platform) -> None:
    found = json.loads(await platform.act("clock", "clock"))
    assert found["by_work"] == 0
    assert found["by_waiting"] >= 29


@scenario("§1.3", crashes=True)
async def an_answer_is_durable(platform: Platform) -> None:
    await platform.act("answered", "note", "kept")
    await platform.crash()
    assert await notes(platform, "answered") == ["kept"]


@scenario("§1.3", crashes=True)
async def a_crash_keeps_whole_turns(platform: Platform) -> None:
    await platform.act("pairs", "note", "first", "first")
    writing = asyncio.ensure_future(platform.act("pairs", "note_pairs"))

    async def wrote() -> bool:
        return len(await notes(platform, "pairs")) > 10

    await until(platform, wrote, within_ms=10_000)
    await platform.crash()
    await lost_call(writing)
    found = await notes(platform, "pairs")
    assert found[::2] == found[1::2]
    assert found == ["first", "first", *(str(number // 2) for number in range(len(found) - 2))]
