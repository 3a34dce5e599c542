"""The catalog's objects on CPython: every shard and ledger with its own SQLite and alarm, over a world of jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import msgspec

from durable import envelope
from durable.catalog import Catalog
from durable.catalog_calls import CATALOG, JOBS, CatalogCalls
from durable.catalog_model import CountsQuery, DeadLetterQuery, JobQuery, OverdueQuery, Redriven
from durable.catalog_recovery import read_ledger
from durable.catalog_shards import ShardedCatalog
from durable.ledger import Entry, EntryQuery, Ledger
from durable.placement import Layout, layout_of, number_of
from durable.recovery import Page, Recoverer
from orchestrator.errors import RetryableError
from orchestrator.model import DeadLetter, DeletedJob, JobSummary
from orchestrator.testing import Crash, MemorySql, World
from orchestrator.testing.faults import VirtualClock

T = TypeVar("T")
Method = Callable[[str], object]


class Node:
    """One object: storage and an alarm that survive a crash, and code in memory that does not."""

    def __init__(self, world: CatalogWorld, name: str) -> None:
        self.world = world
        self.name = name
        self.alarm = self
        self.alarm_ms: int | None = None
        self.sql = MemorySql(world.before_write)
        self.thing: Catalog | Ledger
        self.methods: dict[str, Method]
        self.recoverer: Recoverer
        self.boot()

    @property
    def clock(self) -> VirtualClock:
        return self.world.clock

    def set(self, at_ms: int) -> None:
        assert at_ms > self.clock.now_ms(), "an alarm in the past is dropped by workerd inside alarm()"
        self.alarm_ms = at_ms

    def clear(self) -> None:
        self.alarm_ms = None

    async def get(self) -> int | None:
        return self.alarm_ms

    async def take_back(self) -> None:
        self.alarm_ms = None

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        self.world.logs.append((level, event, dict(fields)))

    def boot(self) -> None:
        """Start the code anew, as after an eviction."""
        if self.name.startswith("ledger"):
            ledger = Ledger(self.sql, number_of(self.name))
            self.thing = ledger
            read = partial(self._read_shard, ledger)
            self.methods = self._ledger_methods(ledger)
        else:
            catalog = Catalog(self.sql, self.name)
            self.thing = catalog
            read = partial(read_ledger, catalog, self.world.calls)
            self.methods = self._catalog_methods(catalog)
        self.recoverer = Recoverer(self, self.thing.recovery, read, what=self.name)

    def call(self, method: str, body: str = "") -> str:
        """Answer a call as the object's class does."""
        if method in {"letters", "retire"}:
            return envelope.answer(lambda: self.methods[method](body))

        def entered() -> object:
            if isinstance(self.thing, Catalog) and layout_of(self.name) != self.world.layout:
                raise RetryableError("another layout", code="object_unreachable")
            self.thing.migrate()
            value = self.methods[method](body)
            self.recoverer.rearm()
            return value

        return envelope.answer(entered)

    async def fire(self) -> None:
        """Run the alarm."""
        self.alarm_ms = None
        try:
            await self.recoverer.tick()
            self.sql.commit()
        except Crash:
            # What it had begun besides ends with it.
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            self.crash()

    def crash(self) -> None:
        """Lose memory and what was not durable; the platform runs the alarm again."""
        self.sql.discard()
        self.alarm_ms = self.clock.now_ms() + 2_000
        self.world.crashes += 1
        self.boot()

    async def _read_shard(self, ledger: Ledger, source: int, after: str) -> Page:
        return await ledger.read(self.world.layout.names(), self.world.calls, source, after)

    def _ledger_methods(self, ledger: Ledger) -> dict[str, Method]:
        return {
            "add": lambda body: ledger.add(_read(body, Entry)),
            "remove": lambda body: ledger.remove(_read(body, Entry)),
            "entries": lambda body: ledger.entries(_read(body, EntryQuery)),
            "touch": lambda _: None,
            "layouts": lambda _: ledger.layouts(self.world.layout),
            "retire": lambda shards: ledger.retire(Layout(int(shards))),
        }

    def _catalog_methods(self, catalog: Catalog) -> dict[str, Method]:
        return {
            "publish": lambda body: (catalog.publish(_read(body, JobSummary)), None)[1],
            "forget": lambda body: catalog.forget(_read(body, DeletedJob)),
            "list_jobs": lambda body: catalog.list_jobs(_read(body, JobQuery)),
            "overdue": lambda body: catalog.overdue(_read(body, OverdueQuery)),
            "counts": lambda body: catalog.counts(_read(body, CountsQuery)),
            "add_dead_letter": lambda body: catalog.letters.add(_read(body, DeadLetter)),
            "find_dead_letter": lambda letter_id: catalog.letters.find(letter_id),
            "list_dead_letters": lambda body: catalog.list_dead_letters(_read(body, DeadLetterQuery)),
            "mark_redriven": lambda body: catalog.letters.mark(_read(body, Redriven)),
            "entries": lambda body: catalog.entries(_read(body, EntryQuery)),
            "state": lambda _: catalog.state(),
            "rebuild": lambda _: catalog.rebuild(),
            "letters": lambda cursor: catalog.letters.list(DeadLetterQuery(kind="message", cursor=cursor or None)),
            "retire": lambda _: self.world.wipe(self.name),
        }


