"""What works beside the jobs of a simulation: the catalog, the sweeper that asks it for late jobs, queue consumers."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Protocol

import msgspec

from orchestrator.errors import RequestError, RetryableError
from orchestrator.lifecycle import JobStatus
from orchestrator.model import DeletedJob, JobSummary
from orchestrator.ports import Sql
from orchestrator.testing.host import Copy, EngineHost

if TYPE_CHECKING:
    from orchestrator.testing.queues import Message
    from orchestrator.testing.simulation import Simulation

#: How often the platform's cron comes, and when a job counts as late.
SWEEP_MS, GRACE_MS = 60_000, 60_000


class CatalogModel(Protocol):
    """A catalog as the simulation sees it."""

    def publish(self, summary: JobSummary) -> None:
        """Take note of a job's state unless a later one is known."""
        ...

    def forget(self, job: DeletedJob) -> None:
        """Take a deleted job off the list."""
        ...

    def late(self, now_ms: int) -> list[str]:
        """Return the jobs that should have acted long ago."""
        ...

    def status(self, job_id: str) -> JobStatus | None:
        """Return what the catalog believes of a job."""
        ...


class Backstage(Protocol):
    """The part of an orchestrator that is not in the objects."""

    def open_catalog(self, sql: Sql) -> CatalogModel:
        """Open the catalog on an object's storage."""
        ...

    async def sweep_for_ever(self, simulation: Simulation) -> None:
        """Look after late jobs, every minute."""
        ...

    async def consume(self, simulation: Simulation, queue: str, message: Message) -> None:
        """Handle a queue's message: acknowledge it or have it delivered again."""
        ...

    async def consume_dead(self, simulation: Simulation, message: Message) -> None:
        """Handle a message that its queue has given up."""
        ...


class CatalogHost(EngineHost[CatalogModel]):
    """The catalog's object."""

    def __init__(self, simulation: Simulation, backstage: Backstage) -> None:
        self._backstage = backstage
        super().__init__(simulation, "catalog")

    def boot(self) -> Copy:
        """See :class:`orchestrator.testing.host.Host`."""
        copy = Copy(self.world, self)
        self.engine = self._backstage.open_catalog(copy)
        return copy

    def tick(self) -> Coroutine[object, object, None]:
        """See :class:`orchestrator.testing.host.Host`."""
        raise AssertionError("a catalog has no alarm")


class SmallCatalog:
    """The least that a sweeper needs, in SQL."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    def publish(self, summary: JobSummary) -> None:
        """See :class:`CatalogModel`."""
        self._sql.execute(
            """create table if not exists job (
            id text primary key, revision integer, status text, due_at_ms integer) without rowid"""
        )
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
        """See :class:`CatalogModel`."""
        if self._exists():
            self._sql.execute("delete from job where id = ?", job.id)

    def late(self, now_ms: int) -> list[str]:
        """See :class:`CatalogModel`."""
        if not self._exists():
            return []
        rows = self._sql.execute("select id from job where due_at_ms < ? order by id", now_ms - GRACE_MS)
        return [str(row[0]) for row in rows]

    def status(self, job_id: str) -> JobStatus | None:
        """See :class:`CatalogModel`."""
        rows = self._sql.execute("select status from job where id = ?", job_id) if self._exists() else []
        return JobStatus(str(rows[0][0])) if rows else None

    def _exists(self) -> bool:
        return bool(self._sql.execute("select 1 from sqlite_master where name = 'job'"))


class SmallBackstage:
    """The least of everything: enough to heal lost alarms and to hand jobs over."""

    def open_catalog(self, sql: Sql) -> CatalogModel:
        """See :class:`Backstage`."""
        return SmallCatalog(sql)

    async def sweep_for_ever(self, simulation: Simulation) -> None:
        """See :class:`Backstage`."""
        while True:
            await simulation.sleep(SWEEP_MS)
            late = await simulation.client.ask_catalog("late", lambda catalog: catalog.late(simulation.clock.now_ms()))
            for job_id in late:
                simulation.spawn(simulation.client.look(job_id))

    async def consume(self, simulation: Simulation, queue: str, message: Message) -> None:
        """See :class:`Backstage`."""
        job_id = msgspec.json.decode(message.body_json, type=dict[str, str])["id"]
        try:
            await simulation.client.once("dispatch", job_id, lambda engine: engine.dispatch())
        except RetryableError:
            message.retry(2**message.attempts)
        except RequestError:
            simulation.queues.dead.append(job_id)

    async def consume_dead(self, simulation: Simulation, message: Message) -> None:
        """See :class:`Backstage`."""
        await self.consume(simulation, "dead", message)
