"""What of each document is in the counters (domain.md §1.9, W-10).

A document's row tells by itself, unless a re-ingestion has made it forget: then ``wf.counted_document`` remembers,
until the document is completed again or deleted.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from orchestrator.ports import Connection
from steps.platform.rows import row_as


class Counted(msgspec.Struct, frozen=True):
    """What of one document is in the counters.

    Attributes:
        id: the document.
        counted: whether it counts as a document.
        pages: how many pages of it were added.
        remembered: ``wf.counted_document`` says so.
    """

    id: str
    counted: bool
    pages: float
    remembered: bool


async def counted_documents(connection: Connection, document_ids: Sequence[str], *, exact: bool) -> list[Counted]:
    """Return what of these documents is in the counters, and lock their rows in the order of their ids.

    Args:
        connection: a transaction.
        document_ids: rows that are gone are left out.
        exact: False to count as the platform did: see docs/decisions/0026-exact-pages.md.
    """
    # A statement of its own: one that waits for a lock sees the row as it is then, and other tables as before,
    # so that it would miss what another run has remembered meanwhile.
    locked = await connection.fetch(
        "select id from document where id = any($1::text[]) order by id for update", list(document_ids)
    )
    ids = [str(row["id"]) for row in locked]
    rows = await connection.fetch(
        """select d.id,
            not $2::bool or coalesce(c.counted, d.error is distinct from 'Pages limit exceeded') as counted,
            coalesce(case when $2::bool then c.pages end,
                case when d."completedAt" is not null then d."totalPages" end, 0) as pages,
            c.document_id is not null as remembered
        from document d left join wf.counted_document c on c.document_id = d.id
        where d.id = any($1::text[]) order by d.id""",
        ids,
        exact,
    )
    return [row_as(row, Counted) for row in rows]


async def remember_counted(connection: Connection, document_ids: Sequence[str]) -> None:
    """Write down what the rows of these documents are about to forget."""
    await connection.execute(
        """insert into wf.counted_document (document_id, counted, pages)
        select d.id, d.error is distinct from 'Pages limit exceeded',
            case when d."completedAt" is not null then d."totalPages" else 0 end
        from document d
        where d.id = any($1::text[])
            and (d."completedAt" is not null or d.error is not distinct from 'Pages limit exceeded')
        on conflict (document_id) do nothing""",
        list(document_ids),
    )


async def forget_counted(connection: Connection, documents: Sequence[Counted]) -> None:
    """Forget documents whose rows tell again, or are gone."""
    ids = [document.id for document in documents if document.remembered]
    if ids:
        await connection.execute("delete from wf.counted_document where document_id = any($1::text[])", ids)
