"""``LedgerObject``: the Durable Object of one ledger. Strings of JSON in, strings of JSON out.

Methods answer ``{"ok": …}`` or ``{"error": …}`` like those of ``JobObject``.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from workers import DurableObject

from durable import bridge, envelope
from durable.ledger import Entry, EntryQuery, Ledger
from durable.object_calls import catalog_calls
from durable.object_platform import ObjectPorts
from durable.placement import Layout, number_of
from durable.recovery import Page, Recoverer


class LedgerObject(DurableObject):
    """Which jobs there are. The constructor only remembers (platform.md §4.5)."""

    def __init__(self, ctx: object, env: object) -> None:
        super().__init__(ctx, env)
        name = bridge.object_name(ctx)
        platform = ObjectPorts(bridge.Storage(ctx))
        self._calls = catalog_calls(bridge.Env(env))
        self._ledger = Ledger(platform.sql, number_of(name))
        self._recoverer = Recoverer(platform, self._ledger.recovery, self._read, what=name)

    async def add(self, body: str) -> str:
        """Take note that there is a job: ``Entry`` in."""
        return self._answer(lambda: self._ledger.add(msgspec.json.decode(body, type=Entry)))

    async def remove(self, body: str) -> str:
        """Take note that a job is no more: ``Entry`` in."""
        return self._answer(lambda: self._ledger.remove(msgspec.json.decode(body, type=Entry)))

    async def entries(self, body: str) -> str:
        """The jobs of a shard: ``EntryQuery`` in, ``EntryPage`` out."""
        return self._answer(lambda: self._ledger.entries(msgspec.json.decode(body, type=EntryQuery)))

    async def touch(self) -> str:
        """Notice that everything was lost, if it was, or the alarm."""
        await self._recoverer.look()
        return self._answer(lambda: None)

    async def layouts(self) -> str:
        """Take note of the number of shards in use; the others that are not retired out."""
        return self._answer(lambda: self._ledger.layouts(self._calls.layout))

    async def retire(self, shards: str) -> str:
        """Take note that the shards of a layout are deleted: how many they were in."""
        return self._answer(lambda: self._ledger.retire(Layout(int(shards))))

    async def alarm(self, info: object = None) -> None:
        """Recover."""
        await self._recoverer.tick()

    async def _read(self, source: int, after: str, /) -> Page:
        return await self._ledger.read(self._calls.layout.names(), self._calls, source, after)

    def _answer(self, call: Callable[[], object]) -> str:
        def entered() -> object:
            self._ledger.migrate()
            value = call()
            self._recoverer.rearm()
            return value

        return envelope.answer(entered)
