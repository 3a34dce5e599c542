"""What ingestion does to ``ingest_job`` rows and to the documents made from them (domain.md §2.1).

Status writes name the states they may follow, so that a delete or cancel request always wins (W-05). FAILED is among
them: somebody has the failed run tried again.
"""

from __future__ import annotations

import msgspec

from orchestrator.errors import NonRetryableError
from orchestrator.ports import Connection
from steps.platform.counters import add_documents
from steps.platform.events import add_document_events, add_ingest_job_event
from steps.platform.ids import document_id
from steps.platform.rows import row_as


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What a run knows of its ingest job.

    Attributes:
        stopped: why nothing is to be done; None to go on.
        kind: type of the payload.
        items: how many documents the payload makes.
    """

    stopped: str | None = None
    kind: str | None = None
    items: int = 0


class Created(msgspec.Struct, frozen=True, kw_only=True):
    """How far the documents are created.

    Attributes:
        documents: inserted by this run.
        stopped: the ingest job is being deleted: nothing more is inserted.
    """

    documents: int = 0
    stopped: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a status write.

    Attributes:
        stopped: why it was not made: the status found, or ``gone``; None when it was made.
        documents: inserted by this run.
    """

    stopped: str | None = None
    documents: int = 0


class _Facts(msgspec.Struct, frozen=True):
    status: str
    kind: str | None
    items: int
    closing: str | None


class Ledger(msgspec.Struct, frozen=True, array_like=True):
    """One run's row of ``wf.effect``: written in the transactions that insert documents, so it counts each once.

    A batch that is repeated, in other bounds after a crash, goes on where the last transaction ended.
    """

    namespace_id: str
    next_index: int = 0
    created: int = 0
    counted: bool = False


async def begin(connection: Connection, run_id: str, ingest_job_id: str) -> Begun:
    """Turn the ingest job to PRE_PROCESSING, and name the run in its row, so that a delete can stop it (W-04).

    Raises:
        NonRetryableError: code ``ingest_job_not_found``.
    """
    row = await connection.fetchrow(
        """select j.status::text as status, j.payload ->> 'type' as kind,
            case when j.payload ->> 'type' is distinct from 'BATCH' then 1
                when jsonb_typeof(j.payload -> 'items') = 'array' then jsonb_array_length(j.payload -> 'items')
                else -1 end as items,
            case when n.status = 'DELETING' or o.status = 'DELETING' then 'DELETING' end as closing
        from ingest_job j join namespace n on n.id = j."namespaceId" join organization o on o.id = n."organizationId"
        where j.id = $1 for update of j""",
        ingest_job_id,
    )
    if row is None:
        raise NonRetryableError("Ingestion job not found", code="ingest_job_not_found")
    facts = row_as(row, _Facts)
    if facts.closing is not None:
        return Begun(stopped=facts.closing)
    tag = await connection.execute(
        """update ingest_job set status = 'PRE_PROCESSING', "preProcessingAt" = now() at time zone 'utc',
            "workflowRunsIds" = case when $2 = any("workflowRunsIds") then "workflowRunsIds"
                else array_append("workflowRunsIds", $2) end,
            "updatedAt" = now() at time zone 'utc'
        where id = $1 and status not in ('QUEUED_FOR_DELETE', 'DELETING', 'CANCELLING', 'CANCELLED')""",
        ingest_job_id,
        run_id,
    )
    if tag == "UPDATE 0":
        return Begun(stopped=facts.status)
    return Begun(kind=facts.kind, items=facts.items)


async def create_documents(connection: Connection, run_id: str, ingest_job_id: str, first: int, count: int) -> Created:
    """Insert the documents of ``count`` items from ``first`` on, with their ``document.queued`` events, once.

    The items stay in the database: their number and size are no matter of the Worker's memory (W-16).

    Args:
        connection: a transaction.
        run_id: the orchestrator's job.
        ingest_job_id: the ``ingest_job`` row.
        first: index of the first item.
        count: number of items.
    """
    job = await connection.fetchrow(
        'select status::text as status, "namespaceId" from ingest_job where id = $1 for share', ingest_job_id
    )
    if job is None or job["status"] not in ("PRE_PROCESSING", "FAILED"):
        return Created(stopped=True)
    ledger = await ledger_of(connection, run_id, ingest_job_id) or Ledger(str(job["namespaceId"]))
    indexes = range(max(first, ledger.next_index), first + count)
    if not indexes:
        return Created(documents=ledger.created)
    inserted = await _insert(connection, ingest_job_id, indexes)
    await add_document_events(connection, run_id, "document.queued", inserted)
    ledger = msgspec.structs.replace(ledger, next_index=indexes.stop, created=ledger.created + len(inserted))
    await store_ledger(connection, run_id, ingest_job_id, ledger)
    return Created(documents=ledger.created)


async def start_processing(connection: Connection, run_id: str, ingest_job_id: str) -> Outcome:
    """Turn the ingest job to PROCESSING, and count the documents whatever its status: they exist."""
    tag = await connection.execute(
        """update ingest_job set status = 'PROCESSING', "processingAt" = now() at time zone 'utc',
            "updatedAt" = now() at time zone 'utc'
        where id = $1 and status in ('PRE_PROCESSING', 'FAILED')""",
        ingest_job_id,
    )
    created = await _count_once(connection, run_id, ingest_job_id)
    if tag == "UPDATE 0":
        return Outcome(stopped=await _status(connection, ingest_job_id), documents=created)
    await add_ingest_job_event(connection, run_id, "ingest_job.processing", ingest_job_id)
    return Outcome(documents=created)


