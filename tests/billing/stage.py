"""Runs metering in the engine's test world against a real Postgres and a strict Stripe over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

from durable.postgres import AsyncpgDatabase
from local.http import HttpxHttp
from orchestrator.ports import Database
from orchestrator.testing import World
from orchestrator.testing.blobs import MemoryBlobs
from orchestrator.testing.faults import VirtualClock
from steps.billing.settings import StripeSettings
from steps.meter import meter_org_documents
from steps.meter_document import meter_document_job
from steps.services import Services, Settings
from tests.billing.stub import API_KEY, StripeStub
from tests.embeddings.stub_server import Answer, StubServer
from tests.platform.faults import CrashingDatabase
from tests.platform.scene import reset

T = TypeVar("T")
Row = dict[str, object]

ORGANIZATION, JOB = "org1", "cjob0000000000000000000001"
#: The world begins on 2023-11-14; the organization's periods begin on the 10th.
PERIOD = "2023-11-10"


class Play:
    """One run."""

    def __init__(self, world: World, admin: Database, stage: Stage, database: CrashingDatabase) -> None:
        self.world = world
        self.admin = admin
        self.stage = stage
        self.database = database

    async def add_documents(
        self, namespace_id: str, pages: Sequence[float], *, status: str = "COMPLETED", prefix: str = "doc"
    ) -> list[str]:
        """Store documents; return their ids, the newest first."""
        ids = [f"c{prefix}{namespace_id}{number:06}" for number in range(len(pages))]
        # Four of them at a time have the same creation time: ids then decide.
        await self.admin.execute(
            """insert into document (id, "namespaceId", "ingestJobId", status, source, "totalPages", "createdAt",
                "updatedAt")
            select d.id, $1, $2, $3::text::"DocumentStatus", '{"type": "TEXT", "text": "x"}', d.pages,
                timestamp '2026-01-01' + (d.position / 4) * interval '1 second', now() at time zone 'utc'
            from unnest($4::text[], $5::text[]::float8[]) with ordinality as d (id, pages, position)""",
            namespace_id,
            JOB,
            status,
            ids,
            [str(count) for count in pages],
        )
        return ids[::-1]

    async def meter(self) -> object:
        """Run ``meter-org-documents-job`` to its end; return its result."""
        job_id = self.world.start("meter-org-documents-job", {"organizationId": ORGANIZATION})
        await self.world.run()
        view = self.world.view(job_id)
        return view.result if view.error is None else (view.error.code, view.error.message)

    async def ledger(self) -> dict[str, Row]:
        """Return the reports that were begun."""
        rows = await self.admin.fetch(
            "select key, convert_from(result, 'UTF8') as claim from wf.effect where key like 'meter:%' order by key"
        )
        return {str(row["key"]): json.loads(str(row["claim"])) for row in rows}


class Stage:
    """Where plays are run, one after the other, each on empty tables and with a Stripe that has counted nothing."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = VirtualClock()
        self.stripe = StripeStub(lambda: self.clock.now_ms())
        #: What answers; a test may put something in front of Stripe.
        self.answer: Answer = self.stripe
        self.server = StubServer(lambda request: self.answer(request))

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.__exit__(kind, error, trace)

    def play(
        self,
        body: Callable[[Play], Awaitable[T]],
        *,
        always_replay: bool = False,
        crash_at: Sequence[int] = (),
        crash_before_operation: int = 0,
        crash_after_operation: int = 0,
        settings: Mapping[str, str] | None = None,
        plan: str = "pro",
        stripe_id: str | None = "cus_1",
    ) -> T:
        """Run ``body`` in a world of its own."""
        env = {"STRIPE_API_KEY": API_KEY, "STRIPE_API_URL": self.server.url, "STRIPE_METER_EVENTS_URL": self.server.url}
        stripe = StripeSettings.from_env({**env, **(settings or {})})

        async def run() -> T:
            admin, inner = AsyncpgDatabase(self.url), AsyncpgDatabase(self.url)
            try:
                await _seed(admin, plan, stripe_id)
                async with HttpxHttp() as http:
                    database = CrashingDatabase(inner, crash_before_operation, crash_after_operation)
                    services = Services(
                        settings=Settings(stripe=stripe),
                        blobs=MemoryBlobs(),
                        images=MemoryBlobs(),
                        assets=MemoryBlobs(),
                        http=http,
                        database=lambda: database,
                    )
                    world = World(
                        meter_org_documents,
                        meter_document_job,
                        services=services,
                        database=lambda: database,
                        always_replay=always_replay,
                    )
                    world.crash_at(*crash_at)
                    self.clock = world.clock
                    self.answer = self.stripe = StripeStub(world.clock.now_ms)
                    return await body(Play(world, admin, self, database))
            finally:
                await inner.close()
                await admin.close()

        return asyncio.run(run())


async def _seed(database: Database, plan: str, stripe_id: str | None) -> None:
    await reset(database)
    await database.execute(
        """insert into organization (id, name, slug, plan, "stripeId", "billingCycleStart")
        values ($1, 'An organization', 'org', $2, $3, 10)""",
        ORGANIZATION,
        plan,
        stripe_id,
    )
    for namespace_id in ("nsa", "nsb", "nsc"):
        await database.execute(
            """insert into namespace (id, name, slug, "organizationId", "updatedAt")
            values ($1, 'A namespace', $1, $2, now() at time zone 'utc')""",
            namespace_id,
            ORGANIZATION,
        )
    await database.execute(
        """insert into ingest_job (id, "namespaceId", status, payload, "updatedAt")
        values ($1, 'nsa', 'COMPLETED', '{}', now() at time zone 'utc')""",
        JOB,
    )
