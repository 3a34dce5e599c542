"""The ports of one job's engine on Cloudflare: composition, nothing else."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Mapping
from functools import cache

from durable import bridge
from durable.event_delivery import EventDelivery
from durable.fetch_http import FetchHttp
from durable.log_lines import line_of
from durable.object_network import ObjectNetwork
from durable.object_sql import ObjectAlarm, ObjectSql
from durable.r2_blobs import R2Blobs
from durable.worker_database import WorkerDatabases
from durable.workers_ai import BoundWorkersAi
from orchestrator.errors import OrchestratorError
from orchestrator.meter import Meter
from orchestrator.operations import Token
from orchestrator.ports import Database
from orchestrator.tokens import TokenSigner
from steps.billing.settings import StripeSettings
from steps.demo_templates import DemoSettings
from steps.embeddings.config import EmbeddingSettings
from steps.outbound import OutboundSettings
from steps.parser_service.config import ParserServiceSettings
from steps.platform.ingest_settings import IngestSettings
from steps.platform.settings import PlatformSettings
from steps.presigned import S3Settings
from steps.redis import RedisSettings
from steps.services import Services, Settings
from steps.vectors.config import VectorStoreSettings
from steps.webhooks.settings import WebhookSettings


class WorkerClock:
    """The Worker's clock."""

    def now_ms(self) -> int:
        """See :class:`orchestrator.ports.Clock`."""
        return bridge.now_ms()


class WorkerEntropy:
    """The Worker's randomness; usable inside handlers only (platform.md §4.2)."""

    def random(self) -> float:
        """See :class:`orchestrator.ports.Entropy`."""
        return random.random()  # noqa: S311 - spreads retries

    def random_bytes(self, size: int) -> bytes:
        """See :class:`orchestrator.ports.Entropy`."""
        return os.urandom(size)


class ObjectPlatform:
    """Implements :class:`orchestrator.ports.Platform` for a Durable Object."""

    def __init__(self, storage: bridge.Storage, env: bridge.Env) -> None:
        self.clock = WorkerClock()
        self.entropy = WorkerEntropy()
        self.sql = ObjectSql(storage)
        self.meter = Meter()
        self.alarm = ObjectAlarm(storage, self.meter)
        self.network = ObjectNetwork(env, self.meter)
        self._storage = storage
        self._env = env

    @property
    def always_replay(self) -> bool:
        """Whether coroutines are dropped after every slice: a setting for tests."""
        return self._env.text("ALWAYS_REPLAY") == "1"

    def make_token(self, job_id: str, key: str, expires_at_ms: int) -> Token:
        """See :class:`orchestrator.ports.Platform`."""
        return token_signer(self._env).make(job_id, key, expires_at_ms)

    def resources(self) -> ObjectResources:
        """See :class:`orchestrator.ports.Platform`."""
        return ObjectResources(self._env, self.meter)

    async def sync(self) -> None:
        """See :class:`orchestrator.ports.Platform`."""
        await self._storage.sync()

    async def wipe(self) -> None:
        """See :class:`orchestrator.ports.Platform`."""
        await self._storage.wipe()

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """See :class:`orchestrator.ports.Platform`."""
        write_log(level, event, fields)


class ObjectPorts:
    """The ports of an object that runs no job."""

    def __init__(self, storage: bridge.Storage) -> None:
        self.clock = WorkerClock()
        self.sql = ObjectSql(storage)
        self.alarm = ObjectAlarm(storage)

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """See :class:`orchestrator.ports.Platform`."""
        write_log(level, event, fields)


class ObjectResources:
    """Implements :class:`orchestrator.ports.Resources`: one connection per slice, opened on first use."""

    def __init__(self, env: bridge.Env, meter: Meter) -> None:
        self._databases = WorkerDatabases(env)
        self._network = ObjectNetwork(env, meter)
        self._blobs = R2Blobs(env.bucket("BLOBS"), meter)
        ai = env.ai("AI")
        self._services = Services(
            settings=settings(env),
            blobs=self._blobs,
            images=R2Blobs(env.bucket("IMAGES"), meter),
            assets=R2Blobs(env.bucket("ASSETS"), meter),
            http=FetchHttp(meter),
            database=self._databases.get,
            ai=None if ai is None else BoundWorkersAi(ai, meter),
        )

    @property
    def services(self) -> Services:
        """See :class:`orchestrator.ports.Resources`."""
        return self._services

    def database(self) -> Database:
        """See :class:`orchestrator.ports.Resources`."""
        return self._databases.get()

    def blobs(self) -> R2Blobs:
        """See :class:`orchestrator.ports.Resources`."""
        return self._blobs

    async def close(self) -> None:
        """See :class:`orchestrator.ports.Resources`."""
        await self._databases.close()
        if self._services.announced:
            await event_delivery().soon(self._services.announced, self._network.create)


@cache
def event_delivery() -> EventDelivery:
    """Return the isolate's memory of whose events are about to be delivered."""
    return EventDelivery(WorkerClock(), write_log)


def token_signer(env: bridge.Env) -> TokenSigner:
    """Return the signer of wait tokens: ``TOKEN_SECRET``, or a key of its own derived from ``API_KEY``.

    Raises:
        OrchestratorError: neither is set (code ``no_secret_configured``); an empty key would sign for anyone.
    """
    secret = env.text("TOKEN_SECRET") or env.text("API_KEY")
    if secret is None:
        raise OrchestratorError("Tokens need TOKEN_SECRET or API_KEY to be set", code="no_secret_configured")
    return TokenSigner(hashlib.sha256(f"wait tokens\x1f{secret}".encode()).digest())


def settings(env: bridge.Env) -> Settings:
    """Read the jobs' settings from the Worker's variables and secrets."""
    texts = env.texts()
    return Settings(
        embeddings=EmbeddingSettings.from_env(texts),
        vectors=VectorStoreSettings.from_env(texts),
        redis=RedisSettings.from_env(texts),
        webhooks=WebhookSettings.from_env(texts),
        stripe=StripeSettings.from_env(texts),
        outbound=OutboundSettings.from_env(texts),
        parser_service=ParserServiceSettings.from_env(texts),
        s3=S3Settings.from_env(texts),
        ingest=IngestSettings.from_env(texts),
        demo=DemoSettings.from_env(texts),
        platform=PlatformSettings.from_env(texts),
    )


def write_log(level: str, event: str, fields: Mapping[str, object]) -> None:
    """Write one structured log line (platform.md §6.1)."""
    print(line_of(level, event, fields))