class CatalogWorld:
    """The whole catalog of a world of jobs."""

    def __init__(self, jobs: World | None = None, *, shards: int = 4) -> None:
        self.jobs = jobs or World()
        self.layout = Layout(shards)
        self.nodes: dict[str, Node] = {}
        self.logs: list[tuple[str, str, dict[str, object]]] = []
        #: Objects that do not answer.
        self.silent: set[str] = set()
        self.crashes = self.writes = 0
        self.crash_at: set[int] = set()
        self.calls = CatalogCalls(lambda: self.layout, self.call)

    @property
    def clock(self) -> VirtualClock:
        return self.jobs.clock

    @property
    def catalog(self) -> ShardedCatalog:
        """The catalog as one."""
        return ShardedCatalog(self.layout, self.calls.shard)

    async def call(self, binding: str, name: str, method: str, *args: str) -> str:
        """Call an object."""
        for node in self.nodes.values():
            node.sql.commit()  # the output gate: what was written before is durable when a message leaves
        await asyncio.sleep(0)
        if name in self.silent:
            raise RetryableError("away", code="object_unreachable")
        if binding == JOBS:
            return envelope.answer(lambda: self.jobs.call(name, lambda engine: engine.summary()))
        assert binding == CATALOG or name.startswith("ledger")
        node = self.nodes.setdefault(name, Node(self, name))
        try:
            answer = node.call(method, *args)
            node.sql.commit()
        except Crash:
            node.crash()
            raise RetryableError("crashed", code="object_unreachable") from None
        return answer

    def before_write(self) -> None:
        self.writes += 1
        if self.writes in self.crash_at:
            raise Crash

    def wipe(self, name: str) -> None:
        """Lose everything that an object has stored."""
        node = self.nodes[name]
        node.sql = MemorySql(self.before_write)
        node.alarm_ms = None
        node.boot()

    async def settle(self, *, for_ms: int | None = None, move_time: bool = True) -> None:
        """Run alarms until nothing is due within a minute, or for so long."""
        began_ms = self.clock.now_ms()
        until_ms = began_ms + (60_000 if for_ms is None else for_ms)
        while True:
            armed = [node for node in self.nodes.values() if node.alarm_ms is not None]
            node = min(armed, key=lambda item: (item.alarm_ms or 0, item.name), default=None)
            if node is None or node.alarm_ms is None or node.alarm_ms > until_ms:
                if for_ms is not None:
                    self.clock.time_ms = until_ms
                return
            self.clock.time_ms = max(self.clock.time_ms, node.alarm_ms)
            until_ms = max(until_ms, self.clock.time_ms + 60_000) if for_ms is None else until_ms
            await node.fire()
            if not move_time:
                self.clock.time_ms = began_ms


def _read(body: str, into: type[T]) -> T:
    return msgspec.json.decode(body, type=into)
