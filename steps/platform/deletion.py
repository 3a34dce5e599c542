"""What the deletes do to rows of ``ingest_job``, ``namespace`` and ``organization`` (domain.md §2.5-2.7).

A row goes only when nothing below it is left: the database's cascade would take rows along whose vectors, files and
counters nobody has seen to (W-07).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from orchestrator.ports import Connection
from steps.platform import counters
from steps.platform.events import add_ingest_job_event
from steps.platform.rows import row_as


class DoomedIngestJob(msgspec.Struct, frozen=True):
    """An ingest job at the start of its deletion.

    Attributes:
        namespace_id: its namespace.
        runs: jobs that may be processing it.
        on_pinecone: its vectors are where deletes are limited (domain.md §3.5).
    """

    namespace_id: str
    runs: list[str]
    on_pinecone: bool


class DoomedNamespace(msgspec.Struct, frozen=True):
    """A namespace at the start of its deletion.

    Attributes:
        organization_id: its organization.
        asset_urls: the images of its hosted page.
        on_pinecone: its vectors are where deletes are limited (domain.md §3.5).
    """

    organization_id: str
    asset_urls: list[str]
    on_pinecone: bool


class Placed(msgspec.Struct, frozen=True):
    """A row and its place in the order of creation."""

    id: str
    at: str


async def begin_ingest_job(connection: Connection, ingest_job_id: str) -> DoomedIngestJob | None:
    """Turn the ingest job to DELETING, whatever it is doing; None when the row is gone.

    From here on no run begins with it and no document is added to it (W-05).
    """
    row = await connection.fetchrow(
        """with marked as (update ingest_job set status = 'DELETING', "updatedAt" = now() at time zone 'utc'
            where id = $1 returning "namespaceId", "workflowRunsIds")
        select n.id as namespace_id, coalesce(m."workflowRunsIds", '{}') as runs,
            coalesce(n."vectorStoreConfig" ->> 'provider', '') in ('MANAGED_PINECONE', 'MANAGED_PINECONE_OLD',
                'PINECONE') as on_pinecone
        from marked m join namespace n on m."namespaceId" = n.id""",
        ingest_job_id,
    )
    return None if row is None else row_as(row, DoomedIngestJob)


async def remove_ingest_job(connection: Connection, run_id: str, ingest_job_id: str, *, announce: bool) -> bool:
    """Delete the ingest job's row; False when it still has documents.

    Args:
        connection: a transaction.
        run_id: the orchestrator's job.
        ingest_job_id: the ``ingest_job`` row; one that is gone counts nothing.
        announce: write an ``ingest_job.deleted`` event.
    """
    row = await connection.fetchrow('select "namespaceId" from ingest_job where id = $1 for update', ingest_job_id)
    if row is None:
        return True
    # A statement of its own: it sees what was added while the lock was waited for.
    if await connection.fetchrow('select 1 from document where "ingestJobId" = $1 limit 1', ingest_job_id):
        return False
    if announce:
        await add_ingest_job_event(connection, run_id, "ingest_job.deleted", ingest_job_id)
    await connection.execute("delete from ingest_job where id = $1", ingest_job_id)
    await counters.remove_ingest_job(connection, str(row["namespaceId"]))
    return True


async def fail_ingest_job(connection: Connection, ingest_job_id: str, message: str) -> None:
    """Turn an ingest job whose deletion gave up to FAILED, so that it can be requested again (W-01)."""
    await connection.execute(
        """update ingest_job set status = 'FAILED', error = $2, "failedAt" = now() at time zone 'utc',
            "updatedAt" = now() at time zone 'utc'
        where id = $1 and status in ('QUEUED_FOR_DELETE', 'DELETING')""",
        ingest_job_id,
        message,
    )


async def begin_namespace(connection: Connection, namespace_id: str) -> DoomedNamespace | None:
    """Turn the namespace to DELETING; None when the row is gone."""
    row = await connection.fetchrow(
        """with marked as (update namespace set status = 'DELETING', "updatedAt" = now() at time zone 'utc'
            where id = $1 returning id, "organizationId", "vectorStoreConfig")
        select n."organizationId" as organization_id,
            array_remove(array[h.logo, h."ogImage"], null) as asset_urls,
            coalesce(n."vectorStoreConfig" ->> 'provider', '') in ('MANAGED_PINECONE', 'MANAGED_PINECONE_OLD',
                'PINECONE') as on_pinecone
        from marked n left join "Hosting" h on h."namespaceId" = n.id""",
        namespace_id,
    )
    return None if row is None else row_as(row, DoomedNamespace)


async def ingest_jobs_after(
    connection: Connection, namespace_id: str, after: tuple[str, str] | None, limit: int
) -> list[Placed]:
    """Return up to ``limit`` ingest jobs of a namespace behind ``after`` (``at`` and ``id``), by their creation."""
    rows = await connection.fetch(
        """select id, to_char("createdAt", 'YYYY-MM-DD HH24:MI:SS.MS') as at from ingest_job
        where "namespaceId" = $1 and ("createdAt", id) > ($2::text::timestamp, $3::text)
        order by "createdAt", id limit $4::int""",
        namespace_id,
        *(after or ("-infinity", "")),
        limit,
    )
    return [row_as(row, Placed) for row in rows]


async def tenants_after(connection: Connection, namespace_id: str, after: str, limit: int) -> list[str]:
    """Return up to ``limit`` tenants that a namespace has ingest jobs of, behind ``after``, in their order."""
    rows = await connection.fetch(
        """select distinct "tenantId" as tenant from ingest_job
        where "namespaceId" = $1 and "tenantId" > $2 order by 1 limit $3::int""",
        namespace_id,
        after,
        limit,
    )
    return [str(row["tenant"]) for row in rows]


async def remove_namespace(connection: Connection, namespace_id: str, *, exact: bool) -> bool:
    """Delete the namespace's row and what hangs on it; False when it still has ingest jobs.

    A webhook limited to this namespace alone is disabled: without its last link it would be told of everything that
    happens in the organization (W-08).

    Args:
        connection: a transaction.
        namespace_id: the ``namespace`` row; one that is gone counts nothing.
        exact: see :func:`steps.platform.counters.remove_namespace`.
    """
    row = await connection.fetchrow('select "organizationId" from namespace where id = $1 for update', namespace_id)
    if row is None:
        return True
    if await connection.fetchrow('select 1 from ingest_job where "namespaceId" = $1 limit 1', namespace_id):
        return False
    await _disable_webhooks_of(connection, namespace_id)
    await connection.execute("delete from namespace where id = $1", namespace_id)
    await counters.remove_namespace(connection, str(row["organizationId"]), exact=exact)
    return True


async def _disable_webhooks_of(connection: Connection, namespace_id: str) -> None:
    """Disable the webhooks that only this namespace is linked to, and all delivery when none is left enabled.

    The locks make namespaces that go at the same time see each other's links, and what the other has disabled.
    """
    await connection.fetch(
        """select w.id from "Webhook" w where exists (
            select 1 from "NamespaceWebhook" l where l."webhookId" = w.id and l."namespaceId" = $1)
        order by w.id for update""",
        namespace_id,
    )
    disabled = await connection.fetch(
        """update "Webhook" w set "disabledAt" = now() at time zone 'utc', "updatedAt" = now() at time zone 'utc'
        where w."disabledAt" is null
            and exists (select 1 from "NamespaceWebhook" l where l."webhookId" = w.id and l."namespaceId" = $1)
            and not exists (select 1 from "NamespaceWebhook" l where l."webhookId" = w.id and l."namespaceId" <> $1)
        returning w."organizationId" as organization_id""",
        namespace_id,
    )
    if disabled:
        organization_id = str(disabled[0]["organization_id"])
        await connection.fetchrow("select 1 from organization where id = $1 for no key update", organization_id)
        await connection.execute(
            """update organization set "webhookEnabled" = false where id = $1 and not exists (
                select 1 from "Webhook" w where w."organizationId" = $1 and w."disabledAt" is null)""",
            organization_id,
        )


async def reopen_namespace(connection: Connection, namespace_id: str) -> None:
    """Turn a namespace whose deletion gave up to ACTIVE, so that it can be requested again (W-01)."""
    await connection.execute(
        """update namespace set status = 'ACTIVE', "updatedAt" = now() at time zone 'utc'
        where id = $1 and status = 'DELETING'""",
        namespace_id,
    )


async def begin_organization(connection: Connection, organization_id: str) -> bool:
    """Turn the organization and its namespaces to DELETING, so that nothing begins in them; False when it is gone.

    Its webhooks go at once: nobody is told about the rest.
    """
    await _lock_namespaces(connection, organization_id)
    await connection.execute(
        """update namespace set status = 'DELETING', "updatedAt" = now() at time zone 'utc'
        where "organizationId" = $1 and status <> 'DELETING'""",
        organization_id,
    )
    await connection.execute('delete from "Webhook" where "organizationId" = $1', organization_id)
    tag = await connection.execute("update organization set status = 'DELETING' where id = $1", organization_id)
    return tag != "UPDATE 0"


async def namespaces_after(connection: Connection, organization_id: str, after: str, limit: int) -> Sequence[str]:
    """Return up to ``limit`` namespaces of an organization behind ``after``, by id."""
    rows = await connection.fetch(
        'select id from namespace where "organizationId" = $1 and id > $2 order by id limit $3::int',
        organization_id,
        after,
        limit,
    )
    return [str(row["id"]) for row in rows]


async def remove_organization(connection: Connection, organization_id: str) -> bool:
    """Delete the organization's row and what hangs on it; False when it still has namespaces."""
    row = await connection.fetchrow("select 1 from organization where id = $1 for update", organization_id)
    if row is None:
        return True
    if await connection.fetchrow('select 1 from namespace where "organizationId" = $1 limit 1', organization_id):
        return False
    await connection.execute("delete from organization where id = $1", organization_id)
    return True


async def _lock_namespaces(connection: Connection, organization_id: str) -> None:
    await connection.fetch(
        'select 1 from namespace where "organizationId" = $1 order by id for no key update', organization_id
    )


async def reopen_organization(connection: Connection, organization_id: str) -> None:
    """Turn an organization whose deletion gave up to ACTIVE, with the namespaces that are left (W-01)."""
    # Two statements: one that locks and updates meets rows that changed while it waited, and takes them up anew.
    await _lock_namespaces(connection, organization_id)
    await connection.execute(
        """update namespace set status = 'ACTIVE', "updatedAt" = now() at time zone 'utc'
        where "organizationId" = $1 and status = 'DELETING'""",
        organization_id,
    )
    await connection.execute(
        "update organization set status = 'ACTIVE' where id = $1 and status = 'DELETING'", organization_id
    )
