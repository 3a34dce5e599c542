"""``CatalogObject``: the Durable Object of one catalog shard. Strings of JSON in, strings of JSON out.

Methods answer ``{"ok": …}`` or ``{"error": …}`` like those of ``JobObject``.
"""

from __future__ import annotations

import msgspec
from workers import DurableObject

from durable import bridge, envelope
from durable.catalog import Catalog
from durable.catalog_model import DeadLetterQuery, JobQuery, OverdueQuery, Redriven
from durable.object_sql import ObjectSql
from durable.sweeper import GRACE_MS
from orchestrator.model import DeadLetter, DeletedJob, JobSummary


class CatalogObject(DurableObject):
    """What is known of every job. The constructor only remembers (platform.md §4.5)."""

    def __init__(self, ctx: object, env: object) -> None:
        super().__init__(ctx, env)
        self._catalog = Catalog(ObjectSql(bridge.Storage(ctx)))

    async def publish(self, body: str) -> str:
        """Take note of a job's state: ``JobSummary`` in."""
        return envelope.answer(lambda: self._catalog.publish(msgspec.json.decode(body, type=JobSummary)))

    async def list_jobs(self, body: str) -> str:
        """List jobs: ``JobQuery`` in, ``JobPage`` out."""
        return envelope.answer(lambda: self._catalog.list_jobs(msgspec.json.decode(body, type=JobQuery)))

    async def overdue(self, body: str) -> str:
        """List late jobs: ``OverdueQuery`` in, their ids out."""
        return envelope.answer(lambda: self._catalog.overdue(msgspec.json.decode(body, type=OverdueQuery)))

    async def counts(self) -> str:
        """The numbers behind the metrics: ``CatalogCounts`` out."""
        return envelope.answer(lambda: self._catalog.counts(bridge.now_ms(), GRACE_MS))

    async def forget(self, body: str) -> str:
        """Take note that a job was deleted: ``DeletedJob`` in."""
        return envelope.answer(lambda: self._catalog.forget(msgspec.json.decode(body, type=DeletedJob)))

    async def add_dead_letter(self, body: str) -> str:
        """Keep a dead letter: ``DeadLetter`` in."""
        return envelope.answer(lambda: self._catalog.letters.add(msgspec.json.decode(body, type=DeadLetter)))

    async def get_dead_letter(self, letter_id: str) -> str:
        """One dead letter: its id in, ``DeadLetter`` out."""
        return envelope.answer(lambda: self._catalog.letters.get(letter_id))

    async def list_dead_letters(self, body: str) -> str:
        """List dead letters: ``DeadLetterQuery`` in, ``DeadLetterPage`` out."""
        return envelope.answer(lambda: self._catalog.letters.list(msgspec.json.decode(body, type=DeadLetterQuery)))

    async def mark_redriven(self, body: str) -> str:
        """Take note that a dead letter was tried again: ``Redriven`` in."""
        return envelope.answer(lambda: self._catalog.letters.mark(msgspec.json.decode(body, type=Redriven)))
