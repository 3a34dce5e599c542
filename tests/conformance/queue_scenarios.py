"""How often queues deliver, on every platform."""

from __future__ import annotations

from tests.conformance.object_scenarios import notes
from tests.conformance.platform import Platform, scenario, until


async def deliveries(platform: Platform, tag: str) -> list[tuple[str, int]]:
    """Return through which queue a message came, and as which attempt."""
    found = [note.split() for note in await notes(platform, f"queue {tag}")]
    return [(note[0], int(note[1])) for note in found]


async def expect(platform: Platform, tag: str, *expected: tuple[str, int]) -> None:
    """Wait until a message was delivered so, and check that this is all."""

    async def delivered() -> bool:
        return len(await deliveries(platform, tag)) >= len(expected)

    await until(platform, delivered, within_ms=15_000)
    await platform.wait(1_500)
    assert await deliveries(platform, tag) == [*expected]


@scenario("§2.2")
async def a_message_is_delivered_until_it_is_done(platform: Platform) -> None:
    await platform.send("plain", "acked:ack")
    await platform.send("plain", "left:")
    await platform.send("plain", "retried:retry0/ack")
    await expect(platform, "acked", ("plain", 1))
    await expect(platform, "left", ("plain", 1))
    await expect(platform, "retried", ("plain", 1), ("plain", 2))


@scenario("§2.2")
async def the_first_word_about_a_message_counts(platform: Platform) -> None:
    await platform.send("plain", "done:ack+retry0")
    await platform.send("plain", "undone:retry0+ack/ack")
    await expect(platform, "done", ("plain", 1))
    await expect(platform, "undone", ("plain", 1), ("plain", 2))


@scenario("§2.2")
async def a_pause_before_the_next_delivery_is_kept(platform: Platform) -> None:
    begin_ms = platform.now_ms()
    await platform.send("plain", "paused:retry2/ack")
    await expect(platform, "paused", ("plain", 1), ("plain", 2))
    assert platform.now_ms() - begin_ms >= 2_000


@scenario("§2.2, §2.3")
async def after_its_retries_a_message_is_dead(platform: Platform) -> None:
    """As many retries as configured after the first delivery; then the dead letter queue's, counted anew."""
    await platform.send("plain", "hopeless:retry0")
    await expect(platform, "hopeless", ("plain", 1), ("plain", 2), ("plain", 3), ("dead", 1), ("dead", 2), ("dead", 3))


@scenario("§2.3", strikes=("consumer_throws:throwing:1",))
async def what_was_acknowledged_comes_again_when_the_consumer_throws(platform: Platform) -> None:
    """Locally; in production it does not. Ours never throws, and takes what comes again."""
    await platform.send("throwing", "thrown:ack+throw/ack")
    await expect(platform, "thrown", ("throwing", 1), ("throwing", 2))


@scenario("§2.3", crashes=True, strikes=("queue_loses:plain:1",))
async def a_restart_of_the_local_runtime_loses_what_is_queued(platform: Platform) -> None:
    """In production it does not: the simulator draws whether."""
    sent_ms = platform.now_ms()
    await platform.send("plain", "gone:ack", delay_s=5)
    await platform.crash()
    await platform.wait(max(0, sent_ms + 6_500 - platform.now_ms()))
    assert await deliveries(platform, "gone") == []
