"""What a namespace row may say about its vector store, and where that leads."""

from __future__ import annotations

import asyncio

import pytest

from local.http import HttpxHttp
from orchestrator.errors import NonRetryableError
from steps.vectors import VectorStore, pinecone, turbopuffer
from steps.vectors.config import (
    ManagedPinecone,
    ManagedPineconeOld,
    ManagedTurbopuffer,
    PineconeConfig,
    TurbopufferConfig,
    VectorStoreSettings,
    is_pinecone,
    namespace_name,
    parse_vector_store_config,
    pinecone_base_url,
    pinecone_namespace_name,
)
from steps.vectors.factory import vector_store_for


@pytest.mark.parametrize(
    ("json_text", "expected", "rate_limited_deletes"),
    [
        (None, None, False),
        ("null", None, False),
        ('{"provider":"MANAGED_TURBOPUFFER"}', ManagedTurbopuffer(), False),
        ('{"provider":"MANAGED_PINECONE"}', ManagedPinecone(), True),
        ('{"provider":"MANAGED_PINECONE_OLD","more":1}', ManagedPineconeOld(), True),
        (
            '{"provider":"PINECONE","apiKey":"k","indexHost":"https://i.pinecone.io"}',
            PineconeConfig(api_key="k", index_host="https://i.pinecone.io"),
            True,
        ),
        (
            '{"provider":"TURBOPUFFER","apiKey":"k","region":"aws-eu-west-1"}',
            TurbopufferConfig(api_key="k", region="aws-eu-west-1"),
            False,
        ),
    ],
)
def test_configs_of_namespace_rows(json_text: str | None, expected: object, rate_limited_deletes: bool) -> None:
    config = parse_vector_store_config(json_text)
    assert config == expected
    assert is_pinecone(config) is rate_limited_deletes


@pytest.mark.parametrize(
    "json_text",
    [
        "",
        "{}",
        '{"provider":"QDRANT"}',
        '{"provider":"PINECONE","apiKey":"k-secret"}',
        '{"provider":"PINECONE","apiKey":"k-secret\\n","indexHost":"i.pinecone.io"}',
        '{"provider":"PINECONE","apiKey":"k-secret","indexHost":"http://i.pinecone.io"}',
        '{"provider":"TURBOPUFFER","apiKey":"k-secret","region":"evil.example/#"}',
        '{"provider":"TURBOPUFFER","apiKey":"","region":"aws-us-east-1"}',
        '{"provider":"TURBOPUFFER","apiKey":["k-secret"],"region":"aws-us-east-1"}',
    ],
)
def test_unusable_configs_are_refused_without_showing_the_key(json_text: str) -> None:
    with pytest.raises(NonRetryableError) as caught:
        parse_vector_store_config(json_text)
    assert caught.value.error_code == "invalid_vector_store_config"
    assert "k-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("i.svc.pinecone.io", "https://i.svc.pinecone.io"),
        (" https://I.svc.pinecone.io/ ", "https://i.svc.pinecone.io"),
        ("i.pinecone.io:8443", "https://i.pinecone.io:8443"),
    ],
)
def test_index_hosts(host: str, url: str) -> None:
    assert pinecone_base_url(host) == url


@pytest.mark.parametrize(
    "host", ["", "http://i.io", "ftp://i.io", "https://i.io/path", "i.io?x=1", "a@i.io", "i .io", "[i.io", "i.io:x"]
)
def test_what_cannot_be_an_index_host_is_refused(host: str) -> None:
    with pytest.raises(NonRetryableError) as caught:
        pinecone_base_url(host)
    assert caught.value.error_code == "invalid_vector_store_config"


def test_names_of_namespaces() -> None:
    assert namespace_name("ns1", None) == "as_ns1"
    assert namespace_name("ns1", "t1") == "as_ns1_t1"
    assert pinecone_namespace_name("ns1", None) == "agentset:ns1"
    assert pinecone_namespace_name("ns1", "t1") == "agentset:ns1:t1"


@pytest.mark.parametrize("tenant", ["a/b", "é", "a b", "x" * 128, "a\n"])
def test_names_that_turbopuffer_refuses(tenant: str) -> None:
    with pytest.raises(NonRetryableError) as caught:
        namespace_name("ns1", tenant)
    assert caught.value.error_code == "invalid_vector_namespace"


def test_filters_that_pick_a_document() -> None:
    """The vectors of domain.md §9.1."""
    assert pinecone.document_filter("d1") == {"documentId": "d1"}
    assert turbopuffer.document_filter("d1") == ["And", [["documentId", "Eq", "d1"]]]


def test_keys_are_never_shown() -> None:
    settings = VectorStoreSettings(turbopuffer_api_key="k-secret", pinecone_api_key="k-secret")
    configs = [PineconeConfig(api_key="k-secret", index_host="h"), TurbopufferConfig(api_key="k-secret", region="r")]
    assert "k-secret" not in f"{settings!r} {settings} {configs!r} {configs}"


def test_settings_come_from_the_environment() -> None:
    env = {"DEFAULT_TURBOPUFFER_API_KEY": "k", "DEFAULT_PINECONE_HOST": "", "VECTOR_STORE_DEFAULT": "pgvector"}
    expected = VectorStoreSettings(turbopuffer_api_key="k", vector_store_default="pgvector")
    assert VectorStoreSettings.from_env(env) == expected
    assert VectorStoreSettings.from_env({}) == VectorStoreSettings()
    with pytest.raises(NonRetryableError):
        VectorStoreSettings.from_env({"VECTOR_STORE_DEFAULT": "faiss"})


@pytest.mark.parametrize(
    ("config_json", "default"),
    [
        (None, "turbopuffer"),
        (None, "pgvector"),
        ('{"provider":"MANAGED_TURBOPUFFER"}', "pgvector"),
        ('{"provider":"MANAGED_PINECONE"}', "pgvector"),
        ('{"provider":"MANAGED_PINECONE_OLD"}', "pgvector"),
    ],
)
def test_a_deployment_without_credentials_says_so(config_json: str | None, default: str) -> None:
    settings = VectorStoreSettings.from_env({"VECTOR_STORE_DEFAULT": default})

    async def choose() -> VectorStore:
        async with HttpxHttp() as http:
            return vector_store_for(parse_vector_store_config(config_json), settings, "ns1", None, http, None)

    with pytest.raises(NonRetryableError) as caught:
        asyncio.run(choose())
    assert caught.value.error_code == "vector_store_not_configured"
