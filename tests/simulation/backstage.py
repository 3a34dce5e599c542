"""The real catalog, ledgers, sweeper, consumers and schedules of ``durable`` behind the jobs of a simulation."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import cache, partial
from typing import TypeVar

import msgspec

from durable import envelope
from durable.catalog import Catalog
from durable.catalog_calls import JOBS, CatalogCalls
from durable.catalog_model import JobQuery, OverdueQuery
from durable.catalog_recovery import read_ledger
from durable.catalog_shards import ShardedCatalog
from durable.catalog_upkeep import keep_up
from durable.consumer import consume, consume_dead
from durable.ledger import Entry, EntryQuery, Ledger
from durable.placement import Layout, number_of
from durable.recovery import Page, Recoverer
from durable.sweeper import sweep
from orchestrator.control import look_after, take
from orchestrator.lifecycle import JobStatus
from orchestrator.model import DeadLetter, DeletedJob, JobSummary
from orchestrator.testing import MemorySql
from orchestrator.testing.host import Copy, EngineHost, Host
from orchestrator.testing.queues import Message
from orchestrator.testing.simulation import Simulation
from tests.simulation.cron import Schedules

T = TypeVar("T")
#: The shards of the catalog; two are enough for rows to lie apart.
LAYOUT = Layout(2)
#: Calls that come every minute, and look after the object's alarm.
_LOOKS = frozenset({"overdue", "touch"})


class Node(EngineHost["Kept"]):
    """The object of a shard or a ledger."""

    def __init__(self, backstage: RealBackstage, name: str) -> None:
        self._backstage = backstage
        super().__init__(backstage.simulation, name)
        self.sql.become(_old(name))

    def boot(self) -> Copy:
        """See :class:`orchestrator.testing.host.Host`."""
        copy = Copy(self.world, self)
        calls = CatalogCalls(lambda: LAYOUT, partial(self._backstage.call, copy))
        self.engine = (_KeptLedger if self.name.startswith("ledger") else _KeptShard)(copy, self.name, calls)
        return copy

    def tick(self) -> Coroutine[object, object, None]:
        """See :class:`orchestrator.testing.host.Host`."""
        return self.engine.recoverer.tick()

    def next_due_ms(self) -> int | None:
        """See :class:`orchestrator.testing.host.Host`."""
        known = self.sql.execute("select 1 from sqlite_master where name = 'recovery'")
        rows = self.sql.execute("select due_at_ms from recovery") if known else []
        return None if not rows or rows[0][0] is None else int(rows[0][0])


class Kept:
    """What is in memory of a shard or a ledger: the tables, the methods that its class has, and its recovery."""

    def __init__(self, copy: Copy, tables: Catalog | Ledger, methods: Mapping[str, Callable[[str], object]]) -> None:
        self.tables = tables
        self._methods = methods
        self.recoverer = Recoverer(copy, tables.recovery, self.read, what=copy.host.name)

    async def read(self, source: int, after: str, /) -> Page:
        """Read a page of what the others know."""
        raise NotImplementedError

    async def look(self, method: str, body: str = "") -> str:
        """Answer a call that comes every minute, and mends a lost alarm."""
        await self.recoverer.look()
        return self.call(method, body)

    def call(self, method: str, body: str = "") -> str:
        """Answer a call as the object's class does."""

        def entered() -> object:
            self.tables.migrate()
            value = self._methods[method](body)
            self.recoverer.rearm()
            return value

        return envelope.answer(entered)


class _KeptLedger(Kept):
    def __init__(self, copy: Copy, name: str, calls: CatalogCalls) -> None:
        ledger = self._ledger = Ledger(copy, number_of(name))
        self._calls = calls
        methods: dict[str, Callable[[str], object]] = {
            "add": lambda body: ledger.add(_read(body, Entry)),
            "remove": lambda body: ledger.remove(_read(body, Entry)),
            "entries": lambda body: ledger.entries(_read(body, EntryQuery)),
            "touch": lambda _: None,
            "layouts": lambda _: ledger.layouts(LAYOUT),
        }
        super().__init__(copy, ledger, methods)

    async def read(self, source: int, after: str, /) -> Page:
        return await self._ledger.read(LAYOUT.names(), self._calls, source, after)


class _KeptShard(Kept):
    def __init__(self, copy: Copy, name: str, calls: CatalogCalls) -> None:
        shard = self._shard = Catalog(copy, name)
        self._calls = calls
        now_ms = copy.clock.now_ms
        methods: dict[str, Callable[[str], object]] = {
            "publish": lambda body: (shard.publish(_read(body, JobSummary)), None)[1],
            "forget": lambda body: shard.forget(_read(body, DeletedJob)),
            "expect": lambda job_id: shard.expect(job_id, now_ms()),
            "look_anyway": lambda job_id: shard.expect(job_id, now_ms(), firm=True),
            "looked_for": shard.looked_for,
            "list_jobs": lambda body: shard.list_jobs(_read(body, JobQuery)),
            "overdue": lambda body: shard.overdue(_read(body, OverdueQuery)),
            "add_dead_letter": lambda body: shard.letters.add(_read(body, DeadLetter)),
            "entries": lambda body: shard.entries(_read(body, EntryQuery)),
        }
        super().__init__(copy, shard, methods)

    async def read(self, source: int, after: str, /) -> Page:
        return await read_ledger(self._shard, self._calls, source, after)


