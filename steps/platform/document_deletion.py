"""What the deletes do to ``document`` rows (domain.md §2.4).

The statement that deletes a row is what makes its effects happen once: whoever finds the row gone counts nothing and
announces nothing. So counters, event and row are one transaction, with or without a parent (W-06).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from orchestrator.ports import Connection
from steps.platform.counted import counted_documents, forget_counted
from steps.platform.counters import remove_documents
from steps.platform.events import add_document_events
from steps.platform.rows import row_as


class DoomedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A document at the start of its deletion: facts that are no secrets, since they are checkpointed.

    Attributes:
        id: the ``document`` row.
        namespace_id: its namespace.
        tenant_id: its tenant, if it has one.
        key: the object it was made of, if that is the platform's own.
        runs: jobs that may be processing it.
        on_pinecone: its vectors are where deletes are limited (domain.md §3.5).
    """

    id: str
    namespace_id: str
    tenant_id: str | None
    key: str | None
    runs: list[str]
    on_pinecone: bool


class Contents(msgspec.Struct, frozen=True):
    """What belongs to a document outside of its row.

    Attributes:
        id: the document.
        tenant_id: its tenant, if it has one.
        key: the object it was made of, if that is the platform's own.
        at: its place in the order of creation.
    """

    id: str
    tenant_id: str | None
    key: str | None
    at: str


class Removed(msgspec.Struct, frozen=True):
    """What deleting documents took off the counters."""

    documents: int = 0
    pages: float = 0.0


async def begin(connection: Connection, document_id: str) -> DoomedDocument | None:
    """Turn the document to DELETING, whatever it is doing; None when the row is gone.

    One statement: a run that begins meanwhile either is among the runs or finds the document being deleted.
    """
    row = await connection.fetchrow(
        """with d as (update document set status = 'DELETING', "updatedAt" = now() at time zone 'utc'
            where id = $1 returning id, "namespaceId", "tenantId", source, "workflowRunsIds")
        select d.id, d."namespaceId" as namespace_id, d."tenantId" as tenant_id,
            case when d.source ->> 'type' = 'MANAGED_FILE' then d.source ->> 'key' end as key,
            coalesce(d."workflowRunsIds", '{}') as runs,
            coalesce(n."vectorStoreConfig" ->> 'provider', '') in ('MANAGED_PINECONE', 'MANAGED_PINECONE_OLD',
                'PINECONE') as on_pinecone
        from d join namespace n on d."namespaceId" = n.id""",
        document_id,
    )
    return None if row is None else row_as(row, DoomedDocument)


async def mark(connection: Connection, document_ids: Sequence[str]) -> list[str]:
    """Turn documents to DELETING; return the jobs that may be processing them.

    From here on no run begins with them, and those under way give way at their next look (W-04, W-05).
    """
    rows = await connection.fetch(
        """with locked as (select id from document where id = any($1::text[]) order by id for update)
        update document d set status = 'DELETING', "updatedAt" = now() at time zone 'utc'
        from locked l where d.id = l.id returning coalesce(d."workflowRunsIds", '{}') as runs""",
        list(document_ids),
    )
    return [run_id for row in rows for run_id in msgspec.convert(row["runs"], list[str])]


async def remove(
    connection: Connection, run_id: str, document_ids: Sequence[str], *, announce: bool, count: bool, exact: bool
) -> Removed:
    """Delete the rows of documents of one namespace whose contents are gone.

    Args:
        connection: a transaction.
        run_id: the orchestrator's job.
        document_ids: rows that are gone already are left out.
        announce: write ``document.deleted`` events.
        count: take them off the counters.
        exact: see :func:`steps.platform.counted.counted_documents`.
    """
    found = await counted_documents(connection, document_ids, exact=exact)
    ids = [document.id for document in found]
    if not ids:
        return Removed()
    if announce:
        await add_document_events(connection, run_id, "document.deleted", ids)
    rows = await connection.fetch('delete from document where id = any($1::text[]) returning "namespaceId"', ids)
    await forget_counted(connection, found)
    removed = Removed(sum(document.counted for document in found), sum(document.pages for document in found))
    if count:
        await remove_documents(connection, str(rows[0]["namespaceId"]), removed.documents, removed.pages)
    return removed


async def fail(connection: Connection, document_ids: Sequence[str], message: str) -> None:
    """Turn documents whose deletion gave up to FAILED, so that it can be requested again (W-01).

    The error of one over the quota says that it was never counted: that is remembered before it is written over (W-10).
    """
    await connection.execute(
        """with locked as (select id, error from document
            where id = any($1::text[]) and status in ('QUEUED_FOR_DELETE', 'DELETING') order by id for update),
        remembered as (insert into wf.counted_document (document_id, counted, pages)
            select id, false, 0 from locked where error = 'Pages limit exceeded' on conflict (document_id) do nothing)
        update document d set status = 'FAILED', error = $2, "failedAt" = now() at time zone 'utc',
            "updatedAt" = now() at time zone 'utc'
        from locked l where d.id = l.id""",
        list(document_ids),
        message,
    )


async def page(connection: Connection, ingest_job_id: str, after: tuple[str, str] | None, limit: int) -> list[Contents]:
    """Return up to ``limit`` documents of an ingest job behind ``after``, in the order of their creation.

    Rows deleted on the way are behind the cursor, where nobody looks any more: no page is slower than the first.

    Args:
        connection: a connection.
        ingest_job_id: the ``ingest_job`` row.
        after: ``at`` and ``id`` of the last document of the page before.
        limit: most documents.
    """
    rows = await connection.fetch(
        """select d.id, d."tenantId" as tenant_id,
            case when d.source ->> 'type' = 'MANAGED_FILE' then d.source ->> 'key' end as key,
            to_char(d."createdAt", 'YYYY-MM-DD HH24:MI:SS.MS') as at
        from document d
        where d."ingestJobId" = $1 and (d."createdAt", d.id) > ($2::text::timestamp, $3::text)
        order by d."createdAt", d.id limit $4::int""",
        ingest_job_id,
        *(after or ("-infinity", "")),
        limit,
    )
    return [row_as(row, Contents) for row in rows]


async def unneeded_keys(connection: Connection, keys: Sequence[str], document_ids: Sequence[str]) -> list[str]:
    """Return those of the keys that no document needs but these and others that are being deleted (W-17).

    The ``chunks.json`` of another document is needed by that one, although it may be named as a managed file (W-18).
    """
    rows = await connection.fetch(
        """select k.key from unnest($1::text[]) as k (key)
        where not exists (select 1 from document d
                where d.source ->> 'key' = k.key and d.status <> 'DELETING' and not d.id = any($2::text[]))
            and not exists (select 1 from document o
                where o.id = split_part(k.key, '/', 4) and o.status <> 'DELETING' and not o.id = any($2::text[])
                    and starts_with(k.key, 'namespaces/' || o."namespaceId" || '/documents/' || o.id || '/'))""",
        list(keys),
        list(document_ids),
    )
    return [str(row["key"]) for row in rows]
