"""Events for customers' webhooks: rows of ``wf.event_outbox``, written in the transaction of what they announce.

Payloads are those of domain.md §5.2. They are made by the database, from the row as the transaction left it: a
document's text, which is part of its event, then never passes through the Worker. ``payload`` is jsonb, which does not
keep the order of keys: whoever delivers it writes them in the documented order.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from orchestrator.errors import OrchestratorError
from orchestrator.ports import Connection, Record
from steps.platform.ids import event_id
from steps.services import services
from steps.webhooks.settings import MAX_TEXT_CHARS

DocumentEvent = Literal[
    "document.queued",
    "document.queued_for_resync",
    "document.processing",
    "document.ready",
    "document.error",
    "document.deleted",
]
IngestJobEvent = Literal["ingest_job.processing", "ingest_job.ready", "ingest_job.error", "ingest_job.deleted"]


async def add_document_events(
    connection: Connection, run_id: str, event: DocumentEvent, document_ids: Sequence[str]
) -> None:
    """Announce the same about several documents, in this order; repeating it changes nothing.

    Args:
        connection: the transaction that made the announced change.
        run_id: the orchestrator's job.
        event: what happened.
        document_ids: the documents' rows.
    """
    rows = await connection.fetch(
        """insert into wf.event_outbox (id, event, subject, organization_id, namespace_id, payload, created_at)
        select e.id, $1::text, d.id, n."organizationId", d."namespaceId",
            jsonb_build_object(
                'id', e.id, 'event', $1::text,
                'createdAt', to_char((now() at time zone 'utc')::timestamp(3), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                'data', jsonb_build_object(
                    'id', case when starts_with(d.id, 'doc_') then d.id else 'doc_' || d.id end,
                    'name', d.name,
                    'namespaceId', case when starts_with(n.id, 'ns_') then n.id else 'ns_' || n.id end,
                    'organizationId', case when starts_with(n."organizationId", 'org_') then n."organizationId"
                        else 'org_' || n."organizationId" end,
                    'status', case when $1::text = 'document.deleted' then 'DELETING' else d.status::text end,
                    'source', (select jsonb_object_agg(key,
                            case key when 'text' then to_jsonb(left(value #>> '{}', $4::int)) else value end)
                        from jsonb_each(case when jsonb_typeof(d.source) = 'object' then d.source else '{}' end)
                        where key in ('type', 'text', 'fileUrl', 'key', 'title', 'description', 'language', 'videoId',
                            'duration')),
                    'totalCharacters', d."totalCharacters", 'totalChunks', d."totalChunks",
                    'totalPages', d."totalPages", 'error', d.error,
                    'createdAt', to_char(d."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                    'updatedAt', to_char(case when $1::text = 'document.deleted' then now() at time zone 'utc'
                        else d."updatedAt" end, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))),
            now() + e.position * interval '1 microsecond'
        from unnest($2::text[], $3::text[]) with ordinality as e (document_id, id, position)
        join document d on d.id = e.document_id
        join namespace n on n.id = d."namespaceId"
        on conflict (id) do nothing returning organization_id""",
        event,
        list(document_ids),
        [event_id(run_id, event, document_id) for document_id in document_ids],
        # One more than any webhook carries, so that delivery sees that there is more.
        MAX_TEXT_CHARS + 1,
    )
    _note(rows)


async def add_ingest_job_event(connection: Connection, run_id: str, event: IngestJobEvent, ingest_job_id: str) -> None:
    """Announce something about an ingest job; repeating it changes nothing.

    Args:
        connection: the transaction that made the announced change.
        run_id: the orchestrator's job.
        event: what happened.
        ingest_job_id: the ``ingest_job`` row.
    """
    rows = await connection.fetch(
        """insert into wf.event_outbox (id, event, subject, organization_id, namespace_id, payload)
        select $1::text, $2::text, j.id, n."organizationId", j."namespaceId",
            jsonb_build_object(
                'id', $1::text, 'event', $2::text,
                'createdAt', to_char((now() at time zone 'utc')::timestamp(3), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                'data', jsonb_build_object(
                    'id', case when starts_with(j.id, 'job_') then j.id else 'job_' || j.id end,
                    'name', j.name,
                    'namespaceId', case when starts_with(n.id, 'ns_') then n.id else 'ns_' || n.id end,
                    'organizationId', case when starts_with(n."organizationId", 'org_') then n."organizationId"
                        else 'org_' || n."organizationId" end,
                    'status', case when $2::text = 'ingest_job.deleted' then 'DELETING' else j.status::text end,
                    'error', j.error,
                    'createdAt', to_char(j."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                    'updatedAt', to_char(case when $2::text = 'ingest_job.deleted' then now() at time zone 'utc'
                        else j."updatedAt" end, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))
        from ingest_job j join namespace n on n.id = j."namespaceId"
        where j.id = $3
        on conflict (id) do nothing returning organization_id""",
        event_id(run_id, event, ingest_job_id),
        event,
        ingest_job_id,
    )
    _note(rows)


def _note(rows: Sequence[Record]) -> None:
    """Have the events delivered soon after the slice; outside of a step the platform's tick sees to them."""
    with suppress(OrchestratorError):
        services().announced.update(str(row["organization_id"]) for row in rows)
