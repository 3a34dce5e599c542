"""Every call that steps make to a service outside, each with a stub that is as strict as the original."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import quote

import msgspec

from orchestrator import RetryableError
from orchestrator.ports import Http
from steps.billing.settings import StripeSettings
from steps.billing.stripe import MeterEvent, StripeMeter
from steps.embeddings.config import parse_embedding_config
from steps.embeddings.factory import embedder_for
from steps.parser_service.client import ParserService
from steps.parser_service.config import ParserServiceSettings
from steps.redis import Redis
from steps.vectors import VectorRow, VectorStore
from steps.vectors.config import VectorStoreSettings, parse_vector_store_config
from steps.vectors.factory import vector_store_for
from steps.webhooks.delivery_log import LogRow, log_delivery
from steps.webhooks.emails import Email, send_email
from steps.webhooks.settings import WebhookSettings
from tests.billing import stub as stripe
from tests.embeddings import providers
from tests.embeddings.stub_server import Answer, Rerouted
from tests.parser_service import stub as parser
from tests.redis import stub as redis
from tests.vectors import stores
from tests.webhooks import stubs as webhooks

NOW_MS = 1_700_000_000_000
_STREAM_TOKEN = "token_of_a_stream_secret"
#: Makes one call, given the way out, the stub's address and a key.
Call = Callable[[Http, str, str], Awaitable[object]]


class Contract(msgspec.Struct, frozen=True):
    """One call.

    Attributes:
        name: service and call.
        key: what the service accepts.
        stub: makes a stub of the service.
        call: makes the call.
        area: what its error codes begin with.
        refused: code of the error when the service says no.
    """

    name: str
    key: str
    stub: Callable[[], Answer]
    call: Call
    area: str
    refused: str


def contracts() -> Iterator[Contract]:
    """Return all of them."""
    for provider in providers.PROVIDERS[:5]:
        yield _contract(f"{provider.name}: embed", providers.SECRET, lambda p=provider: p.answer, _embed(provider))
    store_calls: dict[str, Callable[[VectorStore], Awaitable[object]]] = {
        "upsert": lambda store: store.upsert([VectorRow("d1#a", [1.0, 0.5], "text", {"documentId": "d1"})]),
        "delete": lambda store: store.delete_document("d1"),
        "drop": lambda store: store.drop(),
        "query": lambda store: store.query([1.0, 0.5], top_k=3),
    }
    for name, call in store_calls.items():
        area = "vector_store"
        yield _contract(f"turbopuffer: {name}", stores.SECRET, stores.TurbopufferStub, _turbopuffer(call), area)
        yield _contract(f"pinecone: {name}", stores.SECRET, stores.PineconeStub, _pinecone(call), area)
    yield _contract("stripe: event", stripe.API_KEY, _stripe, _meter, "stripe")
    yield _contract("stripe: session", stripe.API_KEY, _stripe, _open_session, "stripe")
    yield _contract("stripe: stream", _STREAM_TOKEN, _stripe, _meter_many, "stripe")
    redis_calls: dict[str, Callable[[Redis], Awaitable[object]]] = {
        "get": lambda client: client.get_many(["a", "b"]),
        "delete": lambda client: client.delete(["a", "b"]),
        "scan": lambda client: client.scan(None, "results_*", 10),
        "expire": lambda client: client.expire(["a", "b"], 60),
    }
    for name, command in redis_calls.items():
        yield _contract(f"redis: {name}", redis.TOKEN, redis.RedisStub, _redis(command), "redis")
    yield _contract("tinybird: log", webhooks.TINYBIRD_KEY, webhooks.TinybirdStub, _log, "delivery_log")
    yield _contract("resend: email", webhooks.RESEND_KEY, webhooks.ResendStub, _email, "email")
    yield _contract("parser: start", parser.API_KEY, _parser, _start, "parser_service", "partition_error")
    yield _contract("parser: poll", parser.API_KEY, _finished_parser, _poll, "parser_service", "parser_trouble")


def _contract(
    name: str, key: str, stub: Callable[[], Answer], call: Call, area: str = "embedding", refused: str | None = None
) -> Contract:
    return Contract(name, key, stub, call, area, refused or f"{area}_refused")


def _embed(provider: providers.Provider) -> Call:
    async def call(http: Http, url: str, key: str) -> object:
        config = provider.config_json and provider.config_json.replace(providers.SECRET, key)
        settings = provider.settings
        if settings.azure_api_key is not None:
            settings = msgspec.structs.replace(settings, azure_api_key=key)
        way_out = Rerouted(http, {provider.origin: url})
        return await embedder_for(parse_embedding_config(config), settings, way_out).embed(["first", "second"])

    return call


def _turbopuffer(call: Callable[[VectorStore], Awaitable[object]]) -> Call:
    return _store({"provider": "TURBOPUFFER", "region": "here"}, "https://here.turbopuffer.com", call)


def _pinecone(call: Callable[[VectorStore], Awaitable[object]]) -> Call:
    return _store({"provider": "PINECONE", "indexHost": "i.pinecone.io"}, "https://i.pinecone.io", call)


def _store(config: dict[str, str], origin: str, call: Callable[[VectorStore], Awaitable[object]]) -> Call:
    async def made(http: Http, url: str, key: str) -> object:
        parsed = parse_vector_store_config(msgspec.json.encode({**config, "apiKey": key}).decode())
        way_out = Rerouted(http, {origin: url})
        return await call(vector_store_for(parsed, VectorStoreSettings(), "ns1", None, way_out, None))

    return made


def _stripe() -> Answer:
    stub = stripe.StripeStub(lambda: NOW_MS)
    stub.sessions[_STREAM_TOKEN] = NOW_MS
    return stub


def _meter_of(http: Http, url: str, key: str) -> StripeMeter:
    return StripeMeter(http, StripeSettings(api_key=key, api_url=url, events_url=url))


async def _meter(http: Http, url: str, key: str) -> object:
    return await _meter_of(http, url, key).report("cus_1", MeterEvent("doc_1:p", NOW_MS // 1000, "1.00"))


async def _open_session(http: Http, url: str, key: str) -> object:
    await _meter_of(http, url, key).open_session()
    return None  # a token is a secret


async def _meter_many(http: Http, url: str, key: str) -> object:
    events = [MeterEvent(f"doc_{number}:p", NOW_MS // 1000, "1.00") for number in range(3)]
    return await _meter_of(http, url, "unused").report_many(key, "cus_1", events)


def _redis(command: Callable[[Redis], Awaitable[object]]) -> Call:
    async def call(http: Http, url: str, key: str) -> object:
        return msgspec.to_builtins(await command(Redis(http, url=url, token=key)))

    return call


async def _log(http: Http, url: str, key: str) -> object:
    row = LogRow(
        event_id="evt_1", webhook_id="wh_1", task_id="run_1", event="document.ready", url="https://example.com",
        http_status=200, request_body="{}", response_body="",
    )  # fmt: skip
    return await log_delivery(http, WebhookSettings(tinybird_url=url, tinybird_key=key), row, 1)


async def _email(http: Http, url: str, key: str) -> object:
    email = Email("owner@example.com", "A subject", "<p>A text</p>")
    return await send_email(http, WebhookSettings(resend_url=url, resend_key=key), email, "a-key")


def _parser() -> Answer:
    return parser.ParserStub({}, lambda key, data: None)


def _finished_parser() -> Answer:
    stub = parser.ParserStub({}, lambda key, data: None)
    stub.calls.append(parser.Call("fc-1", "ingest", {}, "t", "a", {"status": 200}))
    return stub


async def _start(http: Http, url: str, key: str) -> object:
    body = {
        "trigger_token_id": "t", "trigger_access_token": "a", "namespace_id": "ns1", "document_id": "d1",
        "batch_size": 30, "text": "A text.",
    }  # fmt: skip
    return await ParserService(http, ParserServiceSettings(url=url, key=key)).start("ingest", body)


async def _poll(http: Http, url: str, key: str) -> object:
    """Ask for a result; the workflow takes trouble as no answer yet, here it is an error like any other."""
    found = await ParserService(http, ParserServiceSettings(url=url, key=key)).poll("ingest", quote("fc-1"))
    if found.data is None:
        raise RetryableError(found.trouble or "still running", code="parser_trouble")
    return found.data