@cache
def _old(name: str) -> MemorySql:
    """Return the storage of an object that has existed for long: its tables are made, and it has nothing to recover."""
    sql = MemorySql()
    tables = Ledger(sql, number_of(name)) if name.startswith("ledger") else Catalog(sql, name)
    tables.migrate()
    sql.execute("update recovery set passes = 2, complete = 1, due_at_ms = null")
    sql.commit()
    return sql


class RealBackstage:
    """Implements :class:`orchestrator.testing.catalog.Backstage` with the modules that are deployed.

    Args:
        simulation: whose.
    """

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.schedules = Schedules(simulation)
        self._nodes: dict[str, Node] = {}
        self._calls = CatalogCalls(lambda: LAYOUT, partial(self.call, None))
        #: The catalog as the API sees it.
        self.catalog = ShardedCatalog(LAYOUT, self._calls.shard)
        self._ports = _Ports(simulation, self._calls, self.catalog)

    def hosts(self) -> Iterable[Host]:
        """See :class:`orchestrator.testing.catalog.Backstage`."""
        return [*self._nodes.values(), *self.schedules.hosts()]

    def node(self, name: str) -> Node:
        """Return the object of a shard or a ledger."""
        if name not in self._nodes:
            self._nodes[name] = Node(self, name)
        return self._nodes[name]

    def lose(self, job_id: str) -> None:
        """Have the shard that knows a job lose everything, as a mistaken operator might.

        Not while it expects jobs: nothing else would lead to those, and no fault of the platform takes both.
        """
        node = self.node(LAYOUT.shard_of(job_id))
        if not node.sql.execute("select 1 from sqlite_master where name = 'expected'"):
            return
        if not node.sql.execute("select 1 from expected"):
            self.simulation.kill(node)
            node.sql.become(MemorySql())
            node.retry_alarm(None)

    def status(self, job_id: str) -> JobStatus | None:
        """See :class:`orchestrator.testing.catalog.Backstage`."""
        node = self._nodes.get(LAYOUT.shard_of(job_id))
        known = node and node.sql.execute("select 1 from sqlite_master where name = 'job'")
        rows = node.sql.execute("select status from job where id = ?", job_id) if node and known else []
        return JobStatus(str(rows[0][0])) if rows else None

    def unrest(self) -> list[str]:
        """See :class:`orchestrator.testing.catalog.Backstage`."""
        recovering = [name for name, node in self._nodes.items() if node.next_due_ms() is not None]
        return [f"{name} recovers" for name in recovering] + self.schedules.unrest()

    async def call(self, sender: Copy | None, binding: str, name: str, method: str, *args: str) -> str:
        """Call an object as :func:`durable.object_calls.call_object` does."""
        if binding == JOBS:
            job = self.simulation.object(name)
            return await self.simulation.wait_for(
                sender, method, job, lambda engine: envelope.answer_later(look_after(engine))
            )
        node = self.node(name)
        if method in _LOOKS:
            return await self.simulation.wait_for(sender, method, node, lambda kept: kept.look(method, *args))
        return await self.simulation.ask(sender, method, node, lambda kept: kept.call(method, *args))

    # -- what jobs and their callers say -----------------------------------------------------------------------------

    async def publish(self, sender: Copy, summary: JobSummary) -> None:
        """See :class:`orchestrator.testing.catalog.Backstage`."""
        await self._calls_of(sender).publish(summary)

    async def forget(self, sender: Copy, job: DeletedJob) -> None:
        """See :class:`orchestrator.testing.catalog.Backstage`."""
        await self._calls_of(sender).forget(job)

    async def expect(self, sender: Copy | None, job_id: str, *, firm: bool = False) -> None:
        """See :class:`orchestrator.testing.catalog.Backstage`."""
        await self._calls_of(sender).expect(job_id, firm=firm)

    def _calls_of(self, sender: Copy | None) -> CatalogCalls:
        return CatalogCalls(lambda: LAYOUT, partial(self.call, sender))

    # -- what the platform calls -------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """See :class:`orchestrator.testing.catalog.Backstage`."""
        await sweep(self._ports, self.simulation.clock)
        await keep_up(self._calls, self.simulation.clock, self._ports.log)
        await self.schedules.go_round()

    async def consume(self, queue: str, message: Message) -> None:
        """See :class:`orchestrator.testing.catalog.Backstage`."""
        await consume(queue, [message], self._ports, self.simulation.clock)

    async def consume_dead(self, message: Message) -> None:
        """See :class:`orchestrator.testing.catalog.Backstage`."""
        await consume_dead([message], self._ports, self.simulation.clock)


class _Ports:
    """Implements the ports of the sweeper and of the consumers."""

    def __init__(self, simulation: Simulation, calls: CatalogCalls, catalog: ShardedCatalog) -> None:
        self._simulation = simulation
        self.overdue = catalog.overdue
        self.publish = catalog.publish
        self.add_dead_letter = catalog.add_dead_letter
        self.summary = calls.summary
        self.looked_for = calls.looked_for

    async def dispatch(self, job_id: str) -> JobStatus:
        return await self._simulation.wait_for(None, "dispatch", self._simulation.object(job_id), take)

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        self._simulation.logs.append((level, event, dict(fields)))


def _read(body: str, into: type[T]) -> T:
    return msgspec.json.decode(body, type=into)
