"""Runs ingestion in the engine's test world against a real Postgres, and takes pictures of what it leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from durable.postgres import AsyncpgDatabase
from local.http import HttpxHttp
from orchestrator.model import JobView
from orchestrator.ports import Blobs, Database, Http
from orchestrator.testing import World
from orchestrator.testing.blobs import MemoryBlobs
from steps.chunk_file import chunk_file_key
from steps.document import process_document
from steps.embeddings.config import EmbeddingSettings
from steps.ingest import ingest
from steps.outbound import OutboundSettings
from steps.services import Services, Settings
from steps.settle_parse import settle_parse
from steps.vectors.config import VectorStoreSettings
from tests.platform import scene
from tests.platform.faults import CrashingDatabase
from tests.platform.picture import Row, rows, settled

T = TypeVar("T")

ORGANIZATION, NAMESPACE, JOB = "org1", "nsone", "cjob0000000000000000000001"
Edit = Callable[[Database], Awaitable[None]]


class Picture(msgspec.Struct):
    """Everything in the database that ingestion may touch, as plain rows."""

    jobs: list[Row]
    documents: list[Row]
    namespace: Row
    organization: Row
    events: list[Row]
    vectors: list[Row]

    @property
    def job(self) -> Row:
        assert len(self.jobs) == 1
        return self.jobs[0]

    @property
    def document(self) -> Row:
        assert len(self.documents) == 1
        return self.documents[0]

    @property
    def announced(self) -> list[str]:
        return [str(event["event"]) for event in self.events]

    def settled(self) -> Picture:
        """Return the picture without what may differ between two correct runs: times, and the order of floats' sums."""
        parts = {name: settled(getattr(self, name)) for name in Picture.__struct_fields__}
        return msgspec.convert(parts, Picture)


class Outcome(msgspec.Struct):
    view: JobView
    picture: Picture
    world: World
    #: Database operations made.
    operations: int
    #: What is in the main bucket.
    objects: dict[str, bytes]

    def chunk_file(self, document_id: object) -> Row:
        """Return a document's ``chunks.json``."""
        return msgspec.json.decode(self.objects[chunk_file_key(NAMESPACE, str(document_id))], type=Row)

    def results(self) -> list[object]:
        """Return what every job of the world ended with, in the order of their ids.

        Not what settles parses: two are begun, and settled, only if something goes wrong.
        """
        views = [self.world.view(job_id) for job_id in sorted(self.world.objects)]
        views = [view for view in views if view.workflow != "settle-parse"]
        return [(view.id, view.status, view.result, view.error) for view in views]

    def child(self, document_id: object) -> JobView:
        found = [
            self.world.view(job_id)
            for job_id, item in self.world.objects.items()
            if item.engine.known().workflow == "trigger-document-job"
            and msgspec.msgpack.decode(item.engine.known().payload[1:]).get("documentId") == document_id
        ]
        assert len(found) == 1
        return found[0]


class Scenario(msgspec.Struct, kw_only=True):
    """An ingest job and what is around it."""

    payload: Mapping[str, object]
    config: Mapping[str, object] | None = None
    name: str | None = None
    tenant_id: str | None = None
    embedding_config: Mapping[str, object] | None = None
    vector_store_config: Mapping[str, object] | None = None
    blobs: Mapping[str, bytes] = {}
    allow_loopback: bool = True


