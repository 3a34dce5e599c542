"""How answers of providers are read: waits, messages, deadlines."""

from __future__ import annotations

import asyncio

import pytest

from local.http import HttpxHttp
from orchestrator.errors import RetryableError
from orchestrator.ports import HttpResponse
from steps.json_api import MAX_MESSAGE_CHARS, JsonApi, provider_message, retry_after_ms
from tests.embeddings.stub_server import Reply, StubServer

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "wait_ms"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2_000),
        ({"retry-after": "0.5"}, 500),
        ({"retry-after": "0"}, 0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 250),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9_000),
        ({"retry-after": "59.9"}, 59_900),
        ({"retry-after": "60"}, None),
        ({"retry-after-ms": "90000", "retry-after": "1"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "later"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:05 GMT", "date": DATE}, 5_000),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": DATE}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:05 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:05 -0000", "date": DATE}, None),
    ],
)
def test_waits_that_are_honoured(headers: dict[str, str], wait_ms: int | None) -> None:
    assert retry_after_ms(headers) == wait_ms


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b'{"error":{"message":"m","code":400}}', "application/json", "m"),
        (b'{"error":"m","status":"error"}', "application/json", "m"),
        (b'{"message":"m","code":3,"details":[]}', "application/json", "m"),
        (b'{"detail":"m"}', "application/json", "m"),
        (b'{"detail":[{"loc":["body"]}]}', "application/json", None),
        (b"Unauthorized\n", "text/plain; charset=utf-8", "Unauthorized"),
        (b"", "text/plain", None),
        (b"<html>", "text/html", None),
        (b"[]", "application/json", None),
        (b"\xff\xfe", "application/json", None),
    ],
)
def test_messages_of_providers(body: bytes, content_type: str, message: str | None) -> None:
    assert provider_message(HttpResponse(400, {"content-type": content_type}, body)) == message


def test_long_messages_are_cut() -> None:
    body = b'{"message":"' + b"x" * 10_000 + b'"}'
    assert len(provider_message(HttpResponse(400, {}, body)) or "") == MAX_MESSAGE_CHARS


def test_a_server_that_never_answers_is_retryable() -> None:
    async def call(url: str) -> None:
        async with HttpxHttp() as http:
            api = JsonApi(http, name="Stub", area="embedding", base_url=url, headers={}, timeout_ms=50)
            await api.post("/x", {}, object)

    with StubServer(lambda _: Reply(hang=True)) as stub, pytest.raises(RetryableError) as caught:
        asyncio.run(call(stub.url))
    assert caught.value.error_code == "embedding_unavailable"
    assert caught.value.details == {"cause": "http_timeout"}