async def finish(connection: Connection, run_id: str, ingest_job_id: str, error: str | None) -> Outcome:
    """Turn the ingest job to COMPLETED, or to FAILED with ``error``. Pages were counted document by document."""
    tag = await connection.execute(
        """update ingest_job set status = case when $2::text is null then 'COMPLETED' else 'FAILED' end
                ::"IngestJobStatus",
            "completedAt" = case when $2::text is null then now() at time zone 'utc' end,
            "failedAt" = case when $2::text is not null then now() at time zone 'utc' end,
            error = $2::text, "updatedAt" = now() at time zone 'utc'
        where id = $1 and status in ('PROCESSING', 'FAILED')""",
        ingest_job_id,
        error,
    )
    if tag == "UPDATE 0":
        return Outcome(stopped=await _status(connection, ingest_job_id))
    event = "ingest_job.ready" if error is None else "ingest_job.error"
    await add_ingest_job_event(connection, run_id, event, ingest_job_id)
    return Outcome()


async def fail(connection: Connection, run_id: str, ingest_job_id: str, message: str) -> None:
    """Turn the ingest job to FAILED because its run did; nothing when the row is gone or being deleted."""
    tag = await connection.execute(
        """update ingest_job set status = 'FAILED', error = $2, "failedAt" = now() at time zone 'utc',
            "updatedAt" = now() at time zone 'utc'
        where id = $1 and status not in ('QUEUED_FOR_DELETE', 'DELETING', 'CANCELLING', 'CANCELLED')""",
        ingest_job_id,
        message,
    )
    await _count_once(connection, run_id, ingest_job_id)
    if tag != "UPDATE 0":
        await add_ingest_job_event(connection, run_id, "ingest_job.error", ingest_job_id)


async def _status(connection: Connection, ingest_job_id: str) -> str:
    row = await connection.fetchrow("select status::text as status from ingest_job where id = $1", ingest_job_id)
    return "gone" if row is None else str(row["status"])


async def _insert(connection: Connection, ingest_job_id: str, indexes: range) -> list[str]:
    """Insert the documents of these items; return the ids of those that did not exist, by index.

    A TEXT job counts its characters as JavaScript does, in UTF-16 code units; the parser's count replaces it later.
    The payload is looked into a fixed number of times, in the materialized parts: each time costs reading all of it.
    """
    rows = await connection.fetch(
        r"""with j as materialized (
            select id, "namespaceId", "tenantId",
                case when payload ->> 'type' = 'TEXT' then payload ->> 'text' end as text
            from ingest_job where id = $1
        ), i as materialized (
            select item, position from ingest_job p
            cross join lateral jsonb_path_query(
                case when p.payload ->> 'type' = 'BATCH' then p.payload
                    else jsonb_build_object('items', jsonb_build_array(p.payload)) end,
                '$.items[$first to $last]', jsonb_build_object('first', $2::int, 'last', $3::int)
            ) with ordinality as q (item, position)
            where p.id = $1
        )
        insert into document (id, "namespaceId", "ingestJobId", "tenantId", name, status, source, config,
            "totalCharacters", "queuedAt", "createdAt", "updatedAt")
        select d.id, j."namespaceId", j.id, j."tenantId", i.item ->> 'fileName', 'QUEUED'::"DocumentStatus",
            case jsonb_typeof(i.item) when 'object' then i.item - array['fileName', 'config']
                else jsonb_build_object('type', null, 'value', i.item) end,
            nullif(i.item -> 'config', 'null'::jsonb),
            coalesce(length(j.text) + length(regexp_replace(j.text, '[\u0001-\uffff]+', '', 'g')), 0),
            now() at time zone 'utc', now() at time zone 'utc', now() at time zone 'utc'
        from j cross join i
        join unnest($4::text[]) with ordinality as d (id, position) on d.position = i.position
        order by i.position
        on conflict (id) do nothing returning id""",
        ingest_job_id,
        indexes.start,
        indexes.stop - 1,
        [document_id(ingest_job_id, index) for index in indexes],
    )
    return sorted(str(row["id"]) for row in rows)


async def _count_once(connection: Connection, run_id: str, ingest_job_id: str) -> int:
    """Add the documents this run created to the counters, unless that was done; return how many there are."""
    ledger = await ledger_of(connection, run_id, ingest_job_id)
    if ledger is None:
        return 0
    if not ledger.counted:
        await add_documents(connection, ledger.namespace_id, ledger.created)
        await store_ledger(connection, run_id, ingest_job_id, msgspec.structs.replace(ledger, counted=True))
    return ledger.created


async def ledger_of(connection: Connection, run_id: str, ingest_job_id: str) -> Ledger | None:
    """Return what a run has inserted so far, and lock it; None before it inserts anything."""
    row = await connection.fetchrow(
        "select result from wf.effect where key = $1 for update", _ledger_key(run_id, ingest_job_id)
    )
    return None if row is None else msgspec.msgpack.decode(msgspec.convert(row["result"], bytes), type=Ledger)


async def store_ledger(connection: Connection, run_id: str, ingest_job_id: str, ledger: Ledger) -> None:
    """Write down what a run has inserted, in the transaction that inserts it."""
    await connection.execute(
        """insert into wf.effect (key, result) values ($1, $2)
        on conflict (key) do update set result = excluded.result""",
        _ledger_key(run_id, ingest_job_id),
        msgspec.msgpack.encode(ledger),
    )


def _ledger_key(run_id: str, ingest_job_id: str) -> str:
    return f"job:{ingest_job_id}:{run_id}:docs"
