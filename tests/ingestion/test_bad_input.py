"""Bad documents and bad settings: each has a clear error, and siblings finish."""

from __future__ import annotations

import pytest

from orchestrator.lifecycle import JobStatus
from steps.platform.ids import document_id
from tests.embeddings.stub_server import Reply, StubServer, json_reply
from tests.ingestion.harness import JOB, Outcome, Row, Scenario, Stage
from tests.ingestion.samples import CHUNKED, TEXT, assert_counters, paragraphs
from tests.parsing.pdfs import make_pdf

GOOD: Row = {"type": "TEXT", "text": TEXT}
FILES: dict[str, tuple[bytes, str, str]] = {
    "zero.txt": (b"", "empty_document", "The document is empty: it has 0 bytes."),
    "blank.txt": (b" \n\n\t ", "empty_document", "The document is empty: it contains no text."),
    "binary.txt": (bytes(range(256)) * 40, "not_text", "The document is not text: it contains a NUL byte at offset 0."),
    "latin.txt": (
        b"caf\xe9 ol\xe9",
        "invalid_encoding",
        "The document is not valid UTF-8: unexpected byte 0xe9 at offset 3.",
    ),
    "archive.txt": (
        b"PK\x03\x04 and more",
        "unsupported_format",
        "The document is a ZIP archive or an Office document, which cannot be parsed as text.",
    ),
    "line.jsonl": (b'"' + b"x" * 40_000_000 + b'"', "line_too_long", "longer than"),
    "cut.json": (b'{"a": [1, 2', "invalid_json", "The JSON document is malformed"),
    "cut.pdf": (make_pdf(["One page."])[:-60], "truncated_pdf", "PDF"),
    "locked.pdf": (
        make_pdf(["One page."], user_password="secret"),
        "encrypted_pdf",
        "The PDF is encrypted and needs a password.",
    ),
    "no.pdf": (b"plain text", "invalid_pdf", "The document is not a PDF: it does not begin with a PDF header."),
}


def assert_failed(outcome: Outcome, code: str, message: str) -> None:
    """Assert that the batch's first document failed so, and its sibling did not."""
    failed, sibling = outcome.picture.documents
    child = outcome.child(failed["id"])
    assert child.error is not None
    assert (failed["status"], child.status, child.error.code) == ("FAILED", JobStatus.FAILED, code)
    assert failed["error"] == child.error.message
    assert message in str(failed["error"])
    assert failed["failedAt"] is not None
    assert sibling["status"] == "COMPLETED"
    assert outcome.picture.job["error"] == "Failed to process documents"
    assert {row["document_id"] for row in outcome.picture.vectors} == {sibling["id"]}
    assert [row["event"] for row in outcome.picture.events if row["subject"] == failed["id"]] == [
        "document.queued",
        "document.processing",
        "document.error",
    ]
    assert_counters(outcome, 2)


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file(stage: Stage, name: str) -> None:
    data, code, message = FILES[name]
    key = f"namespaces/nsone/{name}"
    scenario = Scenario(
        payload={"type": "BATCH", "items": [{"type": "MANAGED_FILE", "key": key}, GOOD]}, blobs={key: data}
    )
    assert_failed(stage.run(scenario), code, message)


@pytest.mark.parametrize(
    ("item", "code", "message"),
    [
        (
            {"type": "MANAGED_FILE", "key": "namespaces/nsone/x"},
            "object_not_found",
            "Object not found: namespaces/nsone/x",
        ),
        ({"type": "TEXT", "text": ""}, "empty_document", "The document is empty: it has 0 bytes."),
        ({"type": "TEXT"}, "invalid_document_source", "missing required field `text`"),
        ({"type": "FAX", "number": 1}, "invalid_document_source", "Invalid document source"),
        ("not an item", "invalid_document_source", "Invalid document source"),
        ({**GOOD, "config": {"chunkSize": 5}}, "invalid_options", "The chunk size must be between 32 and"),
        ({**GOOD, "config": {"chunkSize": "big"}}, "invalid_document_config", "Invalid document config: Expected `int"),
        ({"type": "CRAWLED_PAGE"}, "document_json_not_found", "Document JSON not found"),
        ({"type": "FILE", "fileUrl": "http://127.0.0.1:9/"}, "http_unreachable", "GET http://127.0.0.1: ConnectError"),
        (
            {"type": "FILE", "fileUrl": "http://0xA9FEA9FE/latest/meta-data/"},
            "url_refused",
            "The address is refused: 169.254.169.254 is not a public address",
        ),
    ],
)
def test_a_bad_item(stage: Stage, item: object, code: str, message: str) -> None:
    assert_failed(stage.run(Scenario(payload={"type": "BATCH", "items": [item, GOOD]})), code, message)


