"""Runs deliveries in the engine's test world against a real Postgres and stub services over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import LiteralString, Self, TypeVar

import msgspec

from durable.postgres import AsyncpgDatabase
from local.http import HttpxHttp
from orchestrator.ports import Database, Http, HttpResponse
from orchestrator.testing import World
from orchestrator.testing.blobs import MemoryBlobs
from steps.deliver_events import deliver_events
from steps.outbound import OutboundSettings
from steps.platform.ids import event_id
from steps.redis import RedisSettings
from steps.send_webhook import send_webhook
from steps.services import Services, Settings
from steps.webhooks.delivery import TIMEOUT_MS
from steps.webhooks.settings import WebhookSettings
from tests.embeddings.stub_server import StubServer
from tests.platform.faults import CrashingDatabase
from tests.redis.stub import TOKEN, RedisStub
from tests.webhooks.stubs import RESEND_KEY, TINYBIRD_KEY, Receivers, ResendStub, TinybirdStub

T = TypeVar("T")
Row = dict[str, object]

ORGANIZATION, NAMESPACE, OTHER_NAMESPACE = "org1", "nsone", "nstwo"
JOB, DOCUMENT = "cjob0000000000000000000001", "cdoc0000000000000000000001"
OWNER = "owner@example.com"
EVERYTHING = ("document.queued", "document.processing", "document.ready", "document.error", "ingest_job.ready")


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook of the scene."""

    id: str
    triggers: object = EVERYTHING
    namespace_ids: Sequence[str] = ()
    failures: int = 0
    disabled: bool = False
    url: str | None = None
    secret: str | None = None


class Hurried:
    """An ``Http`` that gives receivers less time than they have, so that tests need not wait that long."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self.patience_ms = 20_000

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_ms: int = 30_000,
        max_body_bytes: int = 16_000_000,
    ) -> HttpResponse:
        if "/hooks/" in url:
            assert timeout_ms == TIMEOUT_MS
            timeout_ms = self.patience_ms
        return await self._http.request(
            method, url, headers=headers, body=body, timeout_ms=timeout_ms, max_body_bytes=max_body_bytes
        )


class Play:
    """One run: a world, its database, and what happened at the stubs."""

    def __init__(self, world: World, admin: Database, stage: Stage, database: CrashingDatabase, http: Hurried) -> None:
        self.world = world
        self.admin = admin
        self.stage = stage
        self.database = database
        self.http = http

    async def add_hook(self, hook: Hook) -> None:
        """Store a webhook, and have its receiver know its secret."""
        secret = f"whsec_{hook.id}" if hook.secret is None else hook.secret
        self.stage.receivers.secrets[hook.id] = secret
        await self.admin.execute(
            """insert into "Webhook" (id, name, url, secret, triggers, "consecutiveFailures", "disabledAt",
                "organizationId", "updatedAt")
            values ($1, 'A webhook', $2, $3, $4::jsonb, $5::int,
                case when $6::bool then now() at time zone 'utc' end, $7, now() at time zone 'utc')""",
            hook.id,
            hook.url or f"{self.stage.receiver.url}/hooks/{hook.id}",
            secret,
            json.dumps(hook.triggers),
            hook.failures,
            hook.disabled,
            ORGANIZATION,
        )
        for namespace_id in hook.namespace_ids:
            await self.admin.execute(
                'insert into "NamespaceWebhook" (id, "namespaceId", "webhookId") values ($1, $2, $3)',
                f"link-{hook.id}-{namespace_id}",
                namespace_id,
                hook.id,
            )

    async def announce(
        self, event: str, *, run_id: str = "run_1", namespace_id: str = NAMESPACE, **data: object
    ) -> str:
        """Write an event to the outbox; return its id."""
        identity = event_id(run_id, event, DOCUMENT)
        await self.admin.execute(
            """insert into wf.event_outbox (id, event, subject, organization_id, namespace_id, payload)
            values ($1, $2, $3, $4, $5, $6::jsonb)""",
            identity,
            event,
            DOCUMENT,
            ORGANIZATION,
            namespace_id,
            json.dumps({"id": identity, "event": event, "createdAt": "2024-01-01T00:00:00.000Z", "data": data}),
        )
        return identity

    async def deliver(self) -> str:
        """Run a dispatcher and everything that follows, to its end; return the dispatcher's job."""
        job_id = self.world.start("deliver-events", {"organizationId": ORGANIZATION})
        await self.world.run()
        return job_id

    async def hook(self, webhook_id: str) -> Row:
        rows = await self.rows('select to_jsonb(t) from "Webhook" t where id = $1', webhook_id)
        return rows[0]

    async def organization(self) -> Row:
        return (await self.rows("select to_jsonb(t) from organization t"))[0]

    async def waiting(self) -> int:
        """Return how many events are in the outbox."""
        row = await self.admin.fetchrow("select count(*)::int as waiting from wf.event_outbox")
        assert row is not None
        return int(str(row["waiting"]))

    async def rows(self, query: LiteralString, *args: object) -> list[Row]:
        return [json.loads(str(row[0])) for row in await self.admin.fetch(query, *args)]