class Stage:
    """Where scenarios are run, one after the other, each on empty tables."""

    def __init__(self, url: str, embeddings_url: str) -> None:
        self.url = url
        self.embeddings_url = embeddings_url
        #: Makes the database and the outgoing HTTP of the jobs, for tests that replace them.
        self.connect: Callable[[str], Database] = AsyncpgDatabase
        self.reroute: Callable[[Http], Http] = lambda http: http
        #: Changes the jobs' settings and buckets.
        self.configure: Callable[[Settings], Settings] = lambda settings: settings
        self.wrap_blobs: Callable[[Blobs], Blobs] = lambda blobs: blobs
        #: Runs the world instead of ``World.run``; it is given the main bucket, too.
        self.drive: Callable[[World, Database, MemoryBlobs], Awaitable[None]] | None = None

    def run(
        self,
        scenario: Scenario,
        *,
        always_replay: bool = False,
        crash_at: Sequence[int] = (),
        crash_before_operation: int = 0,
        crash_after_operation: int = 0,
        during: Callable[[World, Database], Awaitable[bool]] | None = None,
        prepare: Edit | None = None,
        workflow: str = "trigger-ingestion-job",
        payload: Mapping[str, object] | None = None,
    ) -> Outcome:
        """Run a scenario to its end.

        Args:
            scenario: what to ingest.
            always_replay: drop coroutines after every slice.
            crash_at: writes of the world before which an object stops.
            crash_before_operation: database operation, 1-based, before which the job's object stops; 0 for none.
            crash_after_operation: the same, after it took effect.
            during: called between ticks until it returns True.
            prepare: changes the seeded rows.
            workflow: what to start.
            payload: its payload.
        """

        async def body(admin: Database) -> Outcome:
            await seed(admin, scenario)
            if prepare is not None:
                await prepare(admin)
            inner = self.connect(self.url)
            async with HttpxHttp() as http:
                database = CrashingDatabase(inner, crash_before_operation, crash_after_operation)
                blobs = await _blobs(scenario)
                services = Services(
                    settings=self.configure(self._settings(scenario)),
                    blobs=self.wrap_blobs(blobs),
                    images=MemoryBlobs(),
                    assets=MemoryBlobs(),
                    http=self.reroute(http),
                    database=lambda: database,
                )
                world = World(
                    ingest,
                    process_document,
                    settle_parse,
                    services=services,
                    database=lambda: database,
                    always_replay=always_replay,
                )
                world.crash_at(*crash_at)
                job_id = world.start(workflow, payload or {"jobId": JOB})
                try:
                    while during is not None and not await during(world, admin):
                        assert await world.step(), "the world ended before the test's condition came true"
                    await (world.run() if self.drive is None else self.drive(world, admin, blobs))
                finally:
                    await inner.close()
            objects = {key: await blobs.get(key) or b"" for key in await blobs.list("")}
            return Outcome(world.view(job_id), await picture(admin), world, database.operations, objects)

        return self.with_database(body)

    def with_database(self, body: Callable[[Database], Awaitable[T]]) -> T:
        """Run ``body`` with a connection that no fault reaches."""

        async def run() -> T:
            database = AsyncpgDatabase(self.url)
            try:
                return await body(database)
            finally:
                await database.close()

        return asyncio.run(run())

    def _settings(self, scenario: Scenario) -> Settings:
        return Settings(
            embeddings=EmbeddingSettings(embeddings_url=self.embeddings_url),
            vectors=VectorStoreSettings(vector_store_default="pgvector"),
            outbound=OutboundSettings(allow_loopback=scenario.allow_loopback),
        )


async def picture(database: Database) -> Picture:
    """Return what is in the database."""
    return Picture(
        jobs=await rows(database, "select to_jsonb(t) from ingest_job t order by id"),
        documents=await rows(database, "select to_jsonb(t) from document t order by id"),
        namespace=(await rows(database, "select to_jsonb(t) from namespace t order by id"))[0],
        organization=(await rows(database, "select to_jsonb(t) from organization t order by id"))[0],
        events=await rows(database, "select to_jsonb(t) from wf.event_outbox t order by created_at, id"),
        vectors=await rows(
            database,
            """select jsonb_build_object('namespace', namespace, 'id', id, 'document_id', document_id, 'body', body,
            'metadata', metadata, 'embedding', embedding::text) from wf.vector order by namespace, id""",
        ),
    )


async def seed(database: Database, scenario: Scenario) -> None:
    """Make the tables hold the scenario's ingest job and nothing else."""
    await scene.reset(database)
    await database.execute(
        "insert into organization (id, name, slug) values ($1, 'An organization', 'org')", ORGANIZATION
    )
    await database.execute(
        """insert into namespace (id, name, slug, "organizationId", "embeddingConfig", "vectorStoreConfig", "updatedAt")
        values ($1, 'A namespace', 'ns', $2, $3::jsonb, $4::jsonb, now() at time zone 'utc')""",
        NAMESPACE,
        ORGANIZATION,
        _json(scenario.embedding_config),
        _json(scenario.vector_store_config),
    )
    await database.execute(
        """insert into ingest_job (id, "namespaceId", status, name, "tenantId", payload, config, "updatedAt")
        values ($1, $2, 'QUEUED', $3, $4, $5::jsonb, $6::jsonb, now() at time zone 'utc')""",
        JOB,
        NAMESPACE,
        scenario.name,
        scenario.tenant_id,
        _json(scenario.payload),
        _json(scenario.config),
    )


async def _blobs(scenario: Scenario) -> MemoryBlobs:
    blobs = MemoryBlobs()
    for key, data in scenario.blobs.items():
        await blobs.put(key, data)
    return blobs


def _json(value: Mapping[str, object] | None) -> str | None:
    return None if value is None else json.dumps(value)
