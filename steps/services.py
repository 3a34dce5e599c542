"""What the steps of this platform use, handed to them by the composition root."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from orchestrator import current_step
from orchestrator.errors import OrchestratorError
from orchestrator.ports import Blobs, Database, Http
from steps.billing.settings import StripeSettings
from steps.demo_templates import DemoSettings
from steps.embeddings.config import EmbeddingSettings
from steps.embeddings.workers_ai import WorkersAi
from steps.outbound import OutboundSettings
from steps.parser_service.config import ParserServiceSettings
from steps.platform.ingest_settings import IngestSettings
from steps.platform.settings import PlatformSettings
from steps.presigned import S3Settings
from steps.redis import RedisSettings
from steps.vectors.config import VectorStoreSettings
from steps.webhooks.settings import WebhookSettings


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Configuration of the jobs; secrets stay out of its repr."""

    embeddings: EmbeddingSettings = EmbeddingSettings()
    vectors: VectorStoreSettings = VectorStoreSettings()
    redis: RedisSettings = RedisSettings()
    outbound: OutboundSettings = OutboundSettings()
    parser_service: ParserServiceSettings = ParserServiceSettings()
    s3: S3Settings = S3Settings()
    ingest: IngestSettings = IngestSettings()
    demo: DemoSettings = DemoSettings()
    webhooks: WebhookSettings = WebhookSettings()
    stripe: StripeSettings = StripeSettings()
    platform: PlatformSettings = PlatformSettings()

    def __repr__(self) -> str:
        return "Settings(…)"


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """The adapters of one slice."""

    settings: Settings
    #: Documents, and their ``chunks.json``.
    blobs: Blobs
    #: Images taken out of documents.
    images: Blobs
    #: Logos and preview images of hosted pages.
    assets: Blobs
    http: Http
    #: The slice's connection; the same object as ``current_step().database()``.
    database: Callable[[], Database]
    ai: WorkersAi | None = None
    #: Organizations with new events; whoever closes the slice has them delivered soon.
    announced: set[str] = msgspec.field(default_factory=set[str])


def services() -> Services:
    """Return the services of the running step.

    Raises:
        OrchestratorError: called outside a step (code ``not_in_step``), or the composition root gave something else.
    """
    found = current_step().services
    if not isinstance(found, Services):
        raise OrchestratorError("The steps of this platform need steps.services.Services", code="no_services")
    return found
