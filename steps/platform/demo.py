"""What seeding a demo does to rows (domain.md §2.10). What is counted is counted with its document (W-03)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from orchestrator.errors import NonRetryableError
from orchestrator.ports import Connection
from steps.platform.counters import add_documents, add_pages
from steps.platform.documents import GONE, Completed
from steps.vectors import MetadataValue


class DemoDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A document of the demo, as its chunk file describes it.

    Attributes:
        characters: code points of all chunks.
        chunks: number of chunks.
        pages: as they are counted.
        tokens: that its embeddings cost.
        properties: ``"documentProperties"``.
        metadata: of every chunk, from the file.
    """

    characters: int
    chunks: int
    pages: float
    tokens: int
    properties: object = None
    metadata: dict[str, MetadataValue] = {}


async def begin(
    connection: Connection,
    run_id: str,
    ingest_job_id: str,
    namespace_id: str,
    organization_id: str,
    name: str,
    payload: Mapping[str, object],
) -> None:
    """Make the demo's ingest job, counted once however often it is made.

    Raises:
        NonRetryableError: code ``namespace_not_found``: there is none of this id and organization that is active.
    """
    found = await connection.fetchrow(
        """select 1 from namespace where id = $1 and "organizationId" = $2 and status = 'ACTIVE' for key share""",
        namespace_id,
        organization_id,
    )
    if found is None:
        raise NonRetryableError("Namespace not found", code="namespace_not_found")
    row = await connection.fetchrow(
        """insert into ingest_job (id, "namespaceId", status, name, payload, "workflowRunsIds", "queuedAt",
            "processingAt", "createdAt", "updatedAt")
        values ($1, $2, 'PROCESSING', $3, $4::jsonb, array[$5], now() at time zone 'utc', now() at time zone 'utc',
            now() at time zone 'utc', now() at time zone 'utc')
        on conflict (id) do update set status = 'PROCESSING', "processingAt" = excluded."processingAt",
            "workflowRunsIds" = array_append(array_remove(ingest_job."workflowRunsIds", $5), $5),
            "updatedAt" = excluded."updatedAt"
        where ingest_job.status not in ('QUEUED_FOR_DELETE', 'DELETING', 'CANCELLING', 'CANCELLED')
        returning xmax = 0 as inserted""",
        ingest_job_id,
        namespace_id,
        name,
        msgspec.json.encode(payload).decode(),
        run_id,
    )
    if row is not None and row["inserted"]:
        await connection.execute(
            """with n as (update namespace set "totalIngestJobs" = "totalIngestJobs" + 1,
                    "updatedAt" = now() at time zone 'utc' where id = $1 returning "organizationId")
            update organization set "totalIngestJobs" = "totalIngestJobs" + 1
            where id = (select "organizationId" from n)""",
            namespace_id,
        )


async def begin_document(
    connection: Connection, ingest_job_id: str, document_id: str, item: Mapping[str, str], found: DemoDocument
) -> bool:
    """Make a document, counted from now on; tell whether it may be seeded: not if it is deleted or was completed."""
    await connection.fetchrow("select 1 from document where id = $1 for update", document_id)
    job = await connection.fetchrow(
        """select "namespaceId" as namespace_id from ingest_job
        where id = $1 and status in ('PROCESSING', 'FAILED') for share""",
        ingest_job_id,
    )
    if job is None:
        return False
    made = await connection.execute(
        """insert into document (id, "namespaceId", "ingestJobId", name, status, source, "totalCharacters",
            "totalChunks", "totalTokens", "totalPages", "documentProperties", "queuedAt", "processingAt", "createdAt",
            "updatedAt")
        select $1, j."namespaceId", j.id, $3, 'PROCESSING', jsonb_build_object('type', 'FILE', 'fileUrl', $4::text),
            $5::int, $6::int, $7::int, $8::float8, nullif($9::jsonb, 'null'::jsonb), now() at time zone 'utc',
            now() at time zone 'utc', now() at time zone 'utc', now() at time zone 'utc'
        from ingest_job j where j.id = $2
        on conflict (id) do nothing""",
        document_id,
        ingest_job_id,
        item["fileName"],
        item["fileUrl"],
        found.characters,
        found.chunks,
        found.tokens,
        found.pages,
        msgspec.json.encode(found.properties).decode(),
    )
    tag = await connection.execute(
        """update document set status = 'PROCESSING', error = null, "failedAt" = null,
            "processingAt" = now() at time zone 'utc', "updatedAt" = now() at time zone 'utc'
        where id = $1 and status in ('PROCESSING', 'FAILED')""",
        document_id,
    )
    await add_documents(connection, str(job["namespace_id"]), 0 if made == "INSERT 0 0" else 1)
    return tag != "UPDATE 0"


async def complete_document(connection: Connection, document_id: str) -> Completed:
    """Turn a document to COMPLETED and count its pages."""
    row = await connection.fetchrow(
        """update document set status = 'COMPLETED', "completedAt" = now() at time zone 'utc', error = null,
            "failedAt" = null, "updatedAt" = now() at time zone 'utc'
        where id = $1 and status = 'PROCESSING' returning "namespaceId" as namespace_id, "totalPages" as pages""",
        document_id,
    )
    if row is None:
        found = await connection.fetchrow("select status::text as status from document where id = $1", document_id)
        return Completed(stopped=GONE if found is None else str(found["status"]))
    pages = msgspec.convert(row["pages"], float)
    await add_pages(connection, str(row["namespace_id"]), pages)
    return Completed(pages_delta=pages)


async def finish(connection: Connection, ingest_job_id: str) -> None:
    """Turn the ingest job to COMPLETED, unless it is being deleted."""
    await connection.execute(
        """update ingest_job set status = 'COMPLETED', "completedAt" = now() at time zone 'utc', error = null,
            "failedAt" = null, "updatedAt" = now() at time zone 'utc'
        where id = $1 and status in ('PROCESSING', 'FAILED')""",
        ingest_job_id,
    )


async def fail(
    connection: Connection, run_id: str, ingest_job_id: str, document_ids: Sequence[str], message: str
) -> list[str]:
    """Turn the ingest job, and the documents it was at, to FAILED; nothing if the run has not begun with it.

    Args:
        connection: a transaction.
        run_id: the orchestrator's job.
        ingest_job_id: the ``ingest_job`` row.
        document_ids: the demo's documents, whether there are rows of them or not.
        message: what went wrong.

    Returns:
        The documents of which nothing may stay to be found.
    """
    rows = await connection.fetch(
        "select id from document where id = any($1::text[]) order by id for update", document_ids
    )
    job = await connection.fetchrow(
        'select 1 from ingest_job where id = $1 and $2 = any("workflowRunsIds") for update', ingest_job_id, run_id
    )
    if job is None:
        return []
    await connection.execute(
        """update document set status = 'FAILED', error = $2, "failedAt" = now() at time zone 'utc',
            "updatedAt" = now() at time zone 'utc'
        where id = any($1::text[]) and status in ('PROCESSING', 'FAILED')""",
        [str(row["id"]) for row in rows],
        message,
    )
    await connection.execute(
        """update ingest_job set status = 'FAILED', error = $2, "failedAt" = now() at time zone 'utc',
            "updatedAt" = now() at time zone 'utc' where id = $1 and status in ('PROCESSING', 'FAILED')""",
        ingest_job_id,
        message,
    )
    done = await connection.fetch(
        "select id from document where id = any($1::text[]) and status = 'COMPLETED'", document_ids
    )
    return sorted(set(document_ids) - {str(row["id"]) for row in done})
