"""Turbopuffer and Pinecone: the conformance suite, the exact requests, and every way to fail."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from local.http import HttpxHttp
from orchestrator.errors import NonRetryableError, OrchestratorError, RetryableError
from orchestrator.ports import Http
from steps.vectors import MetadataValue, VectorRow, VectorStore
from steps.vectors.config import VectorStoreSettings, parse_vector_store_config
from steps.vectors.factory import vector_store_for
from tests.embeddings.stub_server import Answer, Reply, Rerouted, StubServer, json_reply
from tests.vectors.conformance import EAST, StoreFor, Stores, VectorStoreConformance, row, using
from tests.vectors.stores import FIRST_WRITE_SCHEMA, SECRET, PineconeStub, TurbopufferStub

SETTINGS = VectorStoreSettings(
    turbopuffer_api_key=SECRET,
    pinecone_api_key=SECRET,
    pinecone_host="new-index.pinecone.test",
    pinecone_old_api_key=SECRET,
    pinecone_old_host="https://old-index.pinecone.test",
)


#: Runs one operation against a fault and returns its error.
Failing = Callable[[Reply], OrchestratorError]


class Backend(msgspec.Struct, frozen=True):
    """A provider as one of the namespace's configs selects it."""

    name: str
    config_json: str | None
    origin: str

    @property
    def is_pinecone(self) -> bool:
        return "PINECONE" in (self.config_json or "")

    def answer(self) -> Answer:
        return PineconeStub() if self.is_pinecone else TurbopufferStub()

    def store(self, http: Http, stub_url: str, namespace_id: str, tenant_id: str | None) -> VectorStore:
        config = parse_vector_store_config(self.config_json)
        rerouted = Rerouted(http, {self.origin: stub_url})
        return vector_store_for(config, SETTINGS, namespace_id, tenant_id, rerouted, None)


TURBOPUFFER = [
    Backend("default", None, "https://aws-us-east-1.turbopuffer.com"),
    Backend("managed-turbopuffer", '{"provider":"MANAGED_TURBOPUFFER"}', "https://aws-us-east-1.turbopuffer.com"),
    Backend(
        "turbopuffer",
        f'{{"provider":"TURBOPUFFER","apiKey":"{SECRET}","region":"gcp-us-central1"}}',
        "https://gcp-us-central1.turbopuffer.com",
    ),
]
PINECONE = [
    Backend("managed-pinecone", '{"provider":"MANAGED_PINECONE"}', "https://new-index.pinecone.test"),
    Backend("managed-pinecone-old", '{"provider":"MANAGED_PINECONE_OLD"}', "https://old-index.pinecone.test"),
    Backend(
        "pinecone",
        f'{{"provider":"PINECONE","apiKey":"{SECRET}","indexHost":"own-index.pinecone.test"}}',
        "https://own-index.pinecone.test",
    ),
]


