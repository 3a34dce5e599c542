"""From a namespace's config to the client that serves it."""

from __future__ import annotations

from typing import NoReturn

from orchestrator.errors import NonRetryableError
from orchestrator.ports import Http
from steps.embeddings import Embedder, clients
from steps.embeddings.clients import Purpose
from steps.embeddings.config import (
    AzureOpenAi,
    EmbeddingConfig,
    EmbeddingSettings,
    Google,
    ManagedOpenAi,
    OpenAi,
    Voyage,
    azure_resource_label,
)
from steps.embeddings.workers_ai import WorkersAi, WorkersAiEmbedder

#: What the platform's own Azure resource serves (domain.md §3.4).
MANAGED_MODEL = "text-embedding-3-large"


def embedder_for(
    config: EmbeddingConfig | None,
    settings: EmbeddingSettings,
    http: Http,
    ai: WorkersAi | None = None,
    *,
    purpose: Purpose = "document",
) -> Embedder:
    """Return the client for a namespace.

    Args:
        config: the namespace's own choice; None is the managed default: the platform's Azure resource when it is
            configured, else the OpenAI-compatible server of ``embeddings_url``, else Workers AI.
        settings: the deployment's credentials.
        http: the way out.
        ai: the Workers AI binding, where there is one.
        purpose: ``query`` for searches.

    Raises:
        NonRetryableError: code ``embedding_not_configured`` when the deployment lacks what the namespace needs;
            code ``invalid_embedding_config``.
    """
    match config:
        case OpenAi():
            return clients.openai(http, model=config.model, api_key=config.api_key)
        case AzureOpenAi():
            return clients.azure(
                http,
                resource_label=azure_resource_label(config.resource_name),
                deployment=config.deployment,
                api_key=config.api_key,
                api_version=config.api_version,
            )
        case Voyage():
            return clients.voyage(http, model=config.model, api_key=config.api_key, purpose=purpose)
        case Google():
            return clients.google(http, model=config.model, api_key=config.api_key)
        case ManagedOpenAi():
            return _managed_azure(settings, http) or _not_configured("MANAGED_OPENAI needs DEFAULT_AZURE_* to be set")
        case None:
            return _managed_default(settings, http, ai)
        case _:
            return _workers_ai(config.model, ai)


def _managed_default(settings: EmbeddingSettings, http: Http, ai: WorkersAi | None) -> Embedder:
    azure = _managed_azure(settings, http)
    if azure is not None:
        return azure
    if settings.embeddings_url:
        return clients.openai_compatible(
            http,
            base_url=settings.embeddings_url,
            model=settings.embeddings_model,
            api_key=settings.embeddings_api_key,
        )
    if settings.workers_ai_model:
        return _workers_ai(settings.workers_ai_model, ai)
    return _not_configured(
        "no embeddings: set DEFAULT_AZURE_RESOURCE_NAME and DEFAULT_AZURE_API_KEY, EMBEDDINGS_URL, or WORKERS_AI_MODEL"
    )


def _managed_azure(settings: EmbeddingSettings, http: Http) -> Embedder | None:
    if not settings.azure_resource_name or not settings.azure_api_key:
        return None
    return clients.azure(
        http,
        resource_label=azure_resource_label(settings.azure_resource_name),
        deployment=MANAGED_MODEL,
        api_key=settings.azure_api_key,
    )


def _workers_ai(model: str, ai: WorkersAi | None) -> Embedder:
    return WorkersAiEmbedder(ai, model=model) if ai is not None else _not_configured("the AI binding is missing")


def _not_configured(reason: str) -> NoReturn:
    raise NonRetryableError(f"Embeddings are not configured: {reason}", code="embedding_not_configured")
