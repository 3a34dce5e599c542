"""What works beside the jobs of a simulation: the catalog, the sweeper that asks it for late jobs, queue consumers."""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Protocol

import msgspec

from orchestrator.control import take
from orchestrator.errors import RequestError, RetryableError, UnknownJobError
from orchestrator.lifecycle import JobStatus
from orchestrator.model import DeletedJob, JobSummary
from orchestrator.ports import Sql
from orchestrator.testing.host import Copy, EngineHost, Host

if TYPE_CHECKING:
    from orchestrator.testing.queues import Message
    from orchestrator.testing.simulation import Simulation

#: How often the platform's cron comes, and when a job counts as late.
SWEEP_MS, GRACE_MS = 60_000, 60_000


class Backstage(Protocol):
    """The part of an orchestrator that is not in the jobs' objects and their lanes."""

    def hosts(self) -> Iterable[Host]:
        """Return its objects."""
        ...

    def status(self, job_id: str) -> JobStatus | None:
        """Return what the catalog believes of a job."""
        ...

    def unrest(self) -> list[str]:
        """Return what of its own has not come to rest yet, in words."""
        ...

    async def publish(self, sender: Copy, summary: JobSummary) -> None:
        """Tell the catalog how a job is."""
        ...

    async def forget(self, sender: Copy, job: DeletedJob) -> None:
        """Take a deleted job off the catalog."""
        ...

    async def expect(self, sender: Copy | None, job_id: str, *, firm: bool = False) -> None:
        """Have the catalog look for a job: one being recorded, unless it tells of itself, or (``firm``) one anyway."""
        ...

    async def tick(self) -> None:
        """Do what the platform's cron does every minute."""
        ...

    async def consume(self, queue: str, message: Message) -> None:
        """Handle a queue's message: acknowledge it or have it delivered again."""
        ...

    async def consume_dead(self, message: Message) -> None:
        """Handle a message that its queue has given up."""
        ...


class SmallCatalog:
    """The least that a sweeper needs, in SQL."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    def publish(self, summary: JobSummary) -> None:
        """Take note of a job's state unless a later one is known."""
        self._migrate()
        self._sql.execute("delete from expected where id = ? and firm = 0", summary.id)
        self._sql.execute(
            """insert into job (id, revision, status, due_at_ms) values (?, ?, ?, ?)
            on conflict (id) do update set revision = excluded.revision, status = excluded.status,
            due_at_ms = excluded.due_at_ms where excluded.revision >= revision""",
            summary.id,
            summary.revision,
            summary.status.value,
            summary.due_at_ms,
        )

    def forget(self, job: DeletedJob) -> None:
        """Take a deleted job off the list."""
        self._migrate()
        self._sql.execute("delete from job where id = ?", job.id)

    def expect(self, job_id: str, now_ms: int, firm: bool) -> None:
        """Take note that a job is being recorded, or acts again."""
        self._migrate()
        self._sql.execute(
            "insert or replace into expected (id, at_ms, firm) values (?, ?, ?)", job_id, now_ms, int(firm)
        )

    def looked_for(self, job_id: str) -> None:
        """Take note that a job was looked for."""
        self._migrate()
        self._sql.execute("delete from expected where id = ?", job_id)

    def late(self, now_ms: int) -> list[str]:
        """Return the jobs that should have acted, or told of themselves, long ago."""
        self._migrate()
        rows = self._sql.execute(
            "select id from job where due_at_ms < ? union select id from expected where at_ms < ? order by id",
            now_ms - GRACE_MS,
            now_ms - GRACE_MS,
        )
        return [str(row[0]) for row in rows]

    def status(self, job_id: str) -> JobStatus | None:
        """Return what the catalog believes of a job."""
        known = self._sql.execute("select 1 from sqlite_master where name = 'job'")
        rows = self._sql.execute("select status from job where id = ?", job_id) if known else []
        return JobStatus(str(rows[0][0])) if rows else None

    def _migrate(self) -> None:
        if not self._sql.execute("select 1 from sqlite_master where name = 'expected'"):
            self._sql.execute(
                "create table job (id text primary key, revision integer, status text, due_at_ms integer)"
            )
            self._sql.execute("create table expected (id text primary key, at_ms int, firm int)")


class CatalogHost(EngineHost[SmallCatalog]):
    """The catalog's object."""

    counted = False

    def boot(self) -> Copy:
        """See :class:`orchestrator.testing.host.Host`."""
        copy = Copy(self.world, self)
        self.engine = SmallCatalog(copy)
        return copy

    def tick(self) -> Coroutine[object, object, None]:
        """See :class:`orchestrator.testing.host.Host`."""
        raise AssertionError("a catalog has no alarm")


class SmallBackstage:
    """The least of everything: enough to heal lost alarms and to hand jobs over.

    Args:
        simulation: whose.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._host = CatalogHost(simulation, "catalog")

    def hosts(self) -> Iterable[Host]:
        """See :class:`Backstage`."""
        return [self._host]

    def status(self, job_id: str) -> JobStatus | None:
        """See :class:`Backstage`."""
        return self._host.engine.status(job_id)

    def unrest(self) -> list[str]:
        """See :class:`Backstage`."""
        return []

    async def publish(self, sender: Copy, summary: JobSummary) -> None:
        """See :class:`Backstage`."""
        await self._simulation.ask(sender, "publish", self._host, lambda catalog: catalog.publish(summary))

    async def forget(self, sender: Copy, job: DeletedJob) -> None:
        """See :class:`Backstage`."""
        await self._simulation.ask(sender, "forget", self._host, lambda catalog: catalog.forget(job))

    async def expect(self, sender: Copy | None, job_id: str, *, firm: bool = False) -> None:
        """See :class:`Backstage`."""
        now_ms = self._simulation.clock.now_ms()
        await self._simulation.ask(sender, "expect", self._host, lambda catalog: catalog.expect(job_id, now_ms, firm))

    async def tick(self) -> None:
        """See :class:`Backstage`."""
        now_ms = self._simulation.clock.now_ms()
        try:
            late = await self._simulation.ask(None, "late", self._host, lambda catalog: catalog.late(now_ms))
        except RetryableError:
            return
        for job_id in late:
            self._simulation.spawn(self._look(job_id))

    async def _look(self, job_id: str) -> None:
        client = self._simulation.client
        try:
            summary = await client.look(job_id)
            await self._simulation.ask(None, "publish", self._host, lambda catalog: catalog.publish(summary))
        except UnknownJobError:
            pass
        except RetryableError:
            return  # the next tick comes in a minute
        with contextlib.suppress(RetryableError):
            await self._simulation.ask(None, "looked for", self._host, lambda catalog: catalog.looked_for(job_id))

    async def consume(self, queue: str, message: Message) -> None:
        """See :class:`Backstage`."""
        job_id = msgspec.json.decode(message.body_json, type=dict[str, str])["id"]
        try:
            await self._simulation.wait_for(None, "dispatch", self._simulation.object(job_id), take)
        except RetryableError:
            message.retry(2**message.attempts)
        except RequestError:
            self._simulation.queues.dead.append(job_id)

    async def consume_dead(self, message: Message) -> None:
        """See :class:`Backstage`."""
        await self.consume("dead", message)
