"""Reading ``wf.event_outbox``: the events that wait to be handed to deliveries."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from orchestrator.ports import Connection
from steps.platform.rows import row_as

#: Payloads loaded at a time, by their size in the database; texts are compressed there about three times.
GROUP_BYTES = 500_000


class Pending(msgspec.Struct, frozen=True):
    """An event that waits, without its payload."""

    id: str
    event: str
    namespace_id: str | None
    #: About how large its payload is; compressed ones are larger.
    size_bytes: int


class Stored(msgspec.Struct, frozen=True):
    """An event's payload."""

    id: str
    event: str
    payload: msgspec.Raw
    #: Whether the document's text was cut.
    text_cut: bool


class _StoredRow(msgspec.Struct, frozen=True):
    id: str
    event: str
    payload: str
    text_cut: bool


async def pending(connection: Connection, organization_id: str, limit: int) -> list[Pending]:
    """Return an organization's oldest events."""
    rows = await connection.fetch(
        """select id, event, namespace_id, pg_column_size(payload)::int as size_bytes from wf.event_outbox
        where organization_id = $1 order by created_at, id limit $2::int""",
        organization_id,
        limit,
    )
    return [row_as(row, Pending) for row in rows]


def groups(events: Sequence[Pending]) -> list[list[str]]:
    """Return the events' ids in groups whose payloads fit in memory together; at least one each."""
    found: list[list[str]] = []
    room = 0
    for event in events:
        if event.size_bytes > room:
            found.append([])
            room = GROUP_BYTES
        found[-1].append(event.id)
        room -= event.size_bytes
    return found


async def payloads(connection: Connection, event_ids: Sequence[str], text_chars: int) -> list[Stored]:
    """Return the payloads of those events that still wait, oldest first.

    Args:
        connection: the database.
        event_ids: which events.
        text_chars: what is longer of a document's text stays in the database.
    """
    rows = await connection.fetch(
        """select id, event, coalesce(length(payload #>> '{data,source,text}') > $2::int, false) as text_cut,
            (case when length(payload #>> '{data,source,text}') > $2::int
                then jsonb_set(payload, '{data,source,text}', to_jsonb(left(payload #>> '{data,source,text}', $2::int)))
                else payload end)::text as payload
        from wf.event_outbox where id = any($1::text[]) order by created_at, id""",
        list(event_ids),
        text_chars,
    )
    found = [row_as(row, _StoredRow) for row in rows]
    return [Stored(row.id, row.event, msgspec.Raw(row.payload.encode()), row.text_cut) for row in found]


async def remove(connection: Connection, event_ids: Sequence[str]) -> None:
    """Forget events that have been handed over, or that nobody receives."""
    await connection.execute("delete from wf.event_outbox where id = any($1::text[])", list(event_ids))


async def organizations_behind(connection: Connection, older_than_s: int, limit: int) -> list[str]:
    """Return organizations whose oldest event has waited for so long; each costs two looks into an index."""
    rows = await connection.fetch(
        """with recursive o as (
            (select organization_id, created_at from wf.event_outbox order by organization_id, created_at limit 1)
            union all
            select e.* from o cross join lateral (
                select organization_id, created_at from wf.event_outbox
                where organization_id > o.organization_id order by organization_id, created_at limit 1) e)
        select organization_id from o where created_at < now() - $1::int * interval '1 second' limit $2::int""",
        older_than_s,
        limit,
    )
    return [str(row["organization_id"]) for row in rows]
