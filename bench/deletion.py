"""Deletes the documents of one ingest job, however many, through the product's own workflow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
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
POLL_S = 0.1
LOOP = "delete documents"


class Deleted(msgspec.Struct, frozen=True):
    """One ingest job's deletion.

    Attributes:
        elapsed_ms: from the job's first slice to its end.
        first_tenth: documents per second in the first tenth of the loop that deletes; likewise ``last_tenth``.
        heap_bytes: the interpreter's memory after it, which never shrinks.
        storage: what the job's object has stored.
    """

    elapsed_ms: float
    first_tenth: float
    last_tenth: float
    heap_bytes: int
    storage: Storage


class Seen(msgspec.Struct, frozen=True):
    """How many documents were gone at a moment."""

    at_s: float
    documents: int


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
    seen: list[Seen] = []
    while worker.job(job_id).finished_at is None:
        if time.monotonic() - began > TIMEOUT_S:
            raise BenchError(f"{documents} documents were not deleted in {TIMEOUT_S:.0f} s")
        done = worker.items(job_id, LOOP)
        if done is not None and (not seen or done > seen[-1].documents):
            seen.append(Seen(time.monotonic(), done))
            on_progress(done / documents)
        time.sleep(POLL_S)
    job = worker.ended(job_id)
    left = _with_database(worker, _count)
    if left != (0, 0):
        raise BenchError(f"{left[0]} documents and {left[1]} vectors are left")
    try:
        heap_bytes = worker.stack.heap_bytes()
    except StackError as error:
        raise BenchError(str(error)) from error
    first_tenth, last_tenth = rates(seen, documents)
    return Deleted(job.elapsed_ms, first_tenth, last_tenth, heap_bytes, worker.storage(job_id))


def rates(seen: Sequence[Seen], documents: int) -> tuple[float, float]:
    """Return documents per second in the first and in the last tenth; zeros when too little was seen."""
    in_first = sum(at.documents <= documents / 10 for at in seen)
    before_last = sum(at.documents < documents * 0.9 for at in seen)
    return _rate(seen[: in_first + 1]), _rate(seen[max(0, before_last - 1) :])


def _rate(seen: Sequence[Seen]) -> float:
    if len(seen) < 2:
        return 0.0
    return (seen[-1].documents - seen[0].documents) / (seen[-1].at_s - seen[0].at_s)


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