class Stage:
    """Where plays are run, one after the other, each on empty tables and with new stubs."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.receivers, self.tinybird, self.resend, self.redis = Receivers(), TinybirdStub(), ResendStub(), RedisStub()
        enter = self._stack.enter_context
        # The stubs are looked up at each request, so that a new play can begin with new ones.
        self.receiver = enter(StubServer(lambda request: self.receivers(request)))
        self.tinybird_server = enter(StubServer(lambda request: self.tinybird(request)))
        self.resend_server = enter(StubServer(lambda request: self.resend(request)))
        self.redis_server = enter(StubServer(lambda request: self.redis(request)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def settings(self, webhooks: Mapping[str, str]) -> Settings:
        """Return the settings, as from an environment."""
        env = {
            "TINYBIRD_API_URL": self.tinybird_server.url,
            "TINYBIRD_API_KEY": TINYBIRD_KEY,
            "RESEND_API_URL": self.resend_server.url,
            "RESEND_API_KEY": RESEND_KEY,
            "APP_DOMAIN": "app.example.com",
            **webhooks,
        }
        return Settings(
            webhooks=WebhookSettings.from_env(env),
            redis=RedisSettings(url=self.redis_server.url, token=TOKEN),
            outbound=OutboundSettings(allow_loopback=True),
        )

    def play(
        self,
        body: Callable[[Play], Awaitable[T]],
        *,
        always_replay: bool = False,
        crash_at: Sequence[int] = (),
        crash_before_operation: int = 0,
        crash_after_operation: int = 0,
        settings: Mapping[str, str] | None = None,
    ) -> T:
        """Run ``body`` in a world of its own."""
        self.receivers, self.tinybird, self.resend, self.redis = Receivers(), TinybirdStub(), ResendStub(), RedisStub()

        async def run() -> T:
            admin, inner = AsyncpgDatabase(self.url), AsyncpgDatabase(self.url)
            try:
                await _seed(admin)
                async with HttpxHttp() as http:
                    database = CrashingDatabase(inner, crash_before_operation, crash_after_operation)
                    hurried = Hurried(http)
                    services = Services(
                        settings=self.settings(settings or {}),
                        blobs=MemoryBlobs(),
                        images=MemoryBlobs(),
                        assets=MemoryBlobs(),
                        http=hurried,
                        database=lambda: database,
                    )
                    world = World(
                        deliver_events,
                        send_webhook,
                        services=services,
                        database=lambda: database,
                        always_replay=always_replay,
                    )
                    world.crash_at(*crash_at)
                    return await body(Play(world, admin, self, database, hurried))
            finally:
                await inner.close()
                await admin.close()

        return asyncio.run(run())


async def _seed(database: Database) -> None:
    for statement in (
        "delete from organization",
        'delete from "user"',
        "delete from wf.effect",
        "delete from wf.event_outbox",
    ):
        await database.execute(statement)
    await database.execute(
        """insert into organization (id, name, slug, plan, "webhookEnabled")
        values ($1, 'An organization', 'org-slug', 'pro', true)""",
        ORGANIZATION,
    )
    await database.execute(
        """insert into "user" (id, name, email, "emailVerified", "updatedAt")
        values ('user1', 'An owner', $1, true, now() at time zone 'utc')""",
        OWNER,
    )
    await database.execute(
        """insert into member (id, "organizationId", "userId", role) values ('member1', $1, 'user1', 'owner')""",
        ORGANIZATION,
    )
    for namespace_id in (NAMESPACE, OTHER_NAMESPACE):
        await database.execute(
            """insert into namespace (id, name, slug, "organizationId", "updatedAt")
            values ($1, 'A namespace', $1, $2, now() at time zone 'utc')""",
            namespace_id,
            ORGANIZATION,
        )
