"""What ingestion does to ``document`` rows (domain.md §2.2).

Status writes name the states they may follow, so that a delete or cancel request always wins (W-04, W-05). While a run
processes a document, the row names it among its runs, so that a delete can stop it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from orchestrator.errors import NonRetryableError
from orchestrator.ports import Connection
from steps.platform.counted import counted_documents, forget_counted
from steps.platform.counters import add_documents, add_pages
from steps.platform.events import add_document_events
from steps.platform.ids import document_id_range
from steps.platform.parser_results import Parse
from steps.platform.rows import row_as

#: Documents looked at by one query: a page of the primary key's index or so.
_WALK_ROWS = 100
#: What ``stopped`` says of a row that does not exist.
GONE = "gone"


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A document at the start of its run: facts that are no secrets, since they are checkpointed.

    Attributes:
        stopped: why nothing is to be done: the status found; None to go on.
        namespace_id: its namespace.
        tenant_id: its tenant, if it has one.
        pages: as counted by an earlier run, or by whoever made the document.
        processed_before: an earlier run may have left vectors.
        kind: type of the source.
        characters: see ``pages``.
        chunks: see ``pages``.
        by_service: files are parsed by the parser service; decided once per run.
        on_pinecone: its vectors are where deletes are limited (domain.md §3.5).
    """

    stopped: str | None = None
    namespace_id: str
    tenant_id: str | None
    pages: float
    processed_before: bool
    kind: str | None = None
    characters: int = 0
    chunks: int = 0
    by_service: bool = False
    on_pinecone: bool = False


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What a document amounts to; the carried state of its chunk loop.

    Attributes:
        chunks: number of chunks.
        tokens: charged by the embedding provider.
        characters: code points of the chunks.
        paper_pages: of a paged format; None for others.
    """

    chunks: int = 0
    tokens: int = 0
    characters: int = 0
    paper_pages: float | None = None

    @property
    def pages(self) -> float:
        """Pages as they are counted and billed: those of a paged format, else a thousandth of the characters."""
        return self.paper_pages or self.characters / 1000


class Completed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a completion.

    Attributes:
        stopped: why it was not made: the status found, or ``gone``; None when it was made.
        pages_delta: pages it added to the counters.
    """

    stopped: str | None = None
    pages_delta: float = 0.0


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """What a failed run leaves.

    Attributes:
        written: whether vectors may have been stored.
        namespace_id: the namespace; None when the row is gone.
        tenant_id: the tenant, if there is one.
        on_pinecone: its vectors are where deletes are limited (domain.md §3.5).
        parse: what the parser service is doing for the run still.
    """

    written: bool = False
    namespace_id: str | None = None
    tenant_id: str | None = None
    on_pinecone: bool = False
    parse: Parse | None = None


async def start(connection: Connection, run_id: str, document_id: str, *, cleanup: bool) -> Started:
    """Turn the document to PROCESSING; one that is COMPLETED only to replace its vectors (``cleanup``).

    Raises:
        NonRetryableError: code ``document_not_found``.
    """
    row = await connection.fetchrow(
        """select case when d.status in ('QUEUED_FOR_DELETE', 'DELETING', 'CANCELLING', 'CANCELLED')
                or (d.status = 'COMPLETED' and not $2::bool) then d.status::text end as stopped,
            d."namespaceId" as namespace_id, d."tenantId" as tenant_id, d."totalPages" as pages,
            d."processingAt" is not null or d."completedAt" is not null as processed_before,
            d.source ->> 'type' as kind, d."totalCharacters" as characters, d."totalChunks" as chunks,
            coalesce(n."vectorStoreConfig" ->> 'provider', '') in ('MANAGED_PINECONE', 'MANAGED_PINECONE_OLD',
                'PINECONE') as on_pinecone
        from document d join namespace n on n.id = d."namespaceId" where d.id = $1 for update of d""",
        document_id,
        cleanup,
    )
    if row is None:
        raise NonRetryableError("Document not found", code="document_not_found")
    started = row_as(row, Started)
    if started.stopped is None:
        await connection.execute(
            """update document set status = 'PROCESSING', "processingAt" = now() at time zone 'utc',
                "workflowRunsIds" = array_append(array_remove("workflowRunsIds", $2), $2),
                "updatedAt" = now() at time zone 'utc' where id = $1""",
            document_id,
            run_id,
        )
        await add_document_events(connection, run_id, "document.processing", [document_id])
    return started


