"""What ingestion leaves behind: rows, counters, events and vectors (domain.md §2.1, §2.2, §9.4)."""

from __future__ import annotations

import re
from datetime import datetime

import pytest

from durable.postgres_pg8000 import Pg8000Database
from orchestrator.lifecycle import JobStatus
from orchestrator.ports import Database, Http
from orchestrator.testing import World
from steps.parsing import chunk_id
from steps.platform.ids import document_id
from tests.embeddings.stub_server import Received, Reply, Rerouted, StubServer
from tests.ingestion.embedder import tokens, vector
from tests.ingestion.harness import JOB, NAMESPACE, Scenario, Stage
from tests.ingestion.samples import (
    CHUNKED,
    TEXT,
    assert_counters,
    assert_same_chunks,
    mapping,
    mixed,
    number,
    paragraphs,
    stamps,
)
from tests.parsing.pdfs import make_pdf


@pytest.mark.parametrize("always_replay", [False, True])
def test_text(stage: Stage, always_replay: bool) -> None:
    scenario = Scenario(payload={"type": "TEXT", "text": TEXT, "fileName": "a.txt"}, name="Rockets")
    outcome = stage.run(scenario, always_replay=always_replay)
    picture, job, document = outcome.picture, outcome.picture.job, outcome.picture.document

    assert (outcome.view.status, outcome.view.result) == (
        JobStatus.COMPLETED,
        {"ingestionJobId": JOB, "documentsCreated": 1},
    )
    assert (job["status"], job["error"], job["failedAt"]) == ("COMPLETED", None, None)
    assert (document["status"], document["error"], document["failedAt"]) == ("COMPLETED", None, None)
    assert stamps(job) == sorted(stamps(job))
    assert stamps(document)[0] <= stamps(document)[1] <= stamps(document)[2] <= stamps(document)[3]
    assert stamps(job)[1] <= stamps(document)[0] <= stamps(job)[2] <= stamps(document)[1]
    assert stamps(document)[3] <= stamps(job)[3]

    assert document["id"] == document_id(JOB, 0)
    assert (document["name"], document["source"]) == ("a.txt", {"type": "TEXT", "text": TEXT})
    assert document["documentProperties"] == {"fileSize": len(TEXT.encode()), "mimeType": "text/plain"}
    totals = [document[name] for name in ("totalChunks", "totalTokens", "totalCharacters", "totalPages")]
    assert totals == [1, tokens(TEXT), len(TEXT), len(TEXT) / 1000]
    assert_counters(outcome, 1)
    assert outcome.child(document["id"]).result == {
        "documentId": document["id"],
        "totalPages": len(TEXT) / 1000,
        "totalTokens": tokens(TEXT),
        "totalChunks": 1,
        "meterSuccess": None,
        "pagesDelta": len(TEXT) / 1000,
    }
    [row] = picture.vectors
    assert row["id"] == f"{document['id']}#{chunk_id(str(document['id']), 0)}"
    assert outcome.objects.keys() == {f"namespaces/{NAMESPACE}/documents/{document['id']}/chunks.json"}
    assert outcome.chunk_file(document["id"]) == {
        "metadata": {"filename": "a.txt", "namespaceId": NAMESPACE, "documentId": document["id"]},
        "chunks": [{"id": chunk_id(str(document["id"]), 0), "text": TEXT, "metadata": {"sequence_number": 0}}],
        "total_chunks": 1,
        "total_characters": len(TEXT),
    }
    assert (row["namespace"], row["body"]) == (f"as_{NAMESPACE}", TEXT)
    assert row["embedding"] == str(vector(TEXT)).replace(" ", "")
    assert row["metadata"] == {
        "filename": "a.txt",
        "namespaceId": NAMESPACE,
        "documentId": document["id"],
        "sequence_number": 0,
    }


def test_the_events_of_a_text_job(stage: Stage) -> None:
    outcome = stage.run(Scenario(payload={"type": "TEXT", "text": TEXT, "fileName": "a.txt"}, name="Rockets"))
    picture, document = outcome.picture, outcome.picture.document
    assert picture.announced == [
        "document.queued",
        "ingest_job.processing",
        "document.processing",
        "document.ready",
        "ingest_job.ready",
    ]
    assert [str(row["id"]).startswith("evt_") and len(str(row["id"])) for row in picture.events] == [29] * 5
    assert {(row["organization_id"], row["namespace_id"]) for row in picture.events} == {("org1", NAMESPACE)}
    payloads = [mapping(row["payload"]) for row in picture.events]
    about_document = {
        "id": f"doc_{document['id']}",
        "name": "a.txt",
        "namespaceId": f"ns_{NAMESPACE}",
        "organizationId": "org_org1",
        "source": {"type": "TEXT", "text": TEXT},
        "error": None,
    }
    utf16 = len(TEXT.encode("utf-16-le")) // 2
    for payload, status, totals in (
        (payloads[0], "QUEUED", (utf16, 0, 0)),
        (payloads[2], "PROCESSING", (utf16, 0, 0)),
        (payloads[3], "COMPLETED", (len(TEXT), 1, len(TEXT) / 1000)),
    ):
        data = mapping(payload["data"])
        assert payload["createdAt"] == data.pop("updatedAt")
        created_at = str(data.pop("createdAt"))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", created_at)
        assert datetime.fromisoformat(created_at[:-1]) == datetime.fromisoformat(str(document["createdAt"]))
        named = dict(zip(("totalCharacters", "totalChunks", "totalPages"), totals, strict=True))
        assert data == {**about_document, **named, "status": status}
    last = mapping(payloads[4]["data"])
    assert {key: last[key] for key in ("id", "name", "status", "error", "organizationId")} == {
        "id": f"job_{JOB}",
        "name": "Rockets",
        "status": "COMPLETED",
        "error": None,
        "organizationId": "org_org1",
    }


