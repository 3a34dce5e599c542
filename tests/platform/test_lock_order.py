"""Deletes, ingestion and re-ingestion of the same rows at once, each on a connection of its own (W-20).

The engine's world runs one transaction after the other, so it never sees two of them wait for each other. Here the
database's own locks decide, and a deadlock is an error of whoever was chosen to lose.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import LiteralString

import msgspec
import pytest

from durable.postgres import AsyncpgDatabase
from orchestrator.ports import Database
from orchestrator.testing.blobs import MemoryBlobs
from steps.platform import deletion, document_deletion, documents, ingest_jobs, resync
from steps.platform.documents import Totals
from tests.platform import picture, scene
from tests.platform.counting import assert_counted
from tests.redis.stub import RedisStub
from tests.vectors.stores import PineconeStub, TurbopufferStub

ORGANIZATION, NAMESPACE, STORED, LATE = "org1", "ns1", "stored", "late"
DOCUMENTS = 60
WORKERS, OPERATIONS = 6, 60
#: Documents that one statement is about.
AT_ONCE = 25

_ROWS: tuple[LiteralString, ...] = (
    """insert into organization (id, name, slug, "totalNamespaces", "totalIngestJobs", "totalDocuments", "totalPages")
        values ('org1', 'One', 'one', 7, 2, $1::int, $1::int * 1.5)""",
    """insert into namespace (id, name, slug, "organizationId", "totalIngestJobs", "totalDocuments", "totalPages",
            "updatedAt")
        values ('ns1', 'One', 'one', 'org1', 2, $1::int, $1::int * 1.5, now())""",
    """insert into namespace (id, name, slug, "organizationId", "updatedAt")
        select 'empty' || n, 'Empty', 'empty' || n, 'org1', now() from generate_series(1, 6) n order by md5(n::text)""",
    """insert into ingest_job (id, "namespaceId", status, payload, "updatedAt")
        select id, 'ns1', 'FAILED', jsonb_build_object('type', 'BATCH', 'items', (
            select jsonb_agg(jsonb_build_object('type', 'TEXT', 'text', 'A text.')) from generate_series(1, $1::int))),
            now()
        from unnest(array['stored', 'late']) id""",
    # Where a row lies in the table says nothing about its place in any order.
    """insert into document (id, "namespaceId", "ingestJobId", status, source, "totalPages", "completedAt", "createdAt",
            "updatedAt")
        select 'd' || lpad(n::text, 3, '0'), 'ns1', 'stored', 'COMPLETED', '{"type": "TEXT", "text": "A text."}', 1.5,
            now(), timestamp '2026-01-01' + n * interval '1 s', now()
        from generate_series(1, $1::int) n order by md5(n::text)""",
)


class Rival:
    """One of those who work on the same rows: everything that jobs do to several rows, or to rows of several tables.

    Args:
        database: a connection of its own.
        name: tells its runs from those of others.
        seed: of what it does, and to which documents.
    """

    def __init__(self, database: Database, name: str, seed: int) -> None:
        self._database = database
        self._name = name
        self._random = random.Random(seed)
        self._runs = 0
        self._operations: Sequence[Callable[[], Awaitable[object]]] = (
            self.mark,
            self.remove,
            self.remove,
            self.give_up,
            self.queue_again,
            self.queue_again,
            self.process,
            self.process,
            self.fail,
            self.ingest,
            self.ingest,
            self.delete_ingest_job,
            self.delete_organization,
        )

    async def work(self) -> None:
        for _ in range(OPERATIONS):
            await self._random.choice(self._operations)()

    async def mark(self) -> None:
        await document_deletion.mark(self._database, await self._some())

    async def remove(self) -> None:
        ids = await self._some(AT_ONCE // 5)
        await document_deletion.mark(self._database, ids)
        async with self._database.transaction() as connection:
            await document_deletion.remove(connection, self._run(), ids, announce=True, count=True, exact=True)

    async def give_up(self) -> None:
        await document_deletion.fail(self._database, await self._some(), "It could not be deleted")

    async def queue_again(self) -> None:
        ids, run_id = await self._some(), self._run()
        async with self._database.transaction() as connection:
            await resync.begin(connection, STORED)
        async with self._database.transaction() as connection:
            await resync.queue_documents(connection, run_id, STORED, ids)

    async def process(self) -> None:
        run_id = self._run()
        for document_id in await self._some(3):
            totals = Totals(chunks=1, tokens=1, characters=self._random.randrange(1, 4_000))
            async with self._database.transaction() as connection:
                if not await connection.fetch("select 1 from document where id = $1 for update", document_id):
                    continue
                await documents.start(connection, run_id, document_id, cleanup=True)
            async with self._database.transaction() as connection:
                await documents.complete(connection, run_id, document_id, totals, 0.0, exact=True)

    async def fail(self) -> None:
        for document_id in await self._some(3):
            async with self._database.transaction() as connection:
                await documents.fail(connection, self._run(), document_id, STORED, "It could not be read")

    async def ingest(self) -> None:
        run_id, first = self._run(), self._random.randrange(DOCUMENTS - 5)
        async with self._database.transaction() as connection:
            await ingest_jobs.begin(connection, run_id, LATE)
        async with self._database.transaction() as connection:
            await ingest_jobs.create_documents(connection, run_id, LATE, first, 5)
        async with self._database.transaction() as connection:
            await ingest_jobs.start_processing(connection, run_id, LATE)
        async with self._database.transaction() as connection:
            await ingest_jobs.finish(connection, run_id, LATE, "One of its documents failed")

    async def delete_ingest_job(self) -> None:
        """As far as it gets: documents are below."""
        await deletion.begin_ingest_job(self._database, STORED)
        async with self._database.transaction() as connection:
            await deletion.remove_ingest_job(connection, self._run(), STORED, announce=True)
        await deletion.fail_ingest_job(self._database, STORED, "It could not be deleted")

    async def delete_organization(self) -> None:
        """As far as it gets: ingest jobs are below."""
        async with self._database.transaction() as connection:
            await deletion.begin_organization(connection, ORGANIZATION)
        async with self._database.transaction() as connection:
            await deletion.remove_namespace(connection, NAMESPACE, exact=True)
        async with self._database.transaction() as connection:
            await deletion.remove_organization(connection, ORGANIZATION)
        async with self._database.transaction() as connection:
            await deletion.reopen_organization(connection, ORGANIZATION)

    async def settle(self) -> None:
        """Process what is not being deleted, and delete the rest: now every row tells what was counted of it."""
        for row in await self._database.fetch("select id, status::text as status from document order by id"):
            document_id, run_id = str(row["id"]), self._run()
            async with self._database.transaction() as connection:
                if row["status"] == "DELETING":
                    await document_deletion.remove(
                        connection, run_id, [document_id], announce=False, count=True, exact=True
                    )
                elif row["status"] != "COMPLETED":
                    await documents.start(connection, run_id, document_id, cleanup=True)
                    await documents.complete(connection, run_id, document_id, Totals(characters=500), 0.0, exact=True)

    async def _some(self, most: int = AT_ONCE) -> list[str]:
        """Return ids of documents in no order, as the caller of a workflow may have them."""
        rows = await self._database.fetch("select id from document")
        ids = sorted(str(row["id"]) for row in rows)
        return self._random.sample(ids, min(len(ids), most))

    def _run(self) -> str:
        self._runs += 1
        return f"run_{self._name}{self._runs}"


async def compete(url: str, seed: int) -> picture.Picture:
    """Let rivals work on the same rows, and return what there is when they have come to rest."""
    connections = [AsyncpgDatabase(url) for _ in range(WORKERS)]
    try:
        admin = connections[0]
        await scene.reset(admin)
        for statement in _ROWS:
            await admin.execute(statement, *([DOCUMENTS] if "$1" in statement else []))
        rivals = [Rival(database, f"r{number}x", seed + number) for number, database in enumerate(connections)]
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for rival in rivals:
                group.create_task(rival.work())
        await rivals[0].settle()
        buckets = {name: MemoryBlobs() for name in ("blobs", "images", "assets")}
        return await picture.take(admin, buckets, TurbopufferStub(), PineconeStub(), RedisStub())
    finally:
        for database in connections:
            await database.close()


@pytest.mark.parametrize("seed", [100, 200, 300, 400, 500, 600])
def test_nobody_waits_for_each_other_and_the_counters_stay_exact(database_url: str, seed: int) -> None:
    left = asyncio.run(compete(database_url, seed))
    assert_counted(left)
    statuses = {str(row["status"]) for row in left.tables["document"]}
    assert statuses <= {"COMPLETED"}, msgspec.json.encode(sorted(statuses))