async def check_quota(connection: Connection, document_id: str) -> None:
    """Refuse to process a document whose organization has a free plan and no pages left.

    Raises:
        NonRetryableError: code ``pages_limit_reached``.
    """
    row = await connection.fetchrow(
        """select 1 from document d join namespace n on n.id = d."namespaceId"
            join organization o on o.id = n."organizationId"
        where d.id = $1 and lower(o.plan) = 'free' and o."totalPages" >= o."pagesLimit"
            and coalesce(d.source ->> 'type', '') not in ('CRAWLED_PAGE', 'YOUTUBE_VIDEO')""",
        document_id,
    )
    if row is not None:
        # Not the words of documents over a crawl's quota: those do not count as documents, this one does.
        raise NonRetryableError("Pages limit reached", code="pages_limit_reached")


async def note_parsing(connection: Connection, run_id: str, document_id: str) -> bool:
    """Turn the document to PRE_PROCESSING; tell whether it may be processed still.

    One that FAILED may: somebody has the run tried again.
    """
    tag = await connection.execute(
        """update document set status = 'PRE_PROCESSING', "preProcessingAt" = now() at time zone 'utc',
            "workflowRunsIds" = array_append(array_remove("workflowRunsIds", $2), $2),
            "updatedAt" = now() at time zone 'utc'
        where id = $1 and status in ('PROCESSING', 'PRE_PROCESSING', 'FAILED')""",
        document_id,
        run_id,
    )
    return tag != "UPDATE 0"


async def note_parsed(connection: Connection, document_id: str, size_bytes: int, mime_type: str | None) -> bool:
    """Turn the document back to PROCESSING, its properties known; tell whether it may be processed still."""
    tag = await connection.execute(
        """update document set status = 'PROCESSING', "processingAt" = now() at time zone 'utc',
            "documentProperties" = jsonb_build_object('fileSize', $2::int8, 'mimeType', $3::text),
            "updatedAt" = now() at time zone 'utc'
        where id = $1 and status in ('PROCESSING', 'PRE_PROCESSING')""",
        document_id,
        size_bytes,
        mime_type,
    )
    return tag != "UPDATE 0"


async def note_remote_result(
    connection: Connection,
    run_id: str,
    document_id: str,
    size_bytes: int,
    mime_type: str | None,
    characters: int,
    chunks: int,
) -> bool:
    """Like :func:`note_parsed`, with what the parser service has counted.

    Its pages are written with the completion, which counts them: a document that fails in between would otherwise show
    pages that nobody has counted, and counting them later would find no difference (W-10).
    """
    tag = await connection.execute(
        """update document set status = 'PROCESSING', "processingAt" = now() at time zone 'utc',
            "documentProperties" = jsonb_build_object('fileSize', $2::int8, 'mimeType', $3::text),
            "totalCharacters" = $4::int, "totalChunks" = $5::int,
            "workflowRunsIds" = array_append(array_remove("workflowRunsIds", $6), $6),
            "updatedAt" = now() at time zone 'utc'
        where id = $1 and status in ('PROCESSING', 'PRE_PROCESSING', 'FAILED')""",
        document_id,
        size_bytes,
        mime_type,
        characters,
        chunks,
        run_id,
    )
    return tag != "UPDATE 0"


async def note_source(connection: Connection, run_id: str, document_id: str, fields: Mapping[str, object]) -> bool:
    """Turn the document to PROCESSING again, with what its ``chunks.json`` knows of its source."""
    tag = await connection.execute(
        """update document set status = 'PROCESSING', "processingAt" = now() at time zone 'utc',
            source = source || $2::jsonb,
            "workflowRunsIds" = array_append(array_remove("workflowRunsIds", $3), $3),
            "updatedAt" = now() at time zone 'utc'
        where id = $1 and status in ('PROCESSING', 'PRE_PROCESSING', 'FAILED')""",
        document_id,
        msgspec.json.encode(fields).decode(),
        run_id,
    )
    return tag != "UPDATE 0"


async def is_processing(connection: Connection, document_id: str) -> bool:
    """Tell whether the document may be processed still. Not when it FAILED: its vectors were removed."""
    row = await connection.fetchrow(
        "select 1 from document where id = $1 and status in ('PROCESSING', 'PRE_PROCESSING')", document_id
    )
    return row is not None


async def begin_chunks(connection: Connection, run_id: str, document_id: str) -> bool:
    """Tell whether the document may be processed, from its first chunk on.

    One that FAILED may, and turns back to PROCESSING: somebody has the run tried again, and no vector is relied on.
    """
    row = await connection.fetchrow(
        """with revived as (update document set status = 'PROCESSING', "processingAt" = now() at time zone 'utc',
            "workflowRunsIds" = array_append(array_remove("workflowRunsIds", $2), $2),
            "updatedAt" = now() at time zone 'utc' where id = $1 and status = 'FAILED')
        select 1 from document where id = $1 and status in ('PROCESSING', 'PRE_PROCESSING', 'FAILED')""",
        document_id,
        run_id,
    )
    return row is not None


