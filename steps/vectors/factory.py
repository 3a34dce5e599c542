"""From a namespace's config to the store that holds its vectors."""

from __future__ import annotations

from orchestrator.ports import Database, Http
from steps.vectors import VectorStore
from steps.vectors.config import (
    ManagedPinecone,
    ManagedPineconeOld,
    ManagedTurbopuffer,
    PineconeConfig,
    TurbopufferConfig,
    VectorStoreConfig,
    VectorStoreSettings,
    namespace_name,
    not_configured,
    pinecone_base_url,
    pinecone_namespace_name,
)
from steps.vectors.pgvector import PgVectorStore
from steps.vectors.pinecone import PineconeStore
from steps.vectors.turbopuffer import MANAGED_REGION, TurbopufferStore, region_url


def vector_store_for(
    config: VectorStoreConfig | None,
    settings: VectorStoreSettings,
    namespace_id: str,
    tenant_id: str | None,
    http: Http,
    database: Database | None,
) -> VectorStore:
    """Return the store of a namespace and tenant.

    Args:
        config: the namespace's own choice; None is the deployment's default: pgvector or its Turbopuffer account.
        settings: the deployment's credentials.
        namespace_id: the row's id, without the ``ns_`` of the public API.
        tenant_id: the tenant of the document, if it has one.
        http: the way out.
        database: where pgvector keeps its rows; only needed for that store.

    Raises:
        NonRetryableError: code ``vector_store_not_configured`` when the deployment lacks what the namespace needs;
            code ``invalid_vector_store_config`` or ``invalid_vector_namespace``.
    """
    match config:
        case TurbopufferConfig():
            return _turbopuffer(http, config.api_key, region_url(config.region), namespace_id, tenant_id)
        case PineconeConfig():
            return _pinecone(http, config.api_key, config.index_host, namespace_id, tenant_id)
        case ManagedPinecone():
            return _pinecone(http, settings.pinecone_api_key, settings.pinecone_host, namespace_id, tenant_id)
        case ManagedPineconeOld():
            return _pinecone(http, settings.pinecone_old_api_key, settings.pinecone_old_host, namespace_id, tenant_id)
        case None if settings.vector_store_default == "pgvector":
            if database is None:
                raise not_configured("pgvector needs the database")
            return PgVectorStore(database, namespace_name(namespace_id, tenant_id))
        case ManagedTurbopuffer() | None:
            url = settings.turbopuffer_url or region_url(MANAGED_REGION)
            return _turbopuffer(http, settings.turbopuffer_api_key, url, namespace_id, tenant_id)


def _turbopuffer(
    http: Http, api_key: str | None, base_url: str, namespace_id: str, tenant_id: str | None
) -> TurbopufferStore:
    if not api_key:
        raise not_configured("DEFAULT_TURBOPUFFER_API_KEY is not set")
    namespace = namespace_name(namespace_id, tenant_id)
    return TurbopufferStore(http, api_key=api_key, namespace=namespace, base_url=base_url)


def _pinecone(
    http: Http, api_key: str | None, index_host: str | None, namespace_id: str, tenant_id: str | None
) -> PineconeStore:
    if not api_key or not index_host:
        raise not_configured("the key or the host of the managed Pinecone index is not set")
    namespace = pinecone_namespace_name(namespace_id, tenant_id)
    return PineconeStore(http, api_key=api_key, namespace=namespace, base_url=pinecone_base_url(index_host))
