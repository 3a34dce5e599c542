"""How a shard of the catalog that came up empty is made again: ledgers say which jobs there are, the jobs how they are.

While it recovers, jobs publish to it as always: the newer revision of a job wins, and a deleted one stays deleted.
"""

from __future__ import annotations

from typing import Protocol

from durable.catalog import Catalog
from durable.ledger import Entry, EntryPage, EntryQuery
from durable.placement import LEDGERS
from durable.recovery import WAITS, Page, following
from durable.turns import in_turns
from orchestrator.errors import OrchestratorError, RetryableError, UnknownJobError
from orchestrator.model import JobSummary

#: Jobs asked at the same time.
CONCURRENCY = 10


class JobsPort(Protocol):
    """What a shard asks while it recovers."""

    async def ledger_entries(self, ledger: int, query: EntryQuery) -> EntryPage:
        """Return jobs that a ledger knows."""
        ...

    async def summary(self, job_id: str) -> JobSummary:
        """Return how a job is, from its own object, which also arms its alarm again."""
        ...

    async def unregister(self, entry: Entry) -> None:
        """Take a job off its ledger."""
        ...


async def read_ledger(catalog: Catalog, port: JobsPort, source: int, after: str) -> Page:
    """Read a page of a ledger, and take note of its jobs.

    Args:
        catalog: the shard.
        port: the ledgers and the jobs.
        source: which ledger.
        after: the last id read.

    Raises:
        RetryableError: the ledger recovers itself (code ``ledger_recovering``), or does not answer.
    """
    if source >= LEDGERS:
        return Page(None)
    found = await port.ledger_entries(source, EntryQuery(catalog.name, after))
    if not found.complete:
        # What it has lost it gets from the shards that are whole; this one would miss what comes last.
        raise RetryableError("The ledger is being recovered itself", code=WAITS)
    entries = found.entries
    if catalog.recovery.progress().passes:
        # A second pass looks for what went elsewhere meanwhile, and wakes nobody else.
        entries = [entry for entry in entries if not catalog.knows_end_of(entry)]
    answered = await in_turns(entries, lambda entry: _take(catalog, port, entry), at_once=CONCURRENCY)
    return Page(following(source, found.after, LEDGERS), skipped=answered.count(False))


async def _take(catalog: Catalog, port: JobsPort, entry: Entry) -> bool:
    """Take note of one job; tell whether it answered. One that does not must not hold up the others."""
    try:
        catalog.publish(await port.summary(entry.id))
    except UnknownJobError:
        await port.unregister(entry)
    except OrchestratorError:
        return False
    return True
