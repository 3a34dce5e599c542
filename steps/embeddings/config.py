"""Which embeddings a namespace uses, and the platform's own credentials.

The namespace row's ``"embeddingConfig"`` (domain.md §1.8) is decoded here and nowhere else. Keys are never shown by
``repr``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from orchestrator.errors import NonRetryableError

#: Providers are addressed as ``https://<label>.openai.azure.com``, so a resource is one DNS label.
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
#: What an HTTP header can carry, without blanks.
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")

OpenAiModel = Literal["text-embedding-3-small", "text-embedding-3-large"]
VoyageModel = Literal[
    "voyage-3-large", "voyage-3", "voyage-3-lite", "voyage-code-3", "voyage-finance-2", "voyage-law-2"
]
WorkersAiModel = Literal[
    "@cf/baai/bge-small-en-v1.5", "@cf/baai/bge-base-en-v1.5", "@cf/baai/bge-large-en-v1.5", "@cf/baai/bge-m3"
]


class _Provider(msgspec.Struct, frozen=True, kw_only=True, tag_field="provider", rename="camel"):
    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class ManagedOpenAi(_Provider, tag="MANAGED_OPENAI", frozen=True, kw_only=True):
    """The platform's own Azure deployment."""

    model: Literal["text-embedding-3-large"] = "text-embedding-3-large"


class OpenAi(_Provider, tag="OPENAI", frozen=True, kw_only=True):
    """The customer's OpenAI account."""

    model: OpenAiModel
    api_key: str


class AzureOpenAi(_Provider, tag="AZURE_OPENAI", frozen=True, kw_only=True):
    """The customer's Azure deployment. ``resource_name`` is a label, or the address of the resource (W-32)."""

    model: OpenAiModel
    resource_name: str
    deployment: str
    api_key: str
    api_version: str = "preview"


class Voyage(_Provider, tag="VOYAGE", frozen=True, kw_only=True):
    """The customer's Voyage account."""

    model: VoyageModel
    api_key: str


class Google(_Provider, tag="GOOGLE", frozen=True, kw_only=True):
    """The customer's Google AI account."""

    model: Literal["text-embedding-004"]
    api_key: str


class WorkersAiConfig(_Provider, tag="WORKERS_AI", frozen=True, kw_only=True):
    """Models on Cloudflare's own network; the platform's binding, so no key. Not in the original platform."""

    model: WorkersAiModel


EmbeddingConfig = ManagedOpenAi | OpenAi | AzureOpenAi | Voyage | Google | WorkersAiConfig


class EmbeddingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The deployment's own embeddings, used by namespaces without a config.

    Attributes:
        azure_resource_name: ``DEFAULT_AZURE_RESOURCE_NAME``.
        azure_api_key: ``DEFAULT_AZURE_API_KEY``.
        embeddings_url: ``EMBEDDINGS_URL``: base of an OpenAI-compatible API, ``http://127.0.0.1:8788/v1``.
        embeddings_api_key: ``EMBEDDINGS_API_KEY``, if that API wants one.
        embeddings_model: ``EMBEDDINGS_MODEL``.
        workers_ai_model: ``WORKERS_AI_MODEL``: used when the others are unset and the binding is there.
    """

    azure_resource_name: str | None = None
    azure_api_key: str | None = None
    embeddings_url: str | None = None
    embeddings_api_key: str | None = None
    embeddings_model: str = "default"
    workers_ai_model: str | None = None

    def __repr__(self) -> str:
        return "EmbeddingSettings(…)"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> EmbeddingSettings:
        """Pick the settings out of the environment's variables; empty counts as unset."""
        return cls(
            azure_resource_name=env.get("DEFAULT_AZURE_RESOURCE_NAME") or None,
            azure_api_key=env.get("DEFAULT_AZURE_API_KEY") or None,
            embeddings_url=env.get("EMBEDDINGS_URL") or None,
            embeddings_api_key=env.get("EMBEDDINGS_API_KEY") or None,
            embeddings_model=env.get("EMBEDDINGS_MODEL") or "default",
            workers_ai_model=env.get("WORKERS_AI_MODEL") or None,
        )


def parse_embedding_config(json_text: str | None) -> EmbeddingConfig | None:
    """Decode the namespace's ``"embeddingConfig"`` column; None is the managed default.

    Raises:
        NonRetryableError: code ``invalid_embedding_config``: not JSON, an unknown provider or model, a missing field,
            or a value that cannot be part of a request.
    """
    if json_text is None:
        return None
    try:
        config: EmbeddingConfig | None = msgspec.json.decode(json_text, type=EmbeddingConfig | None)
    except msgspec.DecodeError as error:
        raise invalid_embedding_config(str(error)) from error
    if isinstance(config, OpenAi | AzureOpenAi | Voyage | Google) and not _HEADER_SAFE.fullmatch(config.api_key):
        raise invalid_embedding_config("apiKey is empty or has characters that no header can carry")
    if isinstance(config, AzureOpenAi):
        azure_resource_label(config.resource_name)
    return config


def azure_resource_label(resource_name: str) -> str:
    """Return the DNS label of an Azure resource, given the label or any address of the resource (W-32).

    Raises:
        NonRetryableError: code ``invalid_embedding_config``.
    """
    label = resource_name.strip()
    if "/" in label or "." in label:
        try:
            host = urlsplit(label if "//" in label else f"//{label}").hostname or ""
        except ValueError as error:
            raise invalid_embedding_config("resourceName is not an address") from error
        label, _, domain = host.partition(".")
        if not f".{domain}".endswith(".azure.com"):
            raise invalid_embedding_config("resourceName is neither a resource's name nor its azure.com address")
    if not _LABEL.fullmatch(label):
        raise invalid_embedding_config("resourceName is not a valid name of an Azure resource")
    return label


def invalid_embedding_config(reason: str) -> NonRetryableError:
    """Return the error for a config that cannot be used."""
    return NonRetryableError(f"Invalid embedding config: {reason}", code="invalid_embedding_config")
