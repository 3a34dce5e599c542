"""Documents that the parser service has found: pages of a crawl, and videos (domain.md §2.1 step 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from orchestrator.ports import Connection
from steps.parser_service.results import RemoteDocument
from steps.platform.events import add_document_events
from steps.platform.ingest_jobs import Ledger, ledger_of, store_ledger
from steps.platform.ingest_settings import IngestSettings
from steps.platform.rows import row_as

RemoteKind = Literal["CRAWL", "YOUTUBE"]

#: Documents inserted per statement.
_INSERT_ROWS = 500
_SOURCE_TYPES = {"CRAWL": "CRAWLED_PAGE", "YOUTUBE": "YOUTUBE_VIDEO"}
_MIME_TYPES = {"CRAWL": "text/html", "YOUTUBE": "text/markdown"}


class RemoteCreated(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the documents found.

    Attributes:
        stopped: the ingest job is being deleted: nothing was inserted.
        ids: those to be processed, in their order.
        over_limit: those that the quota does not allow.
    """

    stopped: bool = False
    ids: list[str] = []
    over_limit: int = 0


class RemoteRequest(msgspec.Struct, frozen=True):
    """What the service is asked to find, as the ingest job's row has it; JSON is not decoded yet.

    Attributes:
        namespace_id: the namespace.
        tenant_id: the tenant, if there is one.
        payload: the ingest job's.
        config: the ingest job's.
    """

    namespace_id: str
    tenant_id: str | None
    payload: str
    config: str | None

    def __repr__(self) -> str:
        return "RemoteRequest(…)"


class _Quota(msgspec.Struct, frozen=True):
    id: str
    plan: str
    pages_limit: int
    total_pages: float


class _Row(msgspec.Struct, frozen=True):
    """One row of the insert's JSON parameter."""

    position: int
    id: str
    name: str | None
    video_id: str | None
    bytes: int
    characters: int
    chunks: int
    pages: float
    over: bool


async def load_request(connection: Connection, ingest_job_id: str) -> RemoteRequest | None:
    """Return what to ask for, or None when the ingest job is gone or being deleted."""
    row = await connection.fetchrow(
        """select "namespaceId" as namespace_id, "tenantId" as tenant_id, payload::text as payload,
            config::text as config
        from ingest_job where id = $1 and status in ('PRE_PROCESSING', 'FAILED')""",
        ingest_job_id,
    )
    return None if row is None else row_as(row, RemoteRequest)


async def are_created(connection: Connection, run_id: str, ingest_job_id: str) -> bool:
    """Tell whether this run has inserted its documents: asking the service once more would cost money for nothing."""
    return await ledger_of(connection, run_id, ingest_job_id) is not None


async def create(
    connection: Connection,
    run_id: str,
    ingest_job_id: str,
    kind: RemoteKind,
    found: Sequence[RemoteDocument],
    settings: IngestSettings,
) -> RemoteCreated:
    """Insert the documents found; those that the organization's quota does not allow as FAILED.

    All of it is one transaction that holds the organization's row: what one job has taken of the quota, another sees.

    Args:
        connection: a transaction that runs once.
        run_id: the orchestrator's job.
        ingest_job_id: the ``ingest_job`` row.
        kind: of its payload.
        found: each once, in the order in which the quota is given out.
        settings: how the quota is reckoned, and what is announced.
    """
    # Locked in the order of all: ingest job, namespace, organization (W-20).
    job = await connection.fetchrow(
        'select status::text as status, "namespaceId" from ingest_job where id = $1 for share', ingest_job_id
    )
    if job is None or job["status"] not in ("PRE_PROCESSING", "FAILED"):
        return RemoteCreated(stopped=True)
    namespace_id = str(job["namespaceId"])
    available = await _available(connection, namespace_id, settings)
    allowed = within_quota([document.total_characters / 1000 for document in found], available)
    rows = [_row(position, document, over=not allowed[position]) for position, document in enumerate(found)]
    inserted: set[str] = set()
    for at in range(0, len(rows), _INSERT_ROWS):
        inserted |= await _insert(connection, ingest_job_id, kind, rows[at : at + _INSERT_ROWS])
    ids = [row.id for row in rows if row.id in inserted]
    over = {row.id for row in rows if row.over}
    queued = [document_id for document_id in ids if document_id not in over]
    await _announce(connection, run_id, kind, ids, over, settings)
    await store_ledger(connection, run_id, ingest_job_id, Ledger(namespace_id, len(found), len(queued)))
    return RemoteCreated(ids=queued, over_limit=len(ids) - len(queued))


