"""What the platform's tick does for the catalog: lost ledgers notice it, and shards of another layout are deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from durable.catalog_model import DeadLetterPage
from durable.placement import Layout
from orchestrator.logs import describe
from orchestrator.model import DeadLetter
from orchestrator.ports import Clock

_MINUTE_MS = 60_000


class UpkeepPort(Protocol):
    """What the upkeep does to the outside."""

    async def layouts(self) -> list[int]:
        """Return the numbers of shards that were in use before and are not retired yet."""
        ...

    async def letters(self, shard: str, cursor: str | None) -> DeadLetterPage:
        """Return dead letters of messages that a shard keeps, which may be one of a layout not in use any more."""
        ...

    async def add_dead_letter(self, letter: DeadLetter) -> None:
        """Keep a dead letter."""
        ...

    async def retire(self, layout: Layout) -> None:
        """Delete the shards of a layout that is not in use any more."""
        ...

    async def touch_ledger(self, number: int) -> None:
        """Have a ledger notice that it was lost. Shards notice it when the sweeper asks them."""
        ...


class Log(Protocol):
    """Writes one structured log line."""

    def __call__(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Write the line."""
        ...


async def keep_up(port: UpkeepPort, clock: Clock, log: Log) -> None:
    """Look after the catalog. Never raises: the next tick comes in a minute."""
    try:
        await port.touch_ledger(clock.now_ms() // _MINUTE_MS)
        for shards in await port.layouts():
            layout = Layout(shards)
            moved = sum([await _move_letters(port, shard) for shard in layout.names()])
            await port.retire(layout)
            log("info", "catalog.layout_retired", {"shards": shards, "letters_moved": moved})
    except Exception as error:
        log("error", "catalog.upkeep_failed", {"error": describe(error)})


async def _move_letters(port: UpkeepPort, shard: str) -> int:
    """Move what no job could tell again; return how many there were. Those moved before a crash are moved again."""
    moved, cursor = 0, None
    while True:
        page = await port.letters(shard, cursor)
        for letter in page.dead_letters:
            await port.add_dead_letter(letter)
        moved += len(page.dead_letters)
        cursor = page.next_cursor
        if cursor is None:
            return moved
