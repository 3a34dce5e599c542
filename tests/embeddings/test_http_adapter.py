"""The ``Http`` port over httpx, against a real server."""

from __future__ import annotations

import asyncio

import pytest

from local.http import HttpxHttp
from orchestrator.errors import HttpError
from orchestrator.ports import HttpResponse
from tests.embeddings.stub_server import Received, Reply, StubServer


def request(url: str, method: str = "POST", *, body: bytes | None = None, timeout_ms: int = 30_000, limit: int = 1_000) -> HttpResponse:  # fmt: skip  # noqa: E501
    async def call() -> HttpResponse:
        async with HttpxHttp() as http:
            return await http.request(
                method, url, headers={"X-Sent": "1"}, body=body, timeout_ms=timeout_ms, max_body_bytes=limit
            )

    return asyncio.run(call())


def test_request_and_answer_pass_through() -> None:
    def answer(received: Received) -> Reply:
        return Reply(418, received.body[::-1], {"X-Answered": received.headers["x-sent"]})

    with StubServer(answer) as stub:
        response = request(f"{stub.url}/path?q=1", body=b"abc")
        assert (response.status, response.body, response.headers["x-answered"]) == (418, b"cba", "1")
        assert (stub.received[0].path, stub.received[0].query) == ("/path", "q=1")


def test_redirects_are_answers() -> None:
    with StubServer(lambda _: Reply(302, b"", {"location": "http://127.0.0.1:1/"})) as stub:
        assert request(stub.url, "GET").status == 302


@pytest.mark.parametrize(
    ("reply", "code", "status"),
    [
        (Reply(hang=True), "http_timeout", None),
        (Reply(410, body=b"x" * 1_001), "http_body_too_large", 410),
        (Reply(202, body=b"x" * 100, cut_at=50), "http_unreachable", 202),
    ],
)
def test_no_usable_answer(reply: Reply, code: str, status: int | None) -> None:
    with StubServer(lambda _: reply) as stub, pytest.raises(HttpError) as caught:
        request(f"{stub.url}/path?signature=secret", timeout_ms=30_000 if not reply.hang else 50)
    assert (caught.value.error_code, caught.value.details.get("status")) == (code, status)
    assert "secret" not in str(caught.value)


def test_a_body_of_exactly_the_limit_is_taken() -> None:
    with StubServer(lambda _: Reply(body=b"x" * 1_000)) as stub:
        assert len(request(stub.url).body) == 1_000


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://", "ftp://127.0.0.1/", "http://[", "http://x:y/"])
def test_addresses_that_nobody_answers(url: str) -> None:
    with pytest.raises(HttpError) as caught:
        request(url)
    assert caught.value.error_code == "http_unreachable"