async def may_take_chunks(connection: Connection, run_id: str, document_id: str, *, first: bool) -> bool:
    """Tell whether a run may take chunks of the document: its first ones, or some more."""
    if first:
        return await begin_chunks(connection, run_id, document_id)
    return await is_processing(connection, document_id)


async def complete(
    connection: Connection, run_id: str, document_id: str, totals: Totals, pages_before: float, *, exact: bool
) -> Completed:
    """Turn the document to COMPLETED, and add the pages that are not in the counters yet.

    Args:
        connection: a transaction that runs once.
        run_id: the orchestrator's job.
        document_id: the ``document`` row.
        totals: what was stored.
        pages_before: pages of an earlier run, which the platform takes for counted.
        exact: count what is not counted, whatever the earlier run came to (W-10).
    """
    counted = await counted_documents(connection, [document_id], exact=exact)
    row = await connection.fetchrow(
        """update document set status = 'COMPLETED', "totalChunks" = $2::int, "totalTokens" = $3::int,
            "totalCharacters" = $4::int, "totalPages" = $5::float8, "completedAt" = now() at time zone 'utc',
            "failedAt" = null, error = null, "workflowRunsIds" = array_remove("workflowRunsIds", $6),
            "updatedAt" = now() at time zone 'utc'
        where id = $1 and status in ('PROCESSING', 'PRE_PROCESSING') returning "namespaceId\"""",
        document_id,
        totals.chunks,
        totals.tokens,
        totals.characters,
        totals.pages,
        run_id,
    )
    if row is None:
        found = await connection.fetchrow("select status::text as status from document where id = $1", document_id)
        return Completed(stopped=GONE if found is None else str(found["status"]))
    await add_documents(connection, str(row["namespaceId"]), sum(not document.counted for document in counted))
    before = sum(document.pages for document in counted) if exact else pages_before
    await add_pages(connection, str(row["namespaceId"]), totals.pages - before)
    await forget_counted(connection, counted)
    await add_document_events(connection, run_id, "document.ready", [document_id])
    return Completed(pages_delta=totals.pages - before)


async def fail(connection: Connection, run_id: str, document_id: str, ingest_job_id: str, message: str) -> Failed:
    """Turn the document to FAILED because its run did; nothing when the row is gone, finished or being deleted."""
    row = await connection.fetchrow(
        """update document d set status = 'FAILED', error = $2, "failedAt" = now() at time zone 'utc',
            "workflowRunsIds" = array_remove("workflowRunsIds", $3), "updatedAt" = now() at time zone 'utc'
        from namespace n
        where d.id = $1 and n.id = d."namespaceId"
            and d.status not in ('COMPLETED', 'QUEUED_FOR_DELETE', 'DELETING', 'CANCELLING', 'CANCELLED')
        returning coalesce(d."processingAt" >= d."preProcessingAt", false) as written,
            n.id as namespace_id, d."tenantId" as tenant_id,
            coalesce(n."vectorStoreConfig" ->> 'provider', '') in ('MANAGED_PINECONE', 'MANAGED_PINECONE_OLD',
                'PINECONE') as on_pinecone""",
        document_id,
        message,
        run_id,
    )
    if row is not None:
        await add_document_events(connection, run_id, "document.error", [document_id])
    else:
        row = await connection.fetchrow(
            """select j."namespaceId" as namespace_id, j."tenantId" as tenant_id,
                d.status is distinct from 'COMPLETED' as written,
                coalesce(n."vectorStoreConfig" ->> 'provider', '') in ('MANAGED_PINECONE', 'MANAGED_PINECONE_OLD',
                    'PINECONE') as on_pinecone
            from ingest_job j join namespace n on n.id = j."namespaceId" left join document d on d.id = $1
            where j.id = $2""",
            document_id,
            ingest_job_id,
        )
    return Failed() if row is None else row_as(row, Failed)


async def queued_after(connection: Connection, ingest_job_id: str, after: str | None, limit: int) -> list[str]:
    """Return up to ``limit`` ids of an ingest job's queued documents behind ``after``, in the order of its payload.

    Fewer than ``limit`` mean that no more follow, or that the ingest job is not processed any more.
    """
    first, last = document_id_range(ingest_job_id)
    found: list[str] = []
    position = after or first
    while True:
        # Filtered here and not there: the database would rather sort all that is queued than walk its primary key.
        rows = await connection.fetch(
            """select d.id, d.status = 'QUEUED' and d."ingestJobId" = $1 as wanted from document d
            where d.id > $2 and d.id <= $3
                and (select j.status from ingest_job j where j.id = $1) in ('PROCESSING', 'FAILED')
            order by d.id limit $4::int""",
            ingest_job_id,
            position,
            last,
            _WALK_ROWS,
        )
        found += [str(row["id"]) for row in rows if row["wanted"]]
        if len(found) >= limit or len(rows) < _WALK_ROWS:
            return found[:limit]
        position = str(rows[-1]["id"])
