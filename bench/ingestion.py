"""Ingests documents of growing size through the product's own workflow, into the embedded Postgres."""

from __future__ import annotations

import asyncio
import itertools
import json
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from bench.stacks import BenchError, Worker
from durable.postgres import AsyncpgDatabase
from local.process import StackError

MB = 1_000_000
#: How long a hundred megabytes may take.
TIMEOUT_S = 600.0
#: How often the running job is looked at.
POLL_S = 0.5
NAMESPACE = "ns_bench"


class Ingested(msgspec.Struct, frozen=True):
    """One document's ingestion, and the interpreter's memory after it."""

    size_bytes: int
    elapsed_ms: float
    chunks: int
    heap_bytes: int

    @property
    def mb_per_s(self) -> float:
        """Megabytes per second, from the ingest job's first slice to its end."""
        return self.size_bytes / MB / (self.elapsed_ms / 1000)


class _Document(msgspec.Struct, frozen=True):
    status: str
    error: str | None
    chunks: int
    #: The job that processes it, once one does.
    job_id: str | None


def sources(size_bytes: int) -> Iterator[bytes]:
    """Yield a text of exactly this size: the standard library's sources, again and again if need be."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    files = [path for path in sorted(folder.rglob("*.py")) if not {"site-packages", "test"} & set(path.parts)]
    left = size_bytes
    for path in itertools.cycle(files):
        piece = path.read_bytes()[:left]
        left -= len(piece)
        yield piece
        if left == 0:
            return


def prepare(worker: Worker) -> None:
    """Make an organization and a namespace with the default embedding and vector store."""
    database_url = worker.stack.database_url

    async def insert() -> None:
        database = AsyncpgDatabase(database_url)
        try:
            await database.execute("insert into organization (id, name, slug) values ('org_bench', 'Bench', 'bench')")
            await database.execute(
                """insert into namespace (id, name, slug, "organizationId", "updatedAt")
                values ($1, 'Bench', 'bench', 'org_bench', now() at time zone 'utc')""",
                NAMESPACE,
            )
        finally:
            await database.close()

    asyncio.run(insert())


def ingest(worker: Worker, size_bytes: int, name: str, on_progress: Callable[[float], None]) -> Ingested:
    """Ingest one document of this size.

    Args:
        worker: a Worker whose namespace is prepared.
        size_bytes: the document's size.
        name: tells this ingest job from others.
        on_progress: gets the part done so far, between 0 and 1.

    Raises:
        BenchError: the document did not complete.
    """
    key = f"namespaces/{NAMESPACE}/{name}.txt"
    worker.stack.put_blob(key, sources(size_bytes), size_bytes=size_bytes)
    payload = {"type": "MANAGED_FILE", "key": key, "fileName": f"{name}.txt"}
    asyncio.run(_insert_ingest_job(worker.stack.database_url, name, json.dumps(payload)))
    job_id = worker.enqueue("trigger-ingestion-job", {"jobId": name})
    deadline = time.monotonic() + TIMEOUT_S
    while worker.job(job_id).finished_at is None:
        if time.monotonic() > deadline:
            raise BenchError(f"{size_bytes} bytes were not ingested in {TIMEOUT_S:.0f} s")
        time.sleep(POLL_S)
        document = asyncio.run(_document(worker.stack.database_url, name))
        if document is not None and document.job_id is not None:
            progress = worker.job(document.job_id).progress
            on_progress(progress.done / size_bytes if progress else 0.0)
    job = worker.ended(job_id)
    document = asyncio.run(_document(worker.stack.database_url, name))
    if document is None:
        raise BenchError("the ingest job made no document")
    if document.status != "COMPLETED":
        raise BenchError(f"the document of {size_bytes} bytes ended {document.status}: {document.error}")
    try:
        heap_bytes = worker.stack.heap_bytes()
    except StackError as error:
        raise BenchError(str(error)) from error
    return Ingested(size_bytes, job.elapsed_ms, document.chunks, heap_bytes)


async def _insert_ingest_job(database_url: str, ingest_job_id: str, payload: str) -> None:
    database = AsyncpgDatabase(database_url)
    try:
        await database.execute(
            """insert into ingest_job (id, "namespaceId", status, payload, "updatedAt")
            values ($1, $2, 'QUEUED', $3::jsonb, now() at time zone 'utc')""",
            ingest_job_id,
            NAMESPACE,
            payload,
        )
    finally:
        await database.close()


async def _document(database_url: str, ingest_job_id: str) -> _Document | None:
    database = AsyncpgDatabase(database_url)
    try:
        row = await database.fetchrow(
            """select status::text as status, error, "totalChunks" as chunks, "workflowRunsIds"[1] as job_id
            from document where "ingestJobId" = $1""",
            ingest_job_id,
        )
    finally:
        await database.close()
    if row is None:
        return None
    return msgspec.convert({name: row[name] for name in _Document.__struct_fields__}, _Document)