@pytest.mark.parametrize(
    ("payload", "code", "message"),
    [
        (
            {"type": "CRAWL", "url": "http://a/"},
            "parser_service_not_configured",
            "CRAWL ingestion needs the parser service: set PARTITION_API_URL and PARTITION_API_KEY",
        ),
        (
            {"type": "YOUTUBE", "urls": ["x"]},
            "parser_service_not_configured",
            "YOUTUBE ingestion needs the parser service: set PARTITION_API_URL and PARTITION_API_KEY",
        ),
        ({"type": "BATCH", "items": "all"}, "invalid_ingest_payload", "Invalid ingest payload: items is no list"),
        ({"text": "x"}, "invalid_ingest_payload", "Invalid ingest payload: unknown type"),
    ],
)
def test_a_bad_ingest_payload(stage: Stage, payload: Row, code: str, message: str) -> None:
    outcome = stage.run(Scenario(payload=payload))
    job = outcome.picture.job
    assert outcome.view.error is not None
    assert (outcome.view.status, outcome.view.error.code) == (JobStatus.FAILED, code)
    assert (job["status"], job["error"], job["completedAt"]) == ("FAILED", message, None)
    assert job["failedAt"] is not None
    assert outcome.picture.announced == ["ingest_job.error"]
    assert outcome.picture.documents == []


@pytest.mark.parametrize(
    ("embedding", "vectors", "code"),
    [
        ({"provider": "OPENAI", "model": "gpt-9", "apiKey": "k"}, None, "invalid_embedding_config"),
        ({"provider": "VOYAGE", "model": "voyage-3"}, None, "invalid_embedding_config"),
        (None, {"provider": "PINECONE", "apiKey": "k"}, "invalid_vector_store_config"),
        (None, {"provider": "MANAGED_TURBOPUFFER"}, "vector_store_not_configured"),
        ({"provider": "MANAGED_OPENAI", "model": "text-embedding-3-large"}, None, "embedding_not_configured"),
    ],
)
def test_bad_namespace_settings_fail_the_documents(
    stage: Stage, embedding: Row | None, vectors: Row | None, code: str
) -> None:
    scenario = Scenario(payload=GOOD, embedding_config=embedding, vector_store_config=vectors)
    outcome = stage.run(scenario)
    child = outcome.child(outcome.picture.document["id"])
    assert child.error is not None
    assert (child.error.code, outcome.picture.document["status"]) == (code, "FAILED")
    assert outcome.picture.job["error"] == "Failed to process documents"


def test_unknown_rows(stage: Stage) -> None:
    outcome = stage.run(Scenario(payload=GOOD), payload={"jobId": "nothere", "organizationId": "org1", "more": 1})
    assert outcome.view.error is not None
    assert (outcome.view.status, outcome.view.error.message) == (JobStatus.FAILED, "Ingestion job not found")
    payload = {"documentId": "nothere", "ingestJobId": JOB}
    outcome = stage.run(Scenario(payload=GOOD), workflow="trigger-document-job", payload=payload)
    assert outcome.view.error is not None
    assert (outcome.view.status, outcome.view.error.message) == (JobStatus.FAILED, "Document not found")
    assert outcome.picture.events == []


def test_embedding_is_tried_six_times(stage: Stage, embedder: StubServer) -> None:
    embedder.faults.extend([Reply(503)] * 5)
    outcome = stage.run(Scenario(payload=GOOD))
    assert outcome.picture.document["status"] == "COMPLETED"
    assert len(embedder.received) == 6
    child = outcome.child(outcome.picture.document["id"])
    assert child.finished_at_ms is not None
    waited_ms = child.finished_at_ms - child.created_at_ms
    assert 62_000 <= waited_ms < 63_000, "2 + 4 + 8 + 16 + 32 s"


def test_embedding_gives_up_with_the_known_message(stage: Stage, embedder: StubServer) -> None:
    embedder.faults.extend([json_reply({"error": {"message": "Overloaded"}}, 503)] * 6)
    outcome = stage.run(Scenario(payload={"type": "BATCH", "items": [GOOD]}))
    document = outcome.picture.document
    assert (document["status"], document["error"]) == ("FAILED", "Failed after 6 attempts. Last error: Overloaded")
    assert len(embedder.received) == 6


def test_a_failed_document_leaves_no_vectors(stage: Stage) -> None:
    """The provider refuses a text far into the document, after most of it was stored."""
    text = paragraphs(200) + "\n\nThis is POISON for the provider, so to say.\n\n" + paragraphs(10)
    items = [{"type": "TEXT", "text": text, "config": CHUNKED}, GOOD]
    outcome = stage.run(Scenario(payload={"type": "BATCH", "items": items}))
    assert_failed(outcome, "embedding_refused", "The input was refused.")
    assert outcome.picture.documents[0]["id"] == document_id(JOB, 0)


def test_a_file_that_redirects_to_a_refused_address(stage: Stage) -> None:
    with StubServer(lambda _: Reply(302, b"", {"location": "http://10.0.0.1/internal"})) as server:
        batch = {"type": "BATCH", "items": [{"type": "FILE", "fileUrl": f"{server.url}/a.txt"}, GOOD]}
        outcome = stage.run(Scenario(payload=batch))
        assert_failed(outcome, "url_refused", "The address is refused: 10.0.0.1 is not a public address")
        assert len(server.received) == 1


def test_loopback_is_refused_unless_it_is_allowed(stage: Stage) -> None:
    with StubServer(lambda _: Reply(200, b"text")) as server:
        batch = {"type": "BATCH", "items": [{"type": "FILE", "fileUrl": f"{server.url}/a.txt"}, GOOD]}
        outcome = stage.run(Scenario(payload=batch, allow_loopback=False))
        assert_failed(outcome, "url_refused", "The address is refused: 127.0.0.1 is not a public address")
        assert server.received == []
