"""The database's side of metering: who pays, what they hold, and which documents were reported for which period.

``wf.effect`` has a row ``meter:<document>:<period>`` for each report. It is written before Stripe is told, with the
value and the time that Stripe is told, and marked once it has them. Stripe takes an identifier once within 24 hours,
so a report that was begun is repeated word for word until shortly before that, and never later: then nobody can know
whether it was taken, and no report is better than two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time

import msgspec

from orchestrator.ports import Connection
from steps.platform.rows import row_as
from steps.platform.usage import last_cycle_start

#: Stripe forgets identifiers after 24 hours "at least"; clocks and slow calls take the rest.
REPEAT_MS = 23 * 3_600_000
_MIDNIGHT = time(tzinfo=UTC)


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """An organization that may be billed.

    Attributes:
        organization_id: the organization.
        stripe_id: its Stripe customer; None when there is nothing to bill.
        period: the first day of the billing period, ISO 8601.
    """

    organization_id: str
    stripe_id: str | None
    period: str


class Held(msgspec.Struct, frozen=True):
    """A document with pages."""

    id: str
    pages: float
    created_at: str


class Claim(msgspec.Struct, frozen=True, rename="camel"):
    """A report as it stands in the ledger."""

    value: str
    at_s: int
    #: When it was begun, Unix ms.
    begun_ms: int
    done: bool = False

    def may_be_sent(self, now_ms: int) -> bool:
        """Tell whether telling Stripe cannot count it twice."""
        return not self.done and now_ms - self.begun_ms < REPEAT_MS


class _Payer(msgspec.Struct, frozen=True):
    organization_id: str
    plan: str
    stripe_id: str | None
    start_day: int


class _ClaimRow(msgspec.Struct, frozen=True):
    key: str
    claim: str


async def customer(connection: Connection, organization_id: str, at_ms: int) -> Customer | None:
    """Return an organization as a customer at a moment; None when it is gone."""
    row = await connection.fetchrow(
        """select id as organization_id, plan, "stripeId" as stripe_id,
            coalesce("billingCycleStart", extract(day from "createdAt")::int) as start_day
        from organization where id = $1""",
        organization_id,
    )
    return None if row is None else _customer(row_as(row, _Payer), at_ms)


async def customer_of(connection: Connection, namespace_id: str, at_ms: int) -> Customer | None:
    """Return a namespace's organization as a customer at a moment; None when it is gone."""
    row = await connection.fetchrow(
        """select o.id as organization_id, o.plan, o."stripeId" as stripe_id,
            coalesce(o."billingCycleStart", extract(day from o."createdAt")::int) as start_day
        from namespace n join organization o on o.id = n."organizationId" where n.id = $1""",
        namespace_id,
    )
    return None if row is None else _customer(row_as(row, _Payer), at_ms)


async def namespace_after(connection: Connection, organization_id: str, after: str) -> str | None:
    """Return the organization's next namespace, by id."""
    row = await connection.fetchrow(
        'select id from namespace where "organizationId" = $1 and id > $2 order by id limit 1', organization_id, after
    )
    return None if row is None else str(row["id"])


async def held_before(
    connection: Connection, namespace_id: str, before: tuple[str, str] | None, limit: int
) -> list[Held]:
    """Return documents that are billed, the newest first.

    Args:
        connection: the database.
        namespace_id: the namespace.
        before: creation time and id of the last document of the page before.
        limit: how many at most.
    """
    created_at, document_id = before or ("infinity", "")
    rows = await connection.fetch(
        """select id, "totalPages" as pages, "createdAt"::text as created_at from document
        where "namespaceId" = $1 and status not in ('DELETING', 'FAILED') and "totalPages" > 0
            and ("createdAt", id) < ($2::text::timestamp, $3)
        order by "createdAt" desc, id desc limit $4::int""",
        namespace_id,
        created_at,
        document_id,
        limit,
    )
    return [row_as(row, Held) for row in rows]


async def claim(connection: Connection, period: str, values: Mapping[str, str], at_ms: int) -> dict[str, Claim]:
    """Begin reports, and return all of them as they stand, in their order; others may have begun some of them.

    Args:
        connection: the database.
        period: the billing period.
        values: pages by document.
        at_ms: when the pages are billed, for reports that begin now.
    """
    begun = msgspec.json.encode(Claim("", at_ms // 1000, at_ms)).decode()
    keys = {_key(document_id, period): document_id for document_id in values}
    await connection.execute(
        """insert into wf.effect (key, result)
        select c.key, convert_to(jsonb_set($3::jsonb, '{value}', to_jsonb(c.value))::text, 'UTF8')
        from unnest($1::text[], $2::text[]) as c(key, value)
        on conflict (key) do nothing""",
        list(keys),
        list(values.values()),
        begun,
    )
    rows = await connection.fetch(
        "select key, convert_from(result, 'UTF8') as claim from wf.effect where key = any($1::text[])", list(keys)
    )
    found = {row.key: msgspec.json.decode(row.claim, type=Claim) for row in (row_as(row, _ClaimRow) for row in rows)}
    return {document_id: found[key] for key, document_id in keys.items()}


async def mark_reported(connection: Connection, period: str, document_ids: Sequence[str]) -> None:
    """Note that Stripe has these reports."""
    await connection.execute(
        """update wf.effect set result =
            convert_to((convert_from(result, 'UTF8')::jsonb || '{"done": true}'::jsonb)::text, 'UTF8')
        where key = any($1::text[])""",
        [_key(document_id, period) for document_id in document_ids],
    )


def period_start(cycle_day: int, at_ms: int) -> date:
    """Return the first day of the billing period that a moment lies in; the day begins at midnight, UTC.

    Args:
        cycle_day: the day of the month on which the organization's periods begin, 1 to 31.
        at_ms: Unix ms.
    """
    return last_cycle_start(cycle_day, datetime.fromtimestamp(at_ms / 1000, UTC), _MIDNIGHT).date()


def identifier(document_id: str, period: str) -> str:
    """Return what Stripe knows a report by, whichever way it takes (W-23)."""
    return f"doc_{document_id.removeprefix('doc_')}:{period}"


def _customer(payer: _Payer, at_ms: int) -> Customer:
    return Customer(
        organization_id=payer.organization_id,
        stripe_id=payer.stripe_id if payer.plan.lower() != "free" else None,
        period=period_start(min(31, max(1, payer.start_day)), at_ms).isoformat(),
    )


def _key(document_id: str, period: str) -> str:
    return f"meter:{document_id}:{period}"
