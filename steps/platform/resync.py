"""What a re-ingestion does to rows (domain.md §2.3). A delete always wins: nothing that is being deleted is queued."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from orchestrator.ports import Connection
from steps.platform.counted import remember_counted
from steps.platform.document_deletion import Contents
from steps.platform.events import add_document_events
from steps.platform.rows import row_as


class Entered(msgspec.Struct, frozen=True):
    """A run among the runs of its ingest job.

    Attributes:
        before: the runs that were there before it, in their order.
    """

    before: list[str]


class Outcome(msgspec.Struct, frozen=True):
    """What became of a status write.

    Attributes:
        stopped: why it was not made: the status found, or ``gone``; None when it was made.
    """

    stopped: str | None = None


async def is_requested(connection: Connection, run_id: str, ingest_job_id: str) -> bool | None:
    """Tell whether the platform has written down that it asked for this run; None when the ingest job is gone."""
    row = await connection.fetchrow(
        """select coalesce($2 = any("workflowRunsIds"), false) as requested from ingest_job where id = $1""",
        ingest_job_id,
        run_id,
    )
    return None if row is None else bool(row["requested"])


async def enter(connection: Connection, run_id: str, ingest_job_id: str) -> Entered:
    """Put the run behind those that are in the ingest job's row already, unless it is among them."""
    row = await connection.fetchrow(
        """update ingest_job set "workflowRunsIds" = case when $2 = any("workflowRunsIds") then "workflowRunsIds"
                else array_append("workflowRunsIds", $2) end, "updatedAt" = now() at time zone 'utc'
        where id = $1
        returning coalesce("workflowRunsIds"[:array_position("workflowRunsIds", $2) - 1], '{}') as before""",
        ingest_job_id,
        run_id,
    )
    return Entered([]) if row is None else row_as(row, Entered)


async def begin(connection: Connection, ingest_job_id: str) -> Outcome:
    """Turn the ingest job to PROCESSING."""
    row = await connection.fetchrow(
        """select case when n.status = 'DELETING' or o.status = 'DELETING' then 'DELETING' else j.status::text end
            as status
        from ingest_job j join namespace n on n.id = j."namespaceId" join organization o on o.id = n."organizationId"
        where j.id = $1 for update of j""",
        ingest_job_id,
    )
    status = "gone" if row is None else str(row["status"])
    if status in ("gone", "QUEUED_FOR_DELETE", "DELETING", "CANCELLING", "CANCELLED"):
        return Outcome(status)
    await connection.execute(
        """update ingest_job set status = 'PROCESSING', "preProcessingAt" = now() at time zone 'utc',
            "processingAt" = null, "completedAt" = null, "failedAt" = null, error = null,
            "updatedAt" = now() at time zone 'utc'
        where id = $1""",
        ingest_job_id,
    )
    return Outcome()


async def queue_documents(
    connection: Connection, run_id: str, ingest_job_id: str, document_ids: Sequence[str]
) -> int | None:
    """Turn documents to QUEUED_FOR_RESYNC and announce it; return how many, or None when the run has to stop.

    Those that are being deleted stay as they are (W-05).
    """
    job = await connection.fetchrow(
        "select 1 from ingest_job where id = $1 and status in ('PROCESSING', 'QUEUED_FOR_RESYNC', 'FAILED')",
        ingest_job_id,
    )
    if job is None:
        return None
    rows = await connection.fetch(
        """select id from document
        where id = any($1::text[]) and status not in ('QUEUED_FOR_DELETE', 'DELETING', 'CANCELLING', 'CANCELLED')
        order by id for update""",
        list(document_ids),
    )
    ids = [str(row["id"]) for row in rows]
    await remember_counted(connection, ids)
    await connection.execute(
        """update document set status = 'QUEUED_FOR_RESYNC', "queuedAt" = now() at time zone 'utc',
            "preProcessingAt" = null, "processingAt" = null, "completedAt" = null, "failedAt" = null, error = null,
            "updatedAt" = now() at time zone 'utc'
        where id = any($1::text[])""",
        ids,
    )
    order = {document_id: place for place, document_id in enumerate(document_ids)}
    await add_document_events(connection, run_id, "document.queued_for_resync", sorted(ids, key=order.__getitem__))
    return len(ids)


async def queued_after(
    connection: Connection, ingest_job_id: str, after: tuple[str, str] | None, limit: int
) -> list[Contents]:
    """Return up to ``limit`` documents that wait to be processed again, behind ``after``, by their creation.

    None once the ingest job is not processed any more.
    """
    rows = await connection.fetch(
        """select d.id, null as tenant_id, null as key, to_char(d."createdAt", 'YYYY-MM-DD HH24:MI:SS.MS') as at
        from document d
        where d."ingestJobId" = $1 and d.status = 'QUEUED_FOR_RESYNC'
            and (d."createdAt", d.id) > ($2::text::timestamp, $3::text)
            and (select j.status from ingest_job j where j.id = $1) in ('PROCESSING', 'QUEUED_FOR_RESYNC', 'FAILED')
        order by d."createdAt", d.id limit $4::int""",
        ingest_job_id,
        *(after or ("-infinity", "")),
        limit,
    )
    return [row_as(row, Contents) for row in rows]


async def finish(connection: Connection, ingest_job_id: str, error: str | None) -> Outcome:
    """Turn the ingest job to COMPLETED, or to FAILED with ``error``. Pages were counted document by document.

    QUEUED_FOR_RESYNC may come before it: the platform writes it after it has started the run (W-05).
    """
    tag = await connection.execute(
        """update ingest_job set status = case when $2::text is null then 'COMPLETED' else 'FAILED' end
                ::"IngestJobStatus",
            "completedAt" = case when $2::text is null then now() at time zone 'utc' end,
            "failedAt" = case when $2::text is not null then now() at time zone 'utc' end,
            error = $2::text, "updatedAt" = now() at time zone 'utc'
        where id = $1 and status in ('PROCESSING', 'QUEUED_FOR_RESYNC', 'FAILED')""",
        ingest_job_id,
        error,
    )
    if tag != "UPDATE 0":
        return Outcome()
    row = await connection.fetchrow("select status::text as status from ingest_job where id = $1", ingest_job_id)
    return Outcome("gone" if row is None else str(row["status"]))


async def fail(connection: Connection, ingest_job_id: str, message: str) -> None:
    """Turn the ingest job to FAILED because its run did; nothing when the row is gone or being deleted."""
    await connection.execute(
        """update ingest_job set status = 'FAILED', error = $2, "failedAt" = now() at time zone 'utc',
            "updatedAt" = now() at time zone 'utc'
        where id = $1 and status not in ('QUEUED_FOR_DELETE', 'DELETING', 'CANCELLING', 'CANCELLED')""",
        ingest_job_id,
        message,
    )