async def still_queued(connection: Connection, ingest_job_id: str, document_ids: Sequence[str]) -> set[str]:
    """Return which of these documents wait to be processed; none once their ingest job is not processed any more."""
    rows = await connection.fetch(
        """select id from document
        where id = any($1::text[]) and "ingestJobId" = $2 and status = 'QUEUED'
            and (select j.status from ingest_job j where j.id = $2) in ('PROCESSING', 'FAILED')""",
        list(document_ids),
        ingest_job_id,
    )
    return {str(row["id"]) for row in rows}


def within_quota(pages: Sequence[float], available: float | None) -> list[bool]:
    """Say which documents a quota allows: greedily in their order, so that a later smaller one may still fit.

    Args:
        pages: of each document.
        available: pages left, possibly fewer than none; None for no limit.
    """
    used = 0.0
    allowed: list[bool] = []
    for count in pages:
        fits = available is None or used + count <= available
        used += count if fits else 0.0
        allowed.append(fits)
    return allowed


async def _available(connection: Connection, namespace_id: str, settings: IngestSettings) -> float | None:
    """Return the pages left to the namespace's organization, or None when its plan has no limit."""
    await connection.fetchrow("select 1 from namespace where id = $1 for key share", namespace_id)
    row = await connection.fetchrow(
        """select id, plan, "pagesLimit" as pages_limit, "totalPages" as total_pages from organization
        where id = (select "organizationId" from namespace where id = $1) for no key update""",
        namespace_id,
    )
    quota = None if row is None else row_as(row, _Quota)
    if quota is None or quota.plan.lower() != "free":
        return None
    left = quota.pages_limit - quota.total_pages
    return left if settings.pages_quota == "original" else left - await _reserved(connection, quota.id)


async def _reserved(connection: Connection, organization_id: str) -> float:
    """Return the pages that are promised and not counted yet. Asked behind the lock: it sees what other jobs took."""
    row = await connection.fetchrow(
        """select coalesce(sum(d."totalPages"), 0)::float8 as pages
        from document d join namespace n on n.id = d."namespaceId"
        where n."organizationId" = $1 and d.status in ('QUEUED', 'PRE_PROCESSING', 'PROCESSING')
            and d."completedAt" is null and d.source ->> 'type' in ('CRAWLED_PAGE', 'YOUTUBE_VIDEO')""",
        organization_id,
    )
    return 0.0 if row is None else msgspec.convert(row["pages"], float)


def _row(position: int, found: RemoteDocument, *, over: bool) -> _Row:
    return _Row(
        position,
        found.id,
        found.url or found.title,
        found.video_id,
        found.total_bytes,
        found.total_characters,
        found.total_chunks,
        found.total_characters / 1000,
        over,
    )


async def _insert(connection: Connection, ingest_job_id: str, kind: RemoteKind, rows: Sequence[_Row]) -> set[str]:
    inserted = await connection.fetch(
        """insert into document (id, "namespaceId", "ingestJobId", "tenantId", name, status, error, "failedAt", source,
            "totalCharacters", "totalChunks", "totalPages", "documentProperties", "queuedAt", "createdAt", "updatedAt")
        select d.id, j."namespaceId", j.id, j."tenantId", d.name,
            case when d.over then 'FAILED' else 'QUEUED' end::"DocumentStatus",
            case when d.over then 'Pages limit exceeded' end,
            case when d.over then now() at time zone 'utc' end,
            jsonb_strip_nulls(jsonb_build_object('type', $3::text, 'videoId', d.video_id)),
            d.characters, d.chunks, d.pages,
            jsonb_build_object('fileSize', d.bytes, 'mimeType', $4::text),
            now() at time zone 'utc', now() at time zone 'utc', now() at time zone 'utc'
        from ingest_job j cross join json_to_recordset($2::json) as d (position int, id text, name text, video_id text,
            bytes int8, characters int, chunks int, pages float8, over bool)
        where j.id = $1
        order by d.position
        on conflict (id) do nothing returning id""",
        ingest_job_id,
        msgspec.json.encode(rows).decode(),
        _SOURCE_TYPES[kind],
        _MIME_TYPES[kind],
    )
    return {str(row["id"]) for row in inserted}


async def _announce(
    connection: Connection,
    run_id: str,
    kind: RemoteKind,
    ids: Sequence[str],
    over: set[str],
    settings: IngestSettings,
) -> None:
    """Announce the documents: the original says ``queued`` of every video, also of those over the quota (W-34)."""
    complete = settings.ingest_events == "complete"
    if complete:
        queued = [document_id for document_id in ids if document_id not in over]
    else:
        queued = list(ids) if kind == "YOUTUBE" else []
    if queued:
        await add_document_events(connection, run_id, "document.queued", queued)
    failed = [document_id for document_id in ids if document_id in over]
    if complete and failed:
        await add_document_events(connection, run_id, "document.error", failed)
