"""What delivery reads and writes of ``"Webhook"`` rows (domain.md §5.3, §5.4)."""

from __future__ import annotations

import msgspec

from orchestrator.ports import Connection
from steps.platform.rows import row_as

#: After so many deliveries in a row that failed for good the owner is warned, and then the webhook is disabled.
WARNED_AFTER = frozenset({5, 10, 15})
DISABLED_AFTER = 20


class Receiver(msgspec.Struct, frozen=True):
    """A webhook that may receive an organization's events."""

    id: str
    triggers: list[str]
    #: The namespaces it is limited to; none means all.
    namespace_ids: list[str]

    def wants(self, event: str, namespace_id: str | None) -> bool:
        """Tell whether an event of this kind, about this namespace, is for the webhook."""
        return event in self.triggers and (not self.namespace_ids or namespace_id in self.namespace_ids)


class Target(msgspec.Struct, frozen=True):
    """A webhook as it is at the time of an attempt."""

    url: str
    secret: str
    enabled: bool
    #: Deliveries in a row that failed before.
    failures: int

    def __repr__(self) -> str:
        return "Target(…)"


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What a delivery that failed for good has led to; a checkpoint, so it holds no secret.

    Attributes:
        organization_id: the webhook's; None when the webhook is gone.
        failures: how many in a row now.
        was_disabled: the webhook had been disabled already.
        disabled: this failure disabled it.
    """

    organization_id: str | None = None
    failures: int = 0
    was_disabled: bool = False
    disabled: bool = False

    @property
    def warns(self) -> bool:
        """Whether the owner is to hear of it."""
        return self.disabled or (self.failures in WARNED_AFTER and not self.was_disabled)


class Owner(msgspec.Struct, frozen=True):
    """What the emails about a webhook say, and to whom."""

    email: str
    slug: str
    name: str
    url: str


async def receivers(connection: Connection, organization_id: str) -> list[Receiver]:
    """Return the webhooks that may receive an organization's events now: read, not cached, so they are never stale."""
    rows = await connection.fetch(
        """select w.id,
            coalesce((select jsonb_agg(t) from jsonb_array_elements(
                case jsonb_typeof(w.triggers) when 'array' then w.triggers else '[]' end) t
                where jsonb_typeof(t) = 'string'), '[]')::text as triggers,
            coalesce((select jsonb_agg(l."namespaceId") from "NamespaceWebhook" l where l."webhookId" = w.id),
                '[]')::text as namespace_ids
        from "Webhook" w join organization o on o.id = w."organizationId"
        where o.id = $1 and o."webhookEnabled" and w."disabledAt" is null
        order by w.id""",
        organization_id,
    )
    return [
        Receiver(
            str(row["id"]),
            msgspec.json.decode(str(row["triggers"]), type=list[str]),
            msgspec.json.decode(str(row["namespace_ids"]), type=list[str]),
        )
        for row in rows
    ]


async def target(connection: Connection, webhook_id: str) -> Target | None:
    """Return a webhook as it is now, or None when it is gone."""
    row = await connection.fetchrow(
        """select w.url, w.secret, w."disabledAt" is null and o."webhookEnabled" as enabled,
            w."consecutiveFailures" as failures
        from "Webhook" w join organization o on o.id = w."organizationId" where w.id = $1""",
        webhook_id,
    )
    return None if row is None else row_as(row, Target)


async def forget_failures(connection: Connection, webhook_id: str) -> None:
    """Begin a new count: a delivery has succeeded."""
    await connection.execute(
        """update "Webhook" set "consecutiveFailures" = 0, "lastFailedAt" = null,
            "updatedAt" = now() at time zone 'utc'
        where id = $1 and "consecutiveFailures" > 0""",
        webhook_id,
    )


async def count_failure(connection: Connection, webhook_id: str, event_id: str) -> Counted:
    """Count a delivery that failed for good, once per delivery; disable the webhook after too many.

    Args:
        connection: a transaction.
        webhook_id: the webhook.
        event_id: with the webhook, the delivery's identity.
    """
    first = await connection.fetchrow(
        "insert into wf.effect (key) values ($1) on conflict do nothing returning key",
        f"webhook:{webhook_id}:{event_id}:failed",
    )
    if first is None:
        return Counted()
    row = await connection.fetchrow(
        """update "Webhook" set "consecutiveFailures" = "consecutiveFailures" + 1,
            "lastFailedAt" = now() at time zone 'utc', "updatedAt" = now() at time zone 'utc'
        where id = $1
        returning "organizationId" as organization_id, "consecutiveFailures" as failures,
            "disabledAt" is not null as was_disabled""",
        webhook_id,
    )
    if row is None:
        return Counted()
    counted = row_as(row, Counted)
    if counted.was_disabled or counted.failures < DISABLED_AFTER:
        return counted
    # The lock makes webhooks that are disabled at the same time see each other: the last one turns the switch off.
    await connection.fetchrow("select 1 from organization where id = $1 for update", counted.organization_id)
    await connection.execute(
        """update "Webhook" set "disabledAt" = now() at time zone 'utc', "updatedAt" = now() at time zone 'utc'
        where id = $1""",
        webhook_id,
    )
    await connection.execute(
        """update organization set "webhookEnabled" = false where id = $1
        and not exists (select 1 from "Webhook" w where w."organizationId" = $1 and w."disabledAt" is null)""",
        counted.organization_id,
    )
    return msgspec.structs.replace(counted, disabled=True)


async def owner(connection: Connection, webhook_id: str) -> Owner | None:
    """Return whom to write to about a webhook; None when it is gone or its organization has no owner."""
    row = await connection.fetchrow(
        """select u.email, o.slug, w.name, w.url from "Webhook" w
        join organization o on o.id = w."organizationId"
        join member m on m."organizationId" = o.id and m.role = 'owner'
        join "user" u on u.id = m."userId"
        where w.id = $1 order by m."createdAt", m.id limit 1""",
        webhook_id,
    )
    return None if row is None else row_as(row, Owner)
