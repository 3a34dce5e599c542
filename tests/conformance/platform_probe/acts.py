"""What the probe's objects do when they are called, when their alarm fires, and with a queue's messages."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tests.conformance.platform_probe.inside import Inside

Act = Callable[..., str] | Callable[..., Coroutine[object, object, str]]
ROUNDS = 300_000
#: Less than 4 ms is no timer in Pyodide's event loop: nobody else comes in, and the clock does not move.
SHORT_MS = 5
#: Short waits after which something that does not come is not waited for any more.
PATIENCE = 400


def _prepare(inside: Inside) -> None:
    inside.sql.execute("create table if not exists note (number integer primary key, text text)")
    inside.sql.execute("create table if not exists handler (id integer primary key, act text)")


def note(inside: Inside, *texts: str) -> str:
    """Write notes down, all in one turn."""
    _prepare(inside)
    for text in texts:
        inside.sql.execute("insert into note (text) values (?)", text)
    return "noted"


def notes(inside: Inside) -> str:
    """Return every note."""
    _prepare(inside)
    return json.dumps([row[0] for row in inside.sql.execute("select text from note order by number")])


def note_and_fail(inside: Inside, text: str) -> str:
    """Write something down, and fail as code of one's own does."""
    note(inside, text)
    raise ValueError("this failed")


def note_and_die(inside: Inside, *texts: str) -> str:
    """Write something down, and end before anything has waited for it."""
    note(inside, *texts)
    inside.die()


async def note_sync_and_die(inside: Inside, kept: str, lost: str) -> str:
    """Write something down, wait until it is durable, write once more, and end."""
    note(inside, kept)
    await inside.sync()
    note(inside, lost)
    inside.die()


async def note_thrice_and_die(inside: Inside) -> str:
    """Write pairs, each in a turn of its own, and end in the turn of the third."""
    for pair in ("1", "2", "3"):
        note(inside, pair, pair)
        if pair == "3":
            inside.die()
        await inside.wait(SHORT_MS)
    raise AssertionError("it ended in the loop")


async def note_pairs(inside: Inside) -> str:
    """Write pairs until something ends this."""
    for number in range(100_000):
        note(inside, str(number), str(number))
        await inside.wait(SHORT_MS)
    return "still there"


async def note_tell_and_die(inside: Inside, other: str) -> str:
    """Write something down, send it to another object, and end."""
    note(inside, "told")
    await inside.call(other, "note", "heard")
    inside.die()


async def call(inside: Inside, other: str, act: str, *args: str) -> str:
    """Call another object, or itself."""
    return await inside.call(other, act, *args)


async def trace(inside: Inside, how: str, label: str) -> str:
    """Leave marks in memory before and after waiting; return all of them."""
    inside.memory["marks"] = inside.memory.get("marks", "") + f"{label}1 "
    if how == "sync":
        note(inside, label)
        await inside.sync()
    for _ in range(PATIENCE if how in {"wait", "call"} else 0):
        await (inside.wait(25) if how == "wait" else inside.call(f"{label} other", "slow"))
        if "b2" in inside.memory["marks"]:
            break
    inside.memory["marks"] += f"{label}2 "
    return inside.memory["marks"]


async def slow(inside: Inside) -> str:
    """Take a while to answer."""
    await inside.wait(25)
    return "slow"


async def hang(inside: Inside) -> str:
    """Never answer."""
    inside.memory["hanging"] = inside.memory.get("hanging", "") + "x"
    await inside.wait(600_000)
    return "an answer"


def remember(inside: Inside, key: str, value: str) -> str:
    """Keep something in memory only."""
    inside.memory[key] = value
    return value


def recall(inside: Inside, key: str) -> str:
    """Return what is in memory."""
    return inside.memory.get(key, "forgotten")


async def forget(inside: Inside) -> str:
    """Delete everything, the alarm included."""
    await inside.wipe()
    return "forgotten"


async def clock(inside: Inside) -> str:
    """Read the clock around work and around waiting."""
    start = inside.clock.now_ms()
    total = sum(number * number for number in range(ROUNDS))
    worked = inside.clock.now_ms()
    await inside.wait(30)
    return json.dumps({"by_work": worked - start, "by_waiting": inside.clock.now_ms() - worked, "total": total})


# -- alarms --------------------------------------------------------------------------------------------------------


def arm(inside: Inside, act: str, *delays_ms: str) -> str:
    """Set the alarm, several times in one turn if asked; its handler is to do ``act``. Return the time."""
    _prepare(inside)
    inside.sql.execute("insert or replace into handler values (1, ?)", act)
    now_ms = inside.clock.now_ms()
    for delay_ms in delays_ms:
        inside.alarm.set(now_ms + int(delay_ms))
    return str(now_ms)


def arm_and_die(inside: Inside, delay_ms: str) -> str:
    """Set the alarm, and end before anything has waited for it."""
    arm(inside, "nothing", delay_ms)
    inside.die()


def disarm(inside: Inside) -> str:
    """Disarm the alarm."""
    inside.alarm.clear()
    return "disarmed"


