"""Counters of namespaces and organizations (domain.md §1.9). Each call is part of a transaction that runs once.

Rows are locked in the order document, ingest job, namespace, webhook, organization, everywhere, and several rows of a
table in the order of their ids (W-20).
"""

from __future__ import annotations

from orchestrator.ports import Connection


async def add_documents(connection: Connection, namespace_id: str, count: int) -> None:
    """Count documents that were added; a namespace that is gone counts nothing, and 0 touches no row."""
    if not count:
        return
    await connection.execute(
        """with n as (update namespace set "totalDocuments" = "totalDocuments" + $2::int,
                "updatedAt" = now() at time zone 'utc' where id = $1 returning "organizationId")
        update organization set "totalDocuments" = "totalDocuments" + $2::int
        where id = (select "organizationId" from n)""",
        namespace_id,
        count,
    )


async def add_pages(connection: Connection, namespace_id: str, pages: float) -> None:
    """Count pages, which may be fewer than none; a namespace that is gone counts nothing, and 0 touches no row."""
    if not pages:
        return
    await connection.execute(
        """with n as (update namespace set "totalPages" = "totalPages" + $2::float8,
                "updatedAt" = now() at time zone 'utc' where id = $1 returning "organizationId")
        update organization set "totalPages" = "totalPages" + $2::float8
        where id = (select "organizationId" from n)""",
        namespace_id,
        pages,
    )


async def remove_documents(connection: Connection, namespace_id: str, documents: int, pages: float) -> None:
    """Take deleted documents off. Their pages stay in the organization's usage until its next cycle begins."""
    if not documents and not pages:
        return
    await connection.execute(
        """with n as (update namespace set "totalDocuments" = "totalDocuments" - $2::int,
                "totalPages" = "totalPages" - $3::float8,
                "updatedAt" = now() at time zone 'utc' where id = $1 returning "organizationId")
        update organization set "totalDocuments" = "totalDocuments" - $2::int,
            "deletedPages" = "deletedPages" + $3::float8
        where id = (select "organizationId" from n)""",
        namespace_id,
        documents,
        pages,
    )


async def remove_ingest_job(connection: Connection, namespace_id: str) -> None:
    """Take a deleted ingest job off."""
    await connection.execute(
        """with n as (update namespace set "totalIngestJobs" = "totalIngestJobs" - 1,
                "updatedAt" = now() at time zone 'utc' where id = $1 returning "organizationId")
        update organization set "totalIngestJobs" = "totalIngestJobs" - 1
        where id = (select "organizationId" from n)""",
        namespace_id,
    )


async def remove_namespace(connection: Connection, organization_id: str, *, exact: bool) -> None:
    """Take a namespace off whose row is deleted.

    Args:
        connection: a transaction.
        organization_id: whose namespace it was.
        exact: count those that are left: namespaces made through the public API were never added (W-24).
    """
    if not exact:
        await connection.execute(
            """update organization set "totalNamespaces" = "totalNamespaces" - 1 where id = $1""", organization_id
        )
        return
    # A statement of its own: behind the lock, the count sees every namespace that is in the counter already.
    await connection.fetchrow("select 1 from organization where id = $1 for no key update", organization_id)
    await connection.execute(
        """update organization set "totalNamespaces" =
            (select count(*)::int from namespace where "organizationId" = $1) where id = $1""",
        organization_id,
    )
