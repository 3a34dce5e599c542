"""``CatalogObject``: the Durable Object of one catalog shard. Strings of JSON in, strings of JSON out.

Methods answer ``{"ok": …}`` or ``{"error": …}`` like those of ``JobObject``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec
from workers import DurableObject

from durable import bridge, envelope
from durable.analytics import BINDING, point_of
from durable.catalog import Catalog
from durable.catalog_model import CountsQuery, DeadLetterQuery, JobQuery, OverdueQuery, Redriven
from durable.catalog_recovery import read_ledger
from durable.ledger import EntryQuery
from durable.object_calls import catalog_calls
from durable.object_platform import ObjectPorts, write_log
from durable.placement import layout_of
from durable.recovery import Recoverer
from orchestrator.errors import RetryableError
from orchestrator.model import DeadLetter, DeletedJob, JobSummary

#: Letters per page when they move to another shard.
_LETTERS = 200


class CatalogObject(DurableObject):
    """What is known of a shard's jobs. The constructor only remembers (platform.md §4.5)."""

    def __init__(self, ctx: object, env: object) -> None:
        super().__init__(ctx, env)
        self._name = bridge.object_name(ctx)
        self._storage = bridge.Storage(ctx)
        self._env = bridge.Env(env)
        self._calls = catalog_calls(self._env)
        self._start()

    def _start(self) -> None:
        platform = ObjectPorts(self._storage)
        self._clock = platform.clock
        self._catalog = Catalog(platform.sql, self._name)
        read = partial(read_ledger, self._catalog, self._calls)
        self._recoverer = Recoverer(platform, self._catalog.recovery, read, what=self._name)

    async def publish(self, body: str) -> str:
        """Take note of a job's state: ``JobSummary`` in."""
        return self._answer(lambda: self._publish(msgspec.json.decode(body, type=JobSummary)))

    async def expect(self, job_id: str) -> str:
        """Take note that a job is being recorded: its id in."""
        return self._answer(lambda: self._catalog.expect(job_id, self._clock.now_ms()))

    async def look_anyway(self, job_id: str) -> str:
        """Take note that a job which had ended acts again: its id in."""
        return self._answer(lambda: self._catalog.expect(job_id, self._clock.now_ms(), firm=True))

    async def looked_for(self, job_id: str) -> str:
        """Take note that somebody has looked for a job: its id in."""
        return self._answer(lambda: self._catalog.looked_for(job_id))

    async def list_jobs(self, body: str) -> str:
        """List jobs: ``JobQuery`` in, ``JobPage`` out."""
        return self._answer(lambda: self._catalog.list_jobs(msgspec.json.decode(body, type=JobQuery)))

    async def overdue(self, body: str) -> str:
        """List late jobs: ``OverdueQuery`` in, their ids out. Asked every minute, which mends a lost alarm."""
        await self._recoverer.look()
        return self._answer(lambda: self._catalog.overdue(msgspec.json.decode(body, type=OverdueQuery)))

    async def counts(self, body: str) -> str:
        """The numbers behind the metrics: ``CountsQuery`` in, ``CatalogCounts`` out."""
        return self._answer(lambda: self._catalog.counts(msgspec.json.decode(body, type=CountsQuery)))

    async def forget(self, body: str) -> str:
        """Take note that a job was deleted: ``DeletedJob`` in."""
        return self._answer(lambda: self._catalog.forget(msgspec.json.decode(body, type=DeletedJob)))

    async def add_dead_letter(self, body: str) -> str:
        """Keep a dead letter: ``DeadLetter`` in."""
        return self._answer(lambda: self._catalog.letters.add(msgspec.json.decode(body, type=DeadLetter)))

    async def find_dead_letter(self, letter_id: str) -> str:
        """A dead letter, if the shard keeps it: its id in, a list of one ``DeadLetter`` or none out."""
        return self._answer(lambda: self._catalog.letters.find(letter_id))

    async def list_dead_letters(self, body: str) -> str:
        """List dead letters: ``DeadLetterQuery`` in, ``DeadLetterPage`` out."""
        return self._answer(lambda: self._catalog.list_dead_letters(msgspec.json.decode(body, type=DeadLetterQuery)))

    async def mark_redriven(self, body: str) -> str:
        """Take note that a dead letter was tried again: ``Redriven`` in."""
        return self._answer(lambda: self._catalog.letters.mark(msgspec.json.decode(body, type=Redriven)))

    async def entries(self, body: str) -> str:
        """The jobs of a ledger: ``EntryQuery`` in, ``EntryPage`` out."""
        return self._answer(lambda: self._catalog.entries(msgspec.json.decode(body, type=EntryQuery)))

    async def state(self) -> str:
        """How complete the shard is: ``ShardState`` out."""
        return self._answer(self._catalog.state)

    async def rebuild(self) -> str:
        """Ask the ledgers and the jobs again for everything: ``ShardState`` out."""
        return self._answer(self._catalog.rebuild)

    async def letters(self, cursor: str) -> str:
        """Dead letters of messages, which no job could tell again: a cursor in, ``DeadLetterPage`` out."""
        query = DeadLetterQuery(kind="message", cursor=cursor or None, limit=_LETTERS)
        return envelope.answer(lambda: self._catalog.letters.list(query))

    async def retire(self) -> str:
        """Delete everything: the catalog has another number of shards now."""
        await self._storage.wipe()
        self._start()
        return envelope.answer(lambda: None)

    async def alarm(self, info: object = None) -> None:
        """Recover."""
        if self._is_in_use():
            await self._recoverer.tick()

    def _publish(self, summary: JobSummary) -> None:
        if not self._catalog.publish(summary):
            return
        point = point_of(summary)
        try:
            self._env.write_point(BINDING, point.indexes, point.blobs, point.doubles)
        except bridge.ObjectCallError as error:
            # The job's end is recorded; what was to be drawn of it is not worth telling it again.
            write_log("warning", "analytics.failed", {"job_id": summary.id, "error": type(error).__name__})

    def _is_in_use(self) -> bool:
        return layout_of(self._name) == self._calls.layout

    def _answer(self, call: Callable[[], object]) -> str:
        def checked() -> object:
            if not self._is_in_use():
                # Somebody runs an older release still: a moment later it asks the shards of today.
                raise RetryableError("The catalog has another number of shards", code="object_unreachable")
            self._catalog.migrate()
            value = call()
            self._recoverer.rearm()
            return value

        return envelope.answer(checked)
