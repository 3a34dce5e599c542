"""Runs the platform's workflows on the standard scene: the engine's test world, a real Postgres, stubs around."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

import steps
from durable.postgres import AsyncpgDatabase
from orchestrator.model import JobOptions, JobView
from orchestrator.ports import Database
from orchestrator.testing import World
from orchestrator.testing.blobs import MemoryBlobs
from orchestrator.workflow import discover
from steps.billing.settings import StripeSettings
from steps.embeddings.config import EmbeddingSettings
from steps.platform.settings import PlatformSettings
from steps.redis import RedisSettings
from steps.services import Services, Settings
from tests.billing.stub import API_KEY, StripeStub
from tests.embeddings.stub_server import Received, Reply
from tests.ingestion.embedder import embeddings
from tests.platform import demo_files, picture, scene
from tests.platform.faults import CrashingDatabase
from tests.platform.picture import Picture
from tests.platform.stubs import StubHttp
from tests.redis.stub import TOKEN, RedisStub
from tests.vectors.stores import PineconeStub, TurbopufferStub
from tests.webhooks.stubs import Receivers

T = TypeVar("T")
EMBEDDINGS_ORIGIN = "https://embeddings.example.com"
FILES_ORIGIN = "https://files.example.com"
DEMO_ORIGIN = "https://assets.agentset.ai"
HOOKS_ORIGIN = "https://hooks.example.com"
REDIS_ORIGIN = "https://redis.example.com"


class Play:
    """One run on the scene, while it goes on: what tests look at and disturb.

    Attributes:
        world: the jobs.
        admin: a database connection that no fault reaches.
        database: the jobs' connection.
        buckets: ``blobs``, ``images`` and ``assets``.
        http: the outside world.
        turbopuffer: what it stores.
        pinecone: what it stores.
        redis: what it keeps.
        stripe: what it has counted.
        receivers: what webhooks got.
    """

    def __init__(self, url: str, admin: Database, *, before: int, after: int, always_replay: bool) -> None:
        self.admin = admin
        self.buckets = {"blobs": MemoryBlobs(), "images": MemoryBlobs(), "assets": MemoryBlobs()}
        self.turbopuffer, self.pinecone, self.redis = TurbopufferStub(), PineconeStub(), RedisStub()
        self.redis.strings |= scene.REDIS
        self.http = StubHttp(
            {
                scene.PINECONE_ORIGIN: self.pinecone,
                scene.TURBOPUFFER_ORIGIN: self.turbopuffer,
                EMBEDDINGS_ORIGIN: embeddings,
                FILES_ORIGIN: _file,
                DEMO_ORIGIN: demo_files.serve,
                REDIS_ORIGIN: self.redis,
            }
        )
        self.settings = Settings(
            embeddings=EmbeddingSettings(embeddings_url=EMBEDDINGS_ORIGIN + "/v1"),
            vectors=scene.VECTOR_SETTINGS,
            redis=RedisSettings(url=REDIS_ORIGIN, token=TOKEN),
            stripe=StripeSettings(api_key=API_KEY),
            platform=PlatformSettings(assets_url=scene.ASSETS_URL),
        )
        self.database = CrashingDatabase(AsyncpgDatabase(url), before, after)
        self.world = World(*discover(steps), services=self, database=lambda: self.database, always_replay=always_replay)
        self.world.services = self.services()
        self.stripe = StripeStub(self.world.clock.now_ms, frozenset({f"cus_{scene.ORGANIZATION}"}))
        self.receivers = Receivers()
        self.http.routes[self.settings.stripe.api_url] = self.stripe
        self.http.routes[self.settings.stripe.events_url] = self.stripe
        self.http.routes[HOOKS_ORIGIN] = self.receivers

    def services(self) -> Services:
        """Return what the steps use; a test that replaces part of it assigns the result to ``world.services``."""
        return Services(
            settings=self.settings,
            blobs=self.buckets["blobs"],
            images=self.buckets["images"],
            assets=self.buckets["assets"],
            http=self.http,
            database=lambda: self.database,
        )

    def start(self, workflow: str, payload: object) -> str:
        """Start a job; return its id."""
        return self.world.start(workflow, payload, JobOptions(mode="direct"))

    async def picture(self) -> Picture:
        """Return everything there is."""
        return await picture.take(self.admin, self.buckets, self.turbopuffer, self.pinecone, self.redis)


class Outcome(msgspec.Struct, frozen=True):
    """How a run ended."""

    view: JobView
    before: Picture
    picture: Picture
    play: Play
    #: Database operations that the jobs made.
    operations: int

    @property
    def world(self) -> World:
        """The jobs."""
        return self.play.world

    def results(self) -> list[object]:
        """Return what every job ended with, in the order of their ids."""
        views = [self.world.view(job_id) for job_id in sorted(self.world.objects)]
        return [(view.id, view.status, view.result, view.error) for view in views]


Prepare = Callable[[Play], Awaitable[None]]
During = Callable[[Play], Awaitable[bool]]


class Stage:
    """Where plays are run, one after the other, each on a fresh scene.

    Args:
        url: a database whose tables may be emptied.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def run(
        self,
        workflow: str,
        payload: Mapping[str, object],
        *,
        always_replay: bool = False,
        crash_at: Sequence[int] = (),
        crash_before_operation: int = 0,
        crash_after_operation: int = 0,
        prepare: Prepare | None = None,
        during: During | None = None,
    ) -> Outcome:
        """Run a workflow, and whatever it starts, to its end.

        Args:
            workflow: what to start.
            payload: its payload.
            always_replay: drop coroutines after every slice.
            crash_at: writes of the world before which an object stops.
            crash_before_operation: database operation, 1-based, before which the job's object stops; 0 for none.
            crash_after_operation: the same, after it took effect.
            prepare: changes the scene.
            during: called between ticks until it returns True.
        """

        async def body(admin: Database) -> Outcome:
            play = Play(
                self._url,
                admin,
                before=crash_before_operation,
                after=crash_after_operation,
                always_replay=always_replay,
            )
            await scene.seed(admin, play.buckets, play.http)
            play.http.traffic.clear()
            if prepare is not None:
                await prepare(play)
            before = await play.picture()
            play.world.crash_at(*crash_at)
            try:
                job_id = play.start(workflow, payload)
                while during is not None and not await during(play):
                    assert await play.world.step(), "the world ended before the test's condition came true"
                await play.world.run()
            finally:
                await play.database.close()
            return Outcome(play.world.view(job_id), before, await play.picture(), play, play.database.operations)

        return self.with_database(body)

    def with_database(self, body: Callable[[Database], Awaitable[T]]) -> T:
        """Run ``body`` with a connection that no fault reaches."""

        async def run() -> T:
            database = AsyncpgDatabase(self._url)
            try:
                return await body(database)
            finally:
                await database.close()

        return asyncio.run(run())


def _file(request: Received) -> Reply:
    found = scene.FILES.get(f"{FILES_ORIGIN}{request.path}")
    return Reply(404, b"not found") if found is None else Reply(200, found, {"content-type": "text/plain"})
