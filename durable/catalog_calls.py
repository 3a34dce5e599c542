"""Calls to the objects of the catalog: its shards and ledgers, and the jobs behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from durable import envelope
from durable.catalog_model import DeadLetterPage
from durable.envelope import text_of
from durable.ledger import Entry, EntryPage, EntryQuery
from durable.placement import LEDGERS, Layout, ledger_name, ledger_of
from orchestrator.model import DeadLetter, DeletedJob, JobSummary

T = TypeVar("T")

JOBS = "JOBS"
CATALOG = "CATALOG"
LEDGER = "LEDGERS"


class ObjectCall(Protocol):
    """Calls a method of an object, as :func:`durable.object_calls.call_object` does."""

    async def __call__(self, binding: str, name: str, method: str, *args: str) -> str:
        """Call the object."""
        ...


class CatalogCalls:
    """Implements the ports of shards and ledgers that recover, and what jobs tell the catalog.

    Args:
        layout: reads which shards are in use.
        call: calls an object.
    """

    def __init__(self, layout: Callable[[], Layout], call: ObjectCall) -> None:
        self._layout = layout
        self._call = call

    @property
    def layout(self) -> Layout:
        """The shards in use.

        Raises:
            OrchestratorError: the setting is wrong (code ``invalid_setting``).
        """
        return self._layout()

    async def shard(self, name: str, method: str, *args: str) -> str:
        """Call a shard; what it answers, unread."""
        return await self._call(CATALOG, name, method, *args)

    async def publish(self, summary: JobSummary) -> None:
        """Bring the catalog up to date. A new job is in its ledger before the catalog hears of it."""
        if summary.first:
            entry = Entry(summary.id, summary.created_at_ms)
            await self._ledger(ledger_of(summary.id), "add", type(None), text_of(entry))
        await self._shard(summary.id, "publish", text_of(summary))

    async def expect(self, job_id: str, *, firm: bool = False) -> None:
        """Have a job looked for: one that is being recorded, unless it tells of itself, or (``firm``) one anyway."""
        await self._shard(job_id, "look_anyway" if firm else "expect", job_id)

    async def looked_for(self, job_id: str) -> None:
        """Take note that a job was looked for."""
        await self._shard(job_id, "looked_for", job_id)

    async def forget(self, job: DeletedJob) -> None:
        """Take a deleted job off the catalog, then off its ledger."""
        await self._shard(job.id, "forget", text_of(job))
        await self.unregister(Entry(job.id, job.created_at_ms))

    async def unregister(self, entry: Entry) -> None:
        """See :class:`durable.catalog_recovery.JobsPort`."""
        await self._ledger(ledger_of(entry.id), "remove", type(None), text_of(entry))

    async def ledger_entries(self, ledger: int, query: EntryQuery) -> EntryPage:
        """See :class:`durable.catalog_recovery.JobsPort`."""
        return await self._ledger(ledger_name(ledger), "entries", EntryPage, text_of(query))

    async def summary(self, job_id: str) -> JobSummary:
        """See :class:`durable.catalog_recovery.JobsPort`."""
        return envelope.unwrap(await self._call(JOBS, job_id, "summary"), JobSummary)

    async def shard_entries(self, shard: str, query: EntryQuery) -> EntryPage:
        """See :class:`durable.ledger.ShardPort`."""
        return envelope.unwrap(await self.shard(shard, "entries", text_of(query)), EntryPage)

    async def layouts(self) -> list[int]:
        """Return the numbers of shards that were in use before and are not retired yet."""
        return await self._ledger(ledger_name(0), "layouts", list[int])

    async def letters(self, shard: str, cursor: str | None) -> DeadLetterPage:
        """See :class:`durable.catalog_upkeep.UpkeepPort`."""
        return envelope.unwrap(await self.shard(shard, "letters", cursor or ""), DeadLetterPage)

    async def add_dead_letter(self, letter: DeadLetter) -> None:
        """Keep a dead letter."""
        name = self.layout.shard_of_letter(letter)
        envelope.unwrap(await self.shard(name, "add_dead_letter", text_of(letter)), type(None))

    async def retire(self, layout: Layout) -> None:
        """Delete the shards of a layout that is not in use any more."""
        for name in layout.names():
            envelope.unwrap(await self.shard(name, "retire"), type(None))
        await self._ledger(ledger_name(0), "retire", type(None), str(layout.shards))

    async def touch_ledger(self, number: int) -> None:
        """Have a ledger notice that it was lost."""
        await self._ledger(ledger_name(number % LEDGERS), "touch", type(None))

    async def _shard(self, row_id: str, method: str, body: str) -> None:
        envelope.unwrap(await self.shard(self.layout.shard_of(row_id), method, body), type(None))

    async def _ledger(self, name: str, method: str, into: type[T], *args: str) -> T:
        return envelope.unwrap(await self._call(LEDGER, name, method, *args), into)