@pytest.fixture(params=TURBOPUFFER + PINECONE, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    chosen = request.param
    assert isinstance(chosen, Backend)
    return chosen


@pytest.fixture
def stub(backend: Backend) -> Iterator[StubServer]:
    with StubServer(backend.answer()) as server:
        yield server


@pytest.fixture
def stores(backend: Backend, stub: StubServer) -> Stores:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[StoreFor]:
        async with HttpxHttp() as http:
            yield lambda namespace_id, tenant_id: backend.store(http, stub.url, namespace_id, tenant_id)

    return opened


@pytest.mark.parametrize("backend", TURBOPUFFER[1:2], ids=lambda backend: backend.name, indirect=True)
class TestTurbopuffer(VectorStoreConformance):
    pass


@pytest.mark.parametrize("backend", PINECONE[:1], ids=lambda backend: backend.name, indirect=True)
class TestPinecone(VectorStoreConformance):
    counts_deletes = False
    longest_text = 40_000


def test_every_config_reaches_its_provider(stores: Stores, stub: StubServer) -> None:
    async def scenario(store_for: StoreFor) -> None:
        await store_for("ns1", None).upsert([row("d1", "a", EAST)])
        assert len(await store_for("ns1", None).query(EAST, top_k=1)) == 1

    using(stores, scenario)
    assert len(stub.received) == 2


@pytest.mark.parametrize("backend", TURBOPUFFER[:1], indirect=True)
def test_turbopuffer_requests(stores: Stores, stub: StubServer) -> None:
    rows = [VectorRow("d1#c1", [0.5, 0.25], "the text", {"documentId": "d1", "sequence_number": 0})]

    async def scenario(store_for: StoreFor) -> None:
        store = store_for("ns1", "t1")
        await store.upsert(rows)
        await store.upsert(rows)
        await store.delete_document("d1")
        await store.query([0.5, 0.25], top_k=3, document_id="d1")

    using(stores, scenario)
    row_body = {"id": "d1#c1", "vector": [0.5, 0.25], "text": "the text", "documentId": "d1", "sequence_number": 0}
    write = {"upsert_rows": [row_body], "disable_backpressure": True}
    document = ["And", [["documentId", "Eq", "d1"]]]
    query = {"rank_by": ["vector", "ANN", [0.5, 0.25]], "top_k": 3, "include_attributes": True, "filters": document}
    assert [(request.path, request.json()) for request in stub.received] == [
        ("/v2/namespaces/as_ns1_t1", {**write, "distance_metric": "cosine_distance", "schema": FIRST_WRITE_SCHEMA}),
        ("/v2/namespaces/as_ns1_t1", write),
        ("/v2/namespaces/as_ns1_t1", {"delete_by_filter": document}),
        ("/v2/namespaces/as_ns1_t1/query", query),
    ]


@pytest.mark.parametrize("backend", PINECONE[:1], indirect=True)
def test_pinecone_requests(stores: Stores, stub: StubServer) -> None:
    async def scenario(store_for: StoreFor) -> None:
        store = store_for("ns1", "t1")
        await store.upsert([VectorRow("d1#c1", [0.5, 0.25], "the text", {"documentId": "d1"})])
        await store.delete_document("d1")
        await store.query([0.5, 0.25], top_k=3, document_id="d1")
        await store_for("ns1", None).delete_document("d1")

    using(stores, scenario)
    metadata = {"documentId": "d1", "text": "the text"}
    namespace = "agentset:ns1:t1"
    query = {"vector": [0.5, 0.25], "topK": 3, "includeMetadata": True, "includeValues": False}
    assert [(request.path, request.json()) for request in stub.received] == [
        (
            "/vectors/upsert",
            {"vectors": [{"id": "d1#c1", "values": [0.5, 0.25], "metadata": metadata}], "namespace": namespace},
        ),
        ("/vectors/delete", {"filter": {"documentId": "d1"}, "namespace": namespace}),
        ("/query", {**query, "namespace": namespace, "filter": {"documentId": "d1"}}),
        ("/vectors/delete", {"filter": {"documentId": "d1"}, "namespace": "agentset:ns1"}),
    ]


@pytest.mark.parametrize("backend", TURBOPUFFER[:1], indirect=True)
def test_a_failed_first_write_declares_the_schema_again(stores: Stores, stub: StubServer) -> None:
    stub.faults.append(Reply(503))

    async def scenario(store_for: StoreFor) -> None:
        store = store_for("ns1", None)
        with pytest.raises(RetryableError):
            await store.upsert([row("d1", "a", EAST)])
        await store.upsert([row("d1", "a", EAST)])

    using(stores, scenario)
    assert all("schema" in msgspec.convert(request.json(), dict[str, object]) for request in stub.received)


@pytest.mark.parametrize("backend", TURBOPUFFER[:1], indirect=True)
@pytest.mark.parametrize(
    ("body", "count"),
    [({"rows_deleted": 3, "rows_affected": 9}, 3), ({"rows_affected": 4}, 4), ({"rows_deleted": 0}, 0), ({}, None)],
)
def test_turbopuffer_counts_of_deletes(stores: Stores, stub: StubServer, body: object, count: int | None) -> None:
    stub.faults.append(json_reply(body))

    async def scenario(store_for: StoreFor) -> int | None:
        return await store_for("ns1", None).delete_document("d1")

    assert using(stores, scenario) == count


async def upsert(store: VectorStore) -> object:
    return await store.upsert([row("d1", "a", EAST)])


async def delete(store: VectorStore) -> object:
    return await store.delete_document("d1")


async def query(store: VectorStore) -> object:
    return await store.query(EAST, top_k=1)


@pytest.fixture(params=[upsert, delete, query], ids=["upsert", "delete", "query"])
def failing(request: pytest.FixtureRequest, stores: Stores, stub: StubServer) -> Failing:
    def run(fault: Reply) -> OrchestratorError:
        stub.faults.append(fault)

        async def scenario(store_for: StoreFor) -> None:
            await request.param(store_for("ns1", None))

        with pytest.raises(OrchestratorError) as caught:
            using(stores, scenario)
        assert SECRET not in f"{caught.value!r} {caught.value.details}"
        # Why Turbopuffer refuses a write may be seen in its schema.
        assert len([sent for sent in stub.received if sent.method != "GET"]) == 1, "the engine retries, not the client"
        return caught.value

    return run


def test_a_rate_limit_says_when_to_come_back(failing: Failing) -> None:
    error = failing(json_reply({"error": "slow down"}, 429, retry_after_ms="1500"))
    assert isinstance(error, RetryableError)
    assert (error.error_code, error.retry_after_ms, str(error)) == ("vector_store_rate_limited", 1_500, "slow down")


@pytest.mark.parametrize("status", [408, 409, 500, 503])
def test_passing_failures_are_retryable(failing: Failing, status: int) -> None:
    error = failing(Reply(status, b"<html>"))
    assert isinstance(error, RetryableError)
    assert error.error_code == "vector_store_unavailable"


@pytest.mark.parametrize("fault", [Reply(200, b'{"rows": ['), Reply(200, b"{}" * 50, cut_at=10)])
def test_an_answer_cut_short_is_retryable(failing: Failing, fault: Reply) -> None:
    error = failing(fault)
    assert isinstance(error, RetryableError)
    assert error.error_code == "vector_store_unavailable"


@pytest.mark.parametrize("body", [{"error": "bad row"}, {"message": "bad row"}, {"error": {"message": "bad row"}}])
def test_refusals_are_final_and_verbatim(failing: Failing, body: object) -> None:
    error = failing(json_reply(body, 400))
    assert isinstance(error, NonRetryableError)
    assert (error.error_code, str(error)) == ("vector_store_refused", "bad row")


def test_a_wrong_key_is_final_and_not_repeated(failing: Failing) -> None:
    error = failing(Reply(401, f"Invalid key {SECRET}".encode(), {"content-type": "text/plain"}))
    assert isinstance(error, NonRetryableError)
    assert str(error) == "Invalid key [redacted]"


def test_writing_to_what_is_not_there_is_final(stores: Stores, stub: StubServer) -> None:
    stub.faults.append(json_reply({"message": "no such index"}, 404))

    async def scenario(store_for: StoreFor) -> None:
        await store_for("ns1", None).upsert([row("d1", "a", EAST)])

    with pytest.raises(NonRetryableError, match="no such index"):
        using(stores, scenario)


@pytest.mark.parametrize("backend", TURBOPUFFER[:1], indirect=True)
@pytest.mark.parametrize("found", [{"id": 1, "$dist": 0.5}, {"id": "a"}, {"id": "a", "$dist": 0, "x": {"y": 1}}])
def test_rows_of_another_shape_are_refused(stores: Stores, stub: StubServer, found: object) -> None:
    stub.faults.append(json_reply({"rows": [found]}))

    async def scenario(store_for: StoreFor) -> None:
        await store_for("ns1", None).query(EAST, top_k=1)

    with pytest.raises(NonRetryableError) as caught:
        using(stores, scenario)
    assert caught.value.error_code == "vector_store_bad_answer"


def test_vectors_of_another_length_are_refused(stores: Stores) -> None:
    async def scenario(store_for: StoreFor) -> None:
        store = store_for("ns1", None)
        await store.upsert([row("d1", "a", EAST)])
        with pytest.raises(NonRetryableError):
            await store.upsert([row("d1", "b", [1.0, 0.0])])
        with pytest.raises(NonRetryableError):
            await store.query([1.0, 0.0], top_k=1)

    using(stores, scenario)


@pytest.mark.parametrize("backend", PINECONE[:1], indirect=True)
def test_pinecone_takes_two_megabytes_at_a_time(stores: Stores, stub: StubServer) -> None:
    """Thirty chunks of long texts and long vectors are more than one request may have."""
    vector = [0.0123456789012345678 + at / 1e9 for at in range(3_072)]
    rows = [VectorRow(f"d1#{at}", vector, "é" * 15_000, {"documentId": "d1"}) for at in range(30)]

    async def scenario(store_for: StoreFor) -> None:
        store = store_for("ns1", None)
        await store.upsert(rows)
        found = await store.query(vector, top_k=100)
        assert {match.id for match in found} == {item.id for item in rows}

    using(stores, scenario)
    sizes = [len(request.body) for request in stub.received if request.path == "/vectors/upsert"]
    assert sum(sizes) > 2_097_152
    assert len(sizes) == 2


@pytest.mark.parametrize("backend", PINECONE[:1], indirect=True)
def test_a_chunk_that_pinecone_cannot_hold_is_refused_by_name(stores: Stores, stub: StubServer) -> None:
    metadata: dict[str, MetadataValue] = {"documentId": "d1"}
    fits = 40_960 - len(msgspec.json.encode({**metadata, "text": ""}))

    async def scenario(store_for: StoreFor) -> None:
        store = store_for("ns1", None)
        await store.upsert([VectorRow("d1#a", EAST, "x" * fits, metadata)])
        with pytest.raises(NonRetryableError) as raised:
            await store.upsert([row("d1", "b", EAST), VectorRow("d1#c", EAST, "x" * (fits + 1), metadata)])
        assert raised.value.error_code == "vector_metadata_too_large"
        assert "takes 40960 bytes of metadata a chunk, its text included, and d1#c has 40961" in str(raised.value)

    using(stores, scenario)
    assert [request.path for request in stub.received] == ["/vectors/upsert"]
