"""Which vector store a namespace uses, and the platform's own credentials.

The namespace row's ``"vectorStoreConfig"`` (domain.md §1.8) is decoded here and nowhere else. Keys are never shown by
``repr``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from orchestrator.errors import NonRetryableError
from steps.outbound import OutboundSettings, checked_url

_REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")
#: Turbopuffer's rule for namespace names (domain.md §3.5).
_NAMESPACE_NAME = re.compile(r"[A-Za-z0-9\-_.]{1,128}")


class _Provider(msgspec.Struct, frozen=True, kw_only=True, tag_field="provider", rename="camel"):
    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class ManagedTurbopuffer(_Provider, tag="MANAGED_TURBOPUFFER", frozen=True, kw_only=True):
    """The platform's own Turbopuffer account."""


class ManagedPinecone(_Provider, tag="MANAGED_PINECONE", frozen=True, kw_only=True):
    """The platform's own Pinecone index (``SECONDARY_PINECONE_*``)."""


class ManagedPineconeOld(_Provider, tag="MANAGED_PINECONE_OLD", frozen=True, kw_only=True):
    """The platform's first Pinecone index (``DEFAULT_PINECONE_*``)."""


class PineconeConfig(_Provider, tag="PINECONE", frozen=True, kw_only=True):
    """The customer's Pinecone index. ``index_host`` may lack ``https://``."""

    api_key: str
    index_host: str


class TurbopufferConfig(_Provider, tag="TURBOPUFFER", frozen=True, kw_only=True):
    """The customer's Turbopuffer account."""

    api_key: str
    region: str


VectorStoreConfig = ManagedTurbopuffer | ManagedPinecone | ManagedPineconeOld | PineconeConfig | TurbopufferConfig


class VectorStoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The deployment's own vector stores, used by namespaces that bring none.

    Attributes:
        vector_store_default: ``VECTOR_STORE_DEFAULT``: where namespaces without a config are kept.
        turbopuffer_api_key: ``DEFAULT_TURBOPUFFER_API_KEY``.
        turbopuffer_url: ``DEFAULT_TURBOPUFFER_URL``: where that account is, if not in the usual region.
        pinecone_api_key: ``SECONDARY_PINECONE_API_KEY``.
        pinecone_host: ``SECONDARY_PINECONE_HOST``.
        pinecone_old_api_key: ``DEFAULT_PINECONE_API_KEY``.
        pinecone_old_host: ``DEFAULT_PINECONE_HOST``.
    """

    vector_store_default: Literal["pgvector", "turbopuffer"] = "turbopuffer"
    turbopuffer_api_key: str | None = None
    turbopuffer_url: str | None = None
    pinecone_api_key: str | None = None
    pinecone_host: str | None = None
    pinecone_old_api_key: str | None = None
    pinecone_old_host: str | None = None

    def __repr__(self) -> str:
        return f"VectorStoreSettings({self.vector_store_default}, …)"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> VectorStoreSettings:
        """Pick the settings out of the environment's variables; empty counts as unset.

        Raises:
            NonRetryableError: code ``vector_store_not_configured``: ``VECTOR_STORE_DEFAULT`` names no store.
        """
        default = env.get("VECTOR_STORE_DEFAULT") or "turbopuffer"
        if default not in ("pgvector", "turbopuffer"):
            raise not_configured("VECTOR_STORE_DEFAULT is neither pgvector nor turbopuffer")
        return cls(
            vector_store_default=default,
            turbopuffer_api_key=env.get("DEFAULT_TURBOPUFFER_API_KEY") or None,
            turbopuffer_url=env.get("DEFAULT_TURBOPUFFER_URL") or None,
            pinecone_api_key=env.get("SECONDARY_PINECONE_API_KEY") or None,
            pinecone_host=env.get("SECONDARY_PINECONE_HOST") or None,
            pinecone_old_api_key=env.get("DEFAULT_PINECONE_API_KEY") or None,
            pinecone_old_host=env.get("DEFAULT_PINECONE_HOST") or None,
        )


def parse_vector_store_config(json_text: str | None) -> VectorStoreConfig | None:
    """Decode the namespace's ``"vectorStoreConfig"`` column; None is the default store.

    Raises:
        NonRetryableError: code ``invalid_vector_store_config``: not JSON, an unknown provider, a missing field, or a
            value that cannot be part of a request.
    """
    if json_text is None:
        return None
    try:
        config: VectorStoreConfig | None = msgspec.json.decode(json_text, type=VectorStoreConfig | None)
    except msgspec.DecodeError as error:
        raise _invalid(str(error)) from error
    if isinstance(config, PineconeConfig | TurbopufferConfig) and not _HEADER_SAFE.fullmatch(config.api_key):
        raise _invalid("apiKey is empty or has characters that no header can carry")
    if isinstance(config, PineconeConfig):
        pinecone_base_url(config.index_host)
    if isinstance(config, TurbopufferConfig) and not _REGION.fullmatch(config.region):
        raise _invalid("region is not a valid name")
    return config


def is_pinecone(config: VectorStoreConfig | None) -> bool:
    """Say whether the store is Pinecone, whose deletes by document need a rate limit (domain.md §3.5)."""
    return isinstance(config, ManagedPinecone | ManagedPineconeOld | PineconeConfig)


def pinecone_base_url(index_host: str) -> str:
    """Return ``https://<host>`` for an index host given with or without its scheme.

    Raises:
        NonRetryableError: code ``invalid_vector_store_config``: not a plain host, not HTTPS, or not public (W-27).
    """
    text = index_host.strip()
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise _invalid("indexHost is not a host") from error
    plain = parts.path in ("", "/") and not parts.query and not parts.fragment and "@" not in parts.netloc
    if parts.scheme != "https" or not parts.hostname or not plain or not _HEADER_SAFE.fullmatch(text):
        raise _invalid("indexHost is not an https host")
    try:
        checked_url(f"https://{parts.hostname}{port}", OutboundSettings())
    except NonRetryableError as error:
        raise _invalid(f"indexHost: {error}") from error
    return f"https://{parts.hostname}{port}"


def namespace_name(namespace_id: str, tenant_id: str | None) -> str:
    """Return Turbopuffer's and pgvector's name for a namespace: ``as_<id>`` or ``as_<id>_<tenant>``.

    Raises:
        NonRetryableError: code ``invalid_vector_namespace``: the ids have characters that Turbopuffer refuses, or are
            too long.
    """
    name = f"as_{namespace_id}_{tenant_id}" if tenant_id else f"as_{namespace_id}"
    if not _NAMESPACE_NAME.fullmatch(name):
        raise NonRetryableError(
            "The namespace's and tenant's ids may only have letters, digits, '-', '_' and '.', 128 characters in all",
            code="invalid_vector_namespace",
        )
    return name


def pinecone_namespace_name(namespace_id: str, tenant_id: str | None) -> str:
    """Return Pinecone's name for a namespace: ``agentset:<id>`` or ``agentset:<id>:<tenant>``."""
    return f"agentset:{namespace_id}:{tenant_id}" if tenant_id else f"agentset:{namespace_id}"


def not_configured(reason: str) -> NonRetryableError:
    """Return the error for a deployment that lacks a store's credentials."""
    return NonRetryableError(f"The vector store is not configured: {reason}", code="vector_store_not_configured")


def _invalid(reason: str) -> NonRetryableError:
    return NonRetryableError(f"Invalid vector store config: {reason}", code="invalid_vector_store_config")
