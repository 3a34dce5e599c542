"""Webhooks limited to namespaces that are deleted at the same moment, each on a connection of its own (W-08)."""

from __future__ import annotations

import asyncio
from typing import LiteralString

from durable.postgres import AsyncpgDatabase
from orchestrator.ports import Connection
from steps.platform import deletion
from tests.platform import scene

_ROWS: tuple[LiteralString, ...] = (
    """insert into organization (id, name, slug, "webhookEnabled") values ('org1', 'One', 'one', true)""",
    """insert into namespace (id, name, slug, "organizationId", "updatedAt")
        select id, id, id, 'org1', now() from unnest(array['ns1', 'ns2']) id""",
    """insert into "Webhook" (id, name, url, secret, triggers, "organizationId", "updatedAt")
        select id, id, 'https://hooks.example.com', 'whsec_1', '[]', 'org1', now()
        from unnest(array['wh_1', 'wh_2', 'wh_both']) id""",
    """insert into "NamespaceWebhook" (id, "namespaceId", "webhookId")
        values ('l1', 'ns1', 'wh_1'), ('l2', 'ns2', 'wh_2'), ('l3', 'ns1', 'wh_both'), ('l4', 'ns2', 'wh_both')""",
)


async def both_at_once(url: str) -> None:
    """Delete two namespaces: the second transaction meets what the first has done and not committed."""
    first, second = AsyncpgDatabase(url), AsyncpgDatabase(url)
    try:
        async with first.transaction() as connection:
            await deletion.remove_namespace(connection, "ns1", exact=True)
            other = asyncio.ensure_future(in_transaction(second, "ns2"))
            await until_waiting(first)
            assert not other.done()
        assert await other
    finally:
        await first.close()
        await second.close()


async def in_transaction(database: AsyncpgDatabase, namespace_id: str) -> bool:
    async with database.transaction() as connection:
        return await deletion.remove_namespace(connection, namespace_id, exact=True)


async def until_waiting(database: Connection) -> None:
    """Return when somebody waits for a lock."""
    async with asyncio.timeout(10):
        while not await database.fetchrow("select 1 from pg_locks where not granted limit 1"):
            pass


def test_a_webhook_whose_last_two_namespaces_go_at_once_is_disabled(database_url: str) -> None:
    """Each deletion sees the other's link still: nobody would disable it, and it would be told of everything then."""

    async def body() -> None:
        admin = AsyncpgDatabase(database_url)
        try:
            await scene.reset(admin)
            for statement in _ROWS:
                await admin.execute(statement)
            await both_at_once(database_url)
            enabled = await admin.fetch('select id from "Webhook" where "disabledAt" is null')
            assert [row["id"] for row in enabled] == []
            row = await admin.fetchrow('select "webhookEnabled" as enabled from organization')
            assert row is not None
            assert row["enabled"] is False
        finally:
            await admin.close()

    asyncio.run(body())