@pytest.mark.parametrize("always_replay", [False, True])
def test_a_batch_of_61_with_one_failing(stage: Stage, always_replay: bool) -> None:
    items: list[dict[str, object]] = [
        {"type": "TEXT", "text": f"Document number {index}.", "fileName": f"{index}.txt"} for index in range(60)
    ]
    items.insert(17, {"type": "MANAGED_FILE", "key": "namespaces/nsone/gone.txt", "fileName": "gone.txt"})
    outcome = stage.run(Scenario(payload={"type": "BATCH", "items": items}), always_replay=always_replay)
    picture, job = outcome.picture, outcome.picture.job
    assert outcome.view.result == {"ingestionJobId": JOB, "documentsCreated": 61}
    assert outcome.view.progress is not None
    assert (outcome.view.progress.done, outcome.view.progress.total, outcome.view.progress.unit) == (
        61,
        61,
        "documents",
    )
    assert outcome.view.metadata == {
        "pages": pytest.approx(sum(number(row, "totalPages") for row in picture.documents)),
        "tokens": sum(number(row, "totalTokens") for row in picture.documents),
        "chunks": 60,
        "wave": 3,
        "waves": 3,
        "failed_documents": 1,
    }
    assert (job["status"], job["error"], job["completedAt"]) == ("FAILED", "Failed to process documents", None)
    assert job["failedAt"] is not None
    assert [row["id"] for row in picture.documents] == [document_id(JOB, index) for index in range(61)]
    failed = picture.documents.pop(17)
    assert (failed["status"], failed["error"]) == ("FAILED", "Object not found: namespaces/nsone/gone.txt")
    assert (failed["failedAt"] is not None, failed["completedAt"], failed["totalPages"]) == (True, None, 0)
    assert {row["status"] for row in picture.documents} == {"COMPLETED"}
    assert [row["name"] for row in picture.documents] == [f"{index}.txt" for index in range(60)]
    assert_counters(outcome, 61)
    assert picture.announced[:62] == ["document.queued"] * 61 + ["ingest_job.processing"]
    assert [row["subject"] for row in picture.events[:61]] == [document_id(JOB, index) for index in range(61)]
    assert sorted(picture.announced[62:-1]) == (
        ["document.error"] + ["document.processing"] * 61 + ["document.ready"] * 60
    )
    assert picture.announced[-1] == "ingest_job.error"
    assert len(picture.vectors) == 60
    child = outcome.child(failed["id"])
    assert child.error is not None
    assert (child.status, child.error.code) == (JobStatus.FAILED, "object_not_found")


def test_status_shows_how_far_an_ingestion_is(stage: Stage) -> None:
    """Documents done and to do, pages, tokens, and the wave: they only grow, and reach what the rows say."""
    items = [{"type": "TEXT", "text": f"Document number {index}."} for index in range(45)]
    seen: list[tuple[float, object, object, object]] = []

    async def during(world: World, admin: Database) -> bool:
        (job_id,) = [each for each in world.objects if world.view(each).workflow == "trigger-ingestion-job"]
        view = world.view(job_id)
        if view.progress is not None and view.progress.unit == "documents" and "wave" in view.metadata:
            facts = view.metadata
            assert (view.progress.total, facts["waves"]) == (45, 2)
            seen.append((view.progress.done, facts["wave"], facts["tokens"], facts["pages"]))
        return view.status is JobStatus.COMPLETED

    outcome = stage.run(Scenario(payload={"type": "BATCH", "items": items}), during=during)
    assert [done for done, _, _, _ in seen] == sorted(done for done, _, _, _ in seen)
    assert {wave for _, wave, _, _ in seen} == {1, 2}
    assert any(0 < done < 45 for done, _, _, _ in seen)
    documents = outcome.picture.documents
    assert seen[-1] == (
        45,
        2,
        sum(number(row, "totalTokens") for row in documents),
        pytest.approx(sum(number(row, "totalPages") for row in documents)),
    )