def disarm_and_arm(inside: Inside, act: str, delay_ms: str) -> str:
    """Disarm the alarm and set it anew, all in one turn."""
    inside.alarm.clear()
    return arm(inside, act, delay_ms)


async def take_back_and_arm(inside: Inside, act: str, delay_ms: str) -> str:
    """Disarm the alarm for good, and set it anew."""
    await inside.alarm.take_back()
    return arm(inside, act, delay_ms)


async def armed(inside: Inside) -> str:
    """Return when the alarm is set to."""
    at_ms = await inside.alarm.get()
    return "" if at_ms is None else str(at_ms)


def runs(inside: Inside) -> int:
    """Return how often the handler has begun, as far as that is durable."""
    return int(str(inside.sql.execute("select count(*) from note where text like 'run %'")[0][0]))


async def on_alarm(inside: Inside) -> None:
    """Do what the alarm was set for; the first notes say when it began and what the alarm was set to then."""
    _prepare(inside)
    found = inside.sql.execute("select act from handler")
    note(inside, f"run {inside.clock.now_ms()} {await armed(inside) or 'unset'}")
    await HANDLERS[str(found[0][0])](inside)


async def nothing(inside: Inside) -> None:
    """Be content with having run."""


async def arm_again(inside: Inside) -> None:
    """Set the alarm anew, once."""
    if runs(inside) < 2:
        inside.alarm.set(inside.clock.now_ms() + 30)
        note(inside, "armed again" if await inside.alarm.get() is not None else "not armed")


async def arm_in_the_past(inside: Inside) -> None:
    """Set the alarm to a time that was, once."""
    if runs(inside) < 2:
        inside.alarm.set(inside.clock.now_ms() - 1_000)


async def arm_again_and_die(inside: Inside) -> None:
    """Set the alarm anew, durably, and fail; once."""
    if runs(inside) < 2:
        inside.alarm.set(inside.clock.now_ms() + 30)
        await inside.sync()
        inside.die()


async def disarm_and_die(inside: Inside) -> None:
    """Take the alarm back, durably, and fail."""
    inside.alarm.clear()
    await inside.sync()
    inside.die()


async def die_with_nothing_to_lose(inside: Inside) -> None:
    """Keep everything that was written, each time."""
    await inside.sync()
    inside.die()


async def keep_and_die(inside: Inside) -> None:
    """Keep what was written so far, and lose the rest, each time."""
    await inside.sync()
    note(inside, "lost")
    inside.die()


async def die_at_once(inside: Inside) -> None:
    """Lose everything, the first two times. Memory of that is another object's."""
    began_ms = inside.clock.now_ms()
    if len(json.loads(await inside.call("witness of deaths", "notes"))) < 2:
        await inside.call("witness of deaths", "note", str(began_ms))
        note(inside, "lost")
        inside.die()


async def wait_for_a_note(inside: Inside) -> None:
    """Let others in until one has written something down."""
    for _ in range(PATIENCE):
        await inside.wait(25)
        if inside.sql.execute("select 1 from note where text = 'called'"):
            break
    note(inside, "handler ended")


HANDLERS: dict[str, Callable[[Inside], Awaitable[None]]] = {
    handler.__name__: handler
    for handler in (
        nothing,
        arm_again,
        arm_in_the_past,
        arm_again_and_die,
        disarm_and_die,
        keep_and_die,
        die_with_nothing_to_lose,
        die_at_once,
        wait_for_a_note,
    )
}
ACTS: dict[str, Act] = {
    act.__name__: act
    for act in (
        note,
        notes,
        note_and_fail,
        note_and_die,
        note_sync_and_die,
        note_thrice_and_die,
        note_pairs,
        note_tell_and_die,
        call,
        trace,
        slow,
        hang,
        remember,
        recall,
        forget,
        clock,
        arm,
        arm_and_die,
        disarm,
        disarm_and_arm,
        take_back_and_arm,
        armed,
    )
}


# -- queues --------------------------------------------------------------------------------------------------------


class Message(Protocol):
    """One message of a batch."""

    @property
    def attempts(self) -> int: ...

    @property
    def body_json(self) -> str: ...

    def ack(self) -> None: ...

    def retry(self, delay_s: int) -> None: ...


def batch_tag(message: Message) -> str:
    """Return whose message it is."""
    return str(json.loads(message.body_json)["id"]).split(":")[0]


async def consume(queue: str, messages: Sequence[Message], tell: Callable[[str, str], Awaitable[object]]) -> bool:
    """Note each delivery, and do what the message says for this attempt; tell whether the consumer is to throw.

    Messages are ``tag:what/what``, one ``what`` for each attempt, and the last for all further ones.
    """
    throws = False
    for message in messages:
        tag, _, plan = str(json.loads(message.body_json)["id"]).partition(":")
        await tell(tag, f"{queue} {message.attempts} of {len(messages)}")
        steps = plan.split("/")
        for what in steps[min(message.attempts, len(steps)) - 1].split("+"):
            if what == "ack":
                message.ack()
            elif what.startswith("retry"):
                message.retry(int(what[5:]))
            throws |= what == "throw"
    return throws
