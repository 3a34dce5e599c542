"""Each provider's call against a stub that refuses anything but the documented request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from local.http import HttpxHttp
from orchestrator.errors import NonRetryableError, OrchestratorError, RetryableError
from steps.embeddings import MAX_TEXTS_PER_CALL, Embedded
from steps.embeddings.clients import EMPTY_TEXT_STAND_IN
from tests.embeddings.providers import PROVIDERS, SECRET, Provider, vector_of
from tests.embeddings.stub_server import Reply, StubServer, json_reply


def embed(provider: Provider, stub: StubServer, texts: Sequence[str], purpose: str = "document") -> Embedded:
    async def call() -> Embedded:
        async with HttpxHttp() as http:
            return await provider.embedder(http, stub.url, purpose=purpose).embed(texts)

    return asyncio.run(call())


def error_of(provider: Provider, stub: StubServer, *faults: Reply) -> OrchestratorError:
    stub.faults.extend(faults)
    with pytest.raises(OrchestratorError) as caught:
        embed(provider, stub, ["first", "second"])
    assert SECRET not in f"{caught.value!r} {caught.value} {caught.value.details}"
    return caught.value


def test_texts_come_back_as_vectors_in_their_order(provider: Provider, stub: StubServer) -> None:
    result = embed(provider, stub, ["first", "second"])
    assert result == Embedded([vector_of("first"), vector_of("second")], provider.tokens_for_two)


def test_a_full_batch_is_one_call(provider: Provider, stub: StubServer) -> None:
    texts = [f"text{n}" for n in range(MAX_TEXTS_PER_CALL)]
    assert embed(provider, stub, texts).vectors == [vector_of(text) for text in texts]
    assert len(stub.received) == 1


def test_a_single_text(provider: Provider, stub: StubServer) -> None:
    assert embed(provider, stub, ["only"]).vectors == [vector_of("only")]


def test_no_texts_make_no_call(provider: Provider, stub: StubServer) -> None:
    assert embed(provider, stub, []) == Embedded([], 0)
    assert stub.received == []


def test_blank_texts_are_sent_as_a_stand_in(provider: Provider, stub: StubServer) -> None:
    stand_in = vector_of(EMPTY_TEXT_STAND_IN)
    assert embed(provider, stub, ["", "full", " \n"]).vectors == [stand_in, vector_of("full"), stand_in]


def test_text_beyond_ascii_arrives_unchanged(provider: Provider, stub: StubServer) -> None:
    text = 'Zürich — 東京 🚀 "quoted" \\ \u0000'
    assert embed(provider, stub, [text]).vectors == [vector_of(text)]


def test_only_voyage_is_told_what_the_text_is_for(provider: Provider, stub: StubServer) -> None:
    expected = vector_of("first", "query" if provider.name == "voyage" else "document")
    assert embed(provider, stub, ["first"], purpose="query").vectors == [expected]


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 529])
def test_passing_failures_are_retryable(provider: Provider, stub: StubServer, status: int) -> None:
    error = error_of(provider, stub, Reply(status, b"upstream fell over"))
    assert isinstance(error, RetryableError)
    assert error.error_code == "embedding_unavailable"
    assert error.details == {"status": status}
    assert len(stub.received) == 1, "the engine retries, not the client"


def test_a_rate_limit_says_when_to_come_back(provider: Provider, stub: StubServer) -> None:
    refusal = {"error": {"message": "Rate limit reached"}}
    error = error_of(provider, stub, json_reply(refusal, 429, retry_after="7"))
    assert isinstance(error, RetryableError)
    assert (error.error_code, error.retry_after_ms, str(error)) == (
        "embedding_rate_limited",
        7_000,
        "Rate limit reached",
    )


@pytest.mark.parametrize(
    "body", [{"error": {"message": "No such model"}}, {"detail": "No such model"}, {"message": "No such model"}]
)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_refusals_are_final_and_verbatim(provider: Provider, stub: StubServer, status: int, body: object) -> None:
    error = error_of(provider, stub, json_reply(body, status))
    assert isinstance(error, NonRetryableError)
    assert (error.error_code, str(error)) == ("embedding_refused", "No such model")


@pytest.mark.parametrize("provider", [one for one in PROVIDERS if one.name != "compatible-without-key"], indirect=True)
def test_a_key_that_the_provider_repeats_is_removed(provider: Provider, stub: StubServer) -> None:
    error = error_of(provider, stub, json_reply({"error": {"message": f"Incorrect API key: {SECRET}."}}, 401))
    assert str(error) == "Incorrect API key: [redacted]."


@pytest.mark.parametrize(
    "fault",
    [
        Reply(200, b'{"data": [{"embedding": [0.1, 0.2', {"content-type": "application/json"}),
        Reply(200, b"<html>busy</html>"),
        Reply(200, b""),
        Reply(200, b"\xff\xfe"),
        Reply(200, b'{"data": []}' * 100, cut_at=20),
    ],
    ids=["half a JSON", "HTML", "nothing", "not text", "connection cut"],
)
def test_an_answer_cut_short_is_retryable(provider: Provider, stub: StubServer, fault: Reply) -> None:
    error = error_of(provider, stub, fault)
    assert isinstance(error, RetryableError)
    assert error.error_code == "embedding_unavailable"


def test_json_of_another_shape_is_final(provider: Provider, stub: StubServer) -> None:
    error = error_of(provider, stub, json_reply({"vectors": []}))
    assert isinstance(error, NonRetryableError)
    assert error.error_code == "embedding_bad_answer"


@pytest.mark.parametrize("vectors", [[[0.5]], [[0.5], [0.5], [0.5]], [], [[0.5], [0.5, 0.5]], [[], []]])
def test_vectors_that_do_not_fit_the_texts_are_refused(
    provider: Provider, stub: StubServer, vectors: list[list[float]]
) -> None:
    body = {
        "data": [{"embedding": vector, "index": index} for index, vector in enumerate(vectors)],
        "embeddings": [{"values": vector} for vector in vectors],
    }
    error = error_of(provider, stub, json_reply(body))
    assert isinstance(error, NonRetryableError)
    assert error.error_code == "embedding_mismatch"


@pytest.mark.parametrize("provider", [one for one in PROVIDERS if one.name != "google"], indirect=True)
def test_vectors_in_another_order_are_refused(provider: Provider, stub: StubServer) -> None:
    body = {"data": [{"embedding": [0.5], "index": 1}, {"embedding": [0.6], "index": 0}]}
    assert error_of(provider, stub, json_reply(body)).error_code == "embedding_mismatch"


def test_missing_usage_counts_as_no_tokens(provider: Provider, stub: StubServer) -> None:
    stub.faults.append(json_reply({"data": [{"embedding": [0.5]}], "embedding": {"values": [0.5]}}))
    assert embed(provider, stub, ["only"]) == Embedded([[0.5]], 0)


def test_nobody_listening_is_retryable(provider: Provider) -> None:
    with StubServer(provider.answer) as stub:
        gone = stub.url

    async def call() -> None:
        async with HttpxHttp() as http:
            await provider.embedder(http, gone).embed(["text"])

    with pytest.raises(RetryableError) as caught:
        asyncio.run(call())
    assert caught.value.error_code == "embedding_unavailable"
    assert caught.value.details == {"cause": "http_unreachable"}