def test_always_replayed_is_the_same(stage: Stage) -> None:
    scenario = mixed(failing=True)
    hot = stage.run(scenario)
    cold = stage.run(scenario, always_replay=True)
    assert cold.picture.settled() == hot.picture.settled()


def test_pg8000_is_the_same(stage: Stage) -> None:
    scenario = mixed(failing=True)
    expected = stage.run(scenario).picture.settled()
    stage.connect = Pg8000Database
    assert stage.run(scenario).picture.settled() == expected


def test_a_document_of_many_batches(stage: Stage, embedder: StubServer) -> None:
    text = paragraphs(700)
    outcome = stage.run(Scenario(payload={"type": "TEXT", "text": text}, config=CHUNKED), always_replay=True)
    document = outcome.picture.document
    assert document["totalChunks"] == len(outcome.picture.vectors) == 700
    assert [row["totalCharacters"] for row in outcome.picture.documents] == [len(text.replace("\n\n", ""))]
    assert document["totalTokens"] == tokens(text)
    numbers = sorted(number(mapping(row["metadata"]), "sequence_number") for row in outcome.picture.vectors)
    assert numbers == list(range(700))
    assert len(embedder.received) >= 700 / 30
    assert_same_chunks(outcome)
    journal = outcome.world.objects[outcome.child(document["id"]).id].sql
    assert journal.execute("select count(*) from step where kind = 'each'") == [(1,)]


def test_a_file_is_fetched(stage: Stage) -> None:
    def files(request: Received) -> Reply:
        assert (request.method, request.path, request.query) == ("GET", "/a/page", "signature=secret")
        return Reply(200, b"<html><body><h1>Title</h1><p>Some text.</p></body></html>", {"content-type": "text/html"})

    with StubServer(files) as server:
        url = f"{server.url}/a/page?signature=secret"
        outcome = stage.run(Scenario(payload={"type": "FILE", "fileUrl": url, "fileName": "Page"}))
    document = outcome.picture.document
    assert (document["status"], document["name"]) == ("COMPLETED", "Page")
    assert document["source"] == {"type": "FILE", "fileUrl": url}
    assert document["documentProperties"] == {"fileSize": 57, "mimeType": "text/html"}
    assert "filename" not in mapping(outcome.picture.vectors[0]["metadata"])


def test_a_file_that_has_moved_is_found(stage: Stage) -> None:
    def files(request: Received) -> Reply:
        if request.path == "/old.txt":
            return Reply(301, b"", {"location": "/new"})
        start, _, end = request.headers["range"].removeprefix("bytes=").partition("-")
        part = TEXT.encode()[int(start) : int(end) + 1]
        size = len(TEXT.encode())
        return Reply(206, part, {"content-range": f"bytes {start}-{int(start) + len(part) - 1}/{size}"})

    with StubServer(files) as server:
        outcome = stage.run(Scenario(payload={"type": "FILE", "fileUrl": f"{server.url}/old.txt"}))
    assert (outcome.picture.document["status"], outcome.picture.vectors[0]["body"]) == ("COMPLETED", TEXT)


def test_a_pdf_counts_its_pages(stage: Stage) -> None:
    data = make_pdf(["This is page one.", "This is page two.", "This is page three."])
    key = "namespaces/nsone/a.pdf"
    outcome = stage.run(Scenario(payload={"type": "MANAGED_FILE", "key": key}, blobs={key: data}))
    document = outcome.picture.document
    assert (document["status"], document["totalPages"], document["totalChunks"]) == ("COMPLETED", 3, 3)
    assert document["documentProperties"] == {"fileSize": len(data), "mimeType": "application/pdf"}
    assert sorted(number(mapping(row["metadata"]), "page_number") for row in outcome.picture.vectors) == [1, 2, 3]
    assert_same_chunks(outcome)
    assert_counters(outcome, 1)


def test_credentials_and_texts_stay_out_of_the_journal(stage: Stage, embedder: StubServer) -> None:
    secret = "sk-Very-Secret-0123456789"

    def reroute(http: Http) -> Http:
        return Rerouted(http, {"https://api.openai.com": embedder.url})

    stage.reroute = reroute
    config = {"provider": "OPENAI", "model": "text-embedding-3-small", "apiKey": secret}
    outcome = stage.run(
        Scenario(payload={"type": "TEXT", "text": TEXT}, embedding_config=config, config=CHUNKED), always_replay=True
    )
    assert outcome.picture.document["status"] == "COMPLETED"
    assert embedder.received[0].headers["authorization"] == f"Bearer {secret}"
    for item in outcome.world.objects.values():
        for table in ("job", "step", "child", "event", "outbox"):
            stored = repr(item.sql.execute(f"select * from {table}"))  # pyright: ignore[reportArgumentType]
            assert secret not in stored
            assert "paragraph" not in stored
    assert secret not in repr(outcome.world.logs)
