"""Deletes the documents of one ingest job, however many, through the product's own workflow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from bench.ingestion import NAMESPACE
from bench.stacks import BenchError, Storage, Worker
from durable.postgres import AsyncpgDatabase
from local.process import StackError
from orchestrator.ports import Database

T = TypeVar("T")

TIMEOUT_S = 900.0
#: How often the running job is looked at.
POLL_S = 0.05
LOOP = "delete documents"


class Deleted(msgspec.Struct, frozen=True):
    """One ingest job's deletion.

    Attributes:
        documents: how many it had.
        first_tenth_ms: how long the first tenth of them took; likewise ``last_tenth_ms``.
        elapsed_ms: from the job's first slice to its end.
        heap_bytes: the interpreter's memory after it, which never shrinks.
        storage: what the job's object has stored.
    """

    documents: int
    first_tenth_ms: float
    last_tenth_ms: float
    elapsed_ms: float
    heap_bytes: int
    storage: Storage


def prepare(worker: Worker, name: str, documents: int) -> None:
    """Make an ingest job of so many completed documents, each with a vector; the namespace is there."""

    async def insert(database: Database) -> None:
        await database.execute(
            """insert into ingest_job (id, "namespaceId", status, payload, "completedAt", "updatedAt")
            values ($1, $2, 'COMPLETED', '{"type": "BATCH", "items": []}', now(), now())""",
            name,
            NAMESPACE,
        )
        await database.execute(
            """insert into document (id, "namespaceId", "ingestJobId", status, source, "totalPages", "completedAt",
                "createdAt", "updatedAt")
            select $1 || lpad(n::text, 7, '0'), $2, $1, 'COMPLETED', '{"type": "TEXT", "text": "A text."}', 0.5, now(),
                timestamp '2026-01-01' + n * interval '1 ms', now()
            from generate_series(1, $3::int) n""",
            name,
            NAMESPACE,
            documents,
        )
        await database.execute(
            """insert into wf.vector (namespace, id, document_id, body, metadata, embedding)
            select 'as_' || $2, id || '#1', id, 'A text.', '{}', '[1, 2, 3]' from document where "ingestJobId" = $1""",
            name,
            NAMESPACE,
        )
        await database.execute("analyze document")

    _with_database(worker, insert)


def delete(worker: Worker, name: str, documents: int, on_progress: Callable[[float], None]) -> Deleted:
    """Delete an ingest job that was prepared.

    Args:
        worker: the Worker.
        name: the ingest job.
        documents: how many it has.
        on_progress: gets the part done so far, between 0 and 1.

    Raises:
        BenchError: it did not go, or not whole.
    """
    job_id = worker.enqueue("delete-ingest-job", {"jobId": name, "skipWebhooks": True})
    began = time.monotonic()
    # When the loop was first seen to have begun, to be past a tenth, and past nine.
    seen: dict[float, tuple[float, int]] = {}
    while worker.job(job_id).finished_at is None:
        now, done = time.monotonic(), worker.items(job_id, LOOP)
        if now - began > TIMEOUT_S:
            raise BenchError(f"{documents} documents were not deleted in {TIMEOUT_S:.0f} s")
        for share in (0.0, 0.1, 0.9):
            if done is not None and done >= share * documents and share not in seen:
                seen[share] = (now, done)
        on_progress((done or 0) / documents)
        time.sleep(POLL_S)
    ended = time.monotonic()
    job = worker.ended(job_id)
    left = _with_database(worker, _count)
    if left != (0, 0):
        raise BenchError(f"{left[0]} documents and {left[1]} vectors are left")
    try:
        heap_bytes = worker.stack.heap_bytes()
    except StackError as error:
        raise BenchError(str(error)) from error
    start, tenth, ninth = (seen.get(share, (ended, documents)) for share in (0.0, 0.1, 0.9))
    return Deleted(
        documents,
        _ms_per(start, tenth) * documents / 10,
        _ms_per(ninth, (ended, documents)) * documents / 10,
        job.elapsed_ms,
        heap_bytes,
        worker.storage(job_id),
    )


def _ms_per(since: tuple[float, int], until: tuple[float, int]) -> float:
    return (until[0] - since[0]) * 1000 / max(1, until[1] - since[1])


async def _count(database: Database) -> tuple[int, int]:
    row = await database.fetchrow(
        "select (select count(*) from document) as documents, (select count(*) from wf.vector) as vectors"
    )
    return (0, 0) if row is None else msgspec.convert((row["documents"], row["vectors"]), tuple[int, int])


def _with_database(worker: Worker, body: Callable[[Database], Awaitable[T]]) -> T:
    database_url = worker.stack.database_url

    async def run() -> T:
        database = AsyncpgDatabase(database_url)
        try:
            return await body(database)
        finally:
            await database.close()

    return asyncio.run(run())
