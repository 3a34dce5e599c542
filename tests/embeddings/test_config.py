"""What a namespace row may say about embeddings, and who serves it."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from local.http import HttpxHttp
from orchestrator.errors import NonRetryableError
from steps.embeddings.config import (
    AzureOpenAi,
    EmbeddingSettings,
    Google,
    ManagedOpenAi,
    OpenAi,
    Voyage,
    WorkersAiConfig,
    azure_resource_label,
    parse_embedding_config,
)
from steps.embeddings.factory import embedder_for


@pytest.mark.parametrize(
    ("json_text", "expected"),
    [
        (None, None),
        ("null", None),
        ('{"provider":"MANAGED_OPENAI","model":"text-embedding-3-large"}', ManagedOpenAi()),
        (
            '{"provider":"OPENAI","model":"text-embedding-3-large","apiKey":"k","unknown":1}',
            OpenAi(model="text-embedding-3-large", api_key="k"),
        ),
        (
            '{"provider":"AZURE_OPENAI","model":"text-embedding-3-small","resourceName":"r","deployment":"d","apiKey":"k"}',
            AzureOpenAi(model="text-embedding-3-small", resource_name="r", deployment="d", api_key="k"),
        ),
        ('{"provider":"VOYAGE","model":"voyage-law-2","apiKey":"k"}', Voyage(model="voyage-law-2", api_key="k")),
        (
            '{"provider":"GOOGLE","model":"text-embedding-004","apiKey":"k"}',
            Google(model="text-embedding-004", api_key="k"),
        ),
        ('{"provider":"WORKERS_AI","model":"@cf/baai/bge-m3"}', WorkersAiConfig(model="@cf/baai/bge-m3")),
    ],
)
def test_configs_of_namespace_rows(json_text: str | None, expected: object) -> None:
    assert parse_embedding_config(json_text) == expected


@pytest.mark.parametrize(
    "json_text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"provider":"COHERE","model":"x","apiKey":"k-secret"}',
        '{"provider":"OPENAI","model":"ada","apiKey":"k-secret"}',
        '{"provider":"OPENAI","model":"text-embedding-3-large"}',
        '{"provider":"OPENAI","model":"text-embedding-3-large","apiKey":""}',
        '{"provider":"OPENAI","model":"text-embedding-3-large","apiKey":"k-secret\\r\\nx-evil: 1"}',
        '{"provider":"OPENAI","model":"text-embedding-3-large","apiKey":["k-secret"]}',
        '{"provider":"AZURE_OPENAI","model":"text-embedding-3-small","resourceName":"evil.example/#","deployment":"d","apiKey":"k-secret"}',
        '{"provider":"WORKERS_AI","model":"@cf/meta/llama"}',
    ],
)
def test_unusable_configs_are_refused_without_showing_the_key(json_text: str) -> None:
    with pytest.raises(NonRetryableError) as caught:
        parse_embedding_config(json_text)
    assert caught.value.error_code == "invalid_embedding_config"
    assert "k-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ("mine", "mine"),
        (" My-Resource2 ", "My-Resource2"),
        ("https://mine.openai.azure.com", "mine"),
        ("https://mine.openai.azure.com/openai/v1?x=1", "mine"),
        ("mine.openai.azure.com", "mine"),
        ("https://mine.cognitiveservices.azure.com/", "mine"),
    ],
)
def test_an_azure_resource_is_a_name_or_an_address(given: str, label: str) -> None:
    assert azure_resource_label(given) == label


@pytest.mark.parametrize(
    "given",
    ["", "-mine", "mine-", "a" * 64, "mine evil", "https://evil.example", "mine.evil.example", "x/../y", "azure.com",
     "https://mine.notazure.com", "https://user@evil.example/mine.openai.azure.com", "https://[mine.openai.azure.com"],
)  # fmt: skip
def test_what_cannot_be_an_azure_resource_is_refused(given: str) -> None:
    with pytest.raises(NonRetryableError) as caught:
        azure_resource_label(given)
    assert caught.value.error_code == "invalid_embedding_config"


def test_keys_are_never_shown() -> None:
    settings = EmbeddingSettings(azure_resource_name="r", azure_api_key="k-secret", embeddings_api_key="k-secret")
    configs = [
        OpenAi(model="text-embedding-3-large", api_key="k-secret"),
        AzureOpenAi(model="text-embedding-3-large", resource_name="r", deployment="d", api_key="k-secret"),
        Voyage(model="voyage-3", api_key="k-secret"),
        Google(model="text-embedding-004", api_key="k-secret"),
    ]
    assert "k-secret" not in f"{settings!r} {settings} {configs!r} {configs}"


def test_settings_come_from_the_environment() -> None:
    env = {"DEFAULT_AZURE_RESOURCE_NAME": "r", "DEFAULT_AZURE_API_KEY": "k", "EMBEDDINGS_URL": "", "OTHER": "x"}
    assert EmbeddingSettings.from_env(env) == EmbeddingSettings(azure_resource_name="r", azure_api_key="k")


@pytest.mark.parametrize(
    "config_json",
    [None, '{"provider":"MANAGED_OPENAI"}', '{"provider":"WORKERS_AI","model":"@cf/baai/bge-m3"}'],
)
def test_a_deployment_without_credentials_says_so(config_json: str | None) -> None:
    async def choose() -> None:
        async with HttpxHttp() as http:
            embedder_for(parse_embedding_config(config_json), EmbeddingSettings(), http)

    with pytest.raises(NonRetryableError) as caught:
        asyncio.run(choose())
    assert caught.value.error_code == "embedding_not_configured"


def test_configs_survive_their_own_json() -> None:
    config = OpenAi(model="text-embedding-3-small", api_key="k")
    assert parse_embedding_config(msgspec.json.encode(config).decode()) == config
