"""Documents that the parser service parses (domain.md §2.2, §3.1, §9.4)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from orchestrator.lifecycle import JobStatus
from orchestrator.model import JobView
from orchestrator.testing import Crash, World
from orchestrator.testing.blobs import MemoryBlobs
from steps.parser_service.config import POLL_MS
from steps.parser_service.waiting import PARSE_TIMEOUT_MS
from steps.redis import RedisSettings
from tests.embeddings.stub_server import Reply, StubServer, json_reply
from tests.ingestion.embedder import tokens
from tests.ingestion.harness import NAMESPACE, Outcome, Row, Scenario, Stage
from tests.ingestion.samples import CHUNKED, TEXT, assert_counters, assert_same_chunks, mapping, paragraphs, stamps
from tests.parser_service.harness import ParserWorld
from tests.parser_service.stub import Call

KEY = f"namespaces/{NAMESPACE}/a file-AbC1.pdf"
LONG = paragraphs(140)
#: Chunks of 64 characters: four batches of at most 30.
MANY = Scenario(payload={"type": "TEXT", "text": LONG}, config=CHUNKED)


def child_of(outcome: Outcome) -> JobView:
    return outcome.child(outcome.picture.document["id"])


def assert_completed(outcome: Outcome) -> None:
    document = outcome.picture.document
    assert (document["status"], document["error"], document["failedAt"]) == ("COMPLETED", None, None)
    assert child_of(outcome).status is JobStatus.COMPLETED
    assert_same_chunks(outcome)
    assert_counters(outcome, 1)


def assert_failed(outcome: Outcome, code: str, message: str, cause: str | None = None) -> None:
    """Assert how the document failed, and that it left nothing to be found."""
    document, error = outcome.picture.document, child_of(outcome).error
    assert error is not None
    assert (document["status"], document["error"], error.code, error.message) == ("FAILED", message, code, message)
    assert cause is None or cause in str(error.cause)
    assert (document["failedAt"] is not None, document["completedAt"], document["totalPages"]) == (True, None, 0)
    assert outcome.picture.job["error"] == "Failed to process documents"
    assert outcome.picture.vectors == []
    assert outcome.picture.announced[-2:] == ["document.error", "ingest_job.error"]
    assert_counters(outcome, 1)


@pytest.mark.parametrize("always_replay", [False, True])
def test_a_text(stage: Stage, service: ParserWorld, always_replay: bool) -> None:
    scenario = Scenario(payload={"type": "TEXT", "text": TEXT, "fileName": "a.txt"}, name="Rockets")
    outcome = stage.run(scenario, always_replay=always_replay)
    assert_completed(outcome)
    document = outcome.picture.document
    assert stamps(document)[0] <= stamps(document)[1] <= stamps(document)[2] <= stamps(document)[3]
    assert document["documentProperties"] == {"fileSize": len(TEXT.encode()), "mimeType": "text/plain"}
    totals = [document[name] for name in ("totalChunks", "totalTokens", "totalCharacters", "totalPages")]
    assert totals == [1, tokens(TEXT), len(TEXT), len(TEXT) / 1000]
    assert outcome.picture.announced == [
        *("document.queued", "ingest_job.processing", "document.processing", "document.ready", "ingest_job.ready")
    ]
    assert child_of(outcome).result == {
        "documentId": document["id"],
        "totalPages": len(TEXT) / 1000,
        "totalTokens": tokens(TEXT),
        "totalChunks": 1,
        "meterSuccess": None,
        "pagesDelta": len(TEXT) / 1000,
    }
    [call] = service.parser.calls
    assert call.body == {
        "trigger_token_id": call.token_id,
        "trigger_access_token": call.access_token,
        "namespace_id": NAMESPACE,
        "extra_metadata": {"filename": "a.txt", "namespaceId": NAMESPACE, "documentId": document["id"]},
        "document_id": document["id"],
        "batch_size": 30,
        "text": TEXT,
        "filename": f"{document['id']}.txt",
    }
    assert [(told.status, told.body) for told in service.told] == [(200, {"success": True})]
    assert service.redis.strings == {}


def test_every_option_reaches_the_service(stage: Stage, service: ParserWorld) -> None:
    job_config = {
        "chunkSize": 100,
        "delimiter": "|",
        "mode": "fast",
        "keepPageheaderInOutput": False,
        "metadata": {"a": "job", "b": "job"},
        "forceOcr": True,
    }
    config = {
        "chunkSize": 64,
        "languageCode": "en",
        "mode": None,
        "disableImageExtraction": True,
        "disableImageCaptions": False,
        "chartUnderstanding": True,
        "keepPagefooterInOutput": True,
        "metadata": {"b": "document", "tags": ["x", "y"]},
    }
    item = {"type": "TEXT", "text": TEXT, "config": config}
    scenario = Scenario(payload={"type": "BATCH", "items": [item]}, config=job_config, tenant_id="tenant1")
    outcome = stage.run(scenario)
    assert_completed(outcome)
    body = service.parser.calls[0].body
    assert body["extra_metadata"] == {
        "a": "job",
        "b": "document",
        "tags": ["x", "y"],
        "tenantId": "tenant1",
        "namespaceId": NAMESPACE,
        "documentId": outcome.picture.document["id"],
    }
    assert body["chunk_options"] == {"chunk_size": 64, "delimiter": "|", "language_code": "en"}
    assert body["parse_options"] == {
        "mode": "fast",
        "disable_image_extraction": True,
        "disable_image_captions": False,
        "additional_config": {"keep_pagefooter_in_output": True, "keep_pageheader_in_output": False},
        "extras": "chart_understanding",
    }


def test_a_stored_file_is_read_by_a_signed_address(stage: Stage, service: ParserWorld) -> None:
    payload = {"type": "MANAGED_FILE", "key": KEY, "fileName": "A file.pdf"}
    outcome = stage.run(Scenario(payload=payload, blobs={KEY: LONG.encode()}))
    assert_completed(outcome)
    document = outcome.picture.document
    assert (document["totalPages"], document["name"]) == (12, "A file.pdf")
    assert document["documentProperties"] == {"fileSize": len(LONG.encode()), "mimeType": "application/pdf"}
    body = service.parser.calls[0].body
    assert body["filename"] == "A file.pdf"
    assert "text" not in body
    assert "&X-Amz-Expires=86400&" in str(body["url"])
    assert service.s3_server.received[0].path == "/agentset/namespaces/nsone/a%20file-AbC1.pdf"


def test_a_file_is_read_by_its_address(stage: Stage, service: ParserWorld) -> None:
    with StubServer(lambda _: Reply(200, LONG.encode(), {"content-type": "text/markdown"})) as server:
        url = f"{server.url}/a.md?signature=secret"
        outcome = stage.run(Scenario(payload={"type": "FILE", "fileUrl": url, "fileName": "a.md"}))
    assert_completed(outcome)
    body = service.parser.calls[0].body
    assert (body["url"], body["filename"]) == (url, "a.md")
    assert "filename" not in mapping(body["extra_metadata"])
    assert mapping(outcome.picture.document["documentProperties"])["mimeType"] == "text/markdown"


def test_a_refused_address_is_not_sent_on(stage: Stage, service: ParserWorld) -> None:
    outcome = stage.run(Scenario(payload={"type": "FILE", "fileUrl": "http://169.254.169.254/latest"}))
    assert_failed(outcome, "url_refused", "The address is refused: 169.254.169.254 is not a public address")
    assert service.parser.calls == []


@pytest.mark.parametrize("always_replay", [False, True])
def test_many_batches(stage: Stage, service: ParserWorld, always_replay: bool) -> None:
    outcome = stage.run(MANY, always_replay=always_replay)
    assert_completed(outcome)
    assert len(outcome.picture.vectors) > 30
    assert service.redis.strings == {}
    status = child_of(outcome)
    assert status.progress is not None
    assert (status.progress.done, status.progress.unit) == (outcome.picture.document["totalChunks"], "chunks")


def test_batches_are_removed_in_groups_after_completion(stage: Stage, service: ParserWorld) -> None:
    text = "x" * 32 * 30 * 151
    outcome = stage.run(Scenario(payload={"type": "TEXT", "text": text}, config={"chunkSize": 32}))
    assert_completed(outcome)
    removed = [len(command) - 1 for command in service.redis.commands if command[0] == "DEL"]
    assert removed == [150, 1]
    assert service.redis.strings == {}


def test_without_redis_the_file_is_read(stage: Stage, service: ParserWorld) -> None:
    configure = stage.configure
    stage.configure = lambda settings: msgspec.structs.replace(configure(settings), redis=RedisSettings())
    assert_completed(stage.run(MANY))
    assert service.redis_server.received == []


def break_batch(service: ParserWorld, number: int, value: str | None) -> Callable[[Call], None]:
    """Return what loses or spoils a batch of each call."""
    accept = service.parser.accepted

    def accepted(call: Call) -> None:
        accept(call)
        assert call.data is not None
        key = str(call.data["batch_template"]).replace("[BATCH_INDEX]", str(number))
        if value is None:
            del service.redis.strings[key]
        else:
            service.redis.strings[key] = value

    return accepted


@pytest.mark.parametrize("number", [0, 1, 3])
@pytest.mark.parametrize("value", [None, "[{", '[{"id": 1}]'])
def test_a_missing_batch_is_found_in_the_file(
    stage: Stage, service: ParserWorld, number: int, value: str | None
) -> None:
    service.parser.accepted = break_batch(service, number, value)
    outcome = stage.run(MANY, always_replay=True)
    assert_completed(outcome)
    assert {str(row["id"]).partition("#")[2] for row in outcome.picture.vectors} == service.parser.calls[0].chunk_ids


def test_a_batch_that_is_nowhere_fails_the_document(stage: Stage, service: ParserWorld) -> None:
    breaking = break_batch(service, 2, None)

    def accepted(call: Call) -> None:
        breaking(call)
        service.put(f"namespaces/{NAMESPACE}/documents/{call.body['document_id']}/chunks.json", b'{"chunks":[{"id"')

    service.parser.accepted = accepted
    outcome = stage.run(MANY)
    assert_failed(outcome, "chunk_batch_not_found", "Chunk batch not found", "malformed")
    assert service.redis.strings == {}


def test_a_file_of_another_parse_begins_the_document_anew(stage: Stage, service: ParserWorld) -> None:
    """Some batches are stored, the next is gone, and the file was written by another call meanwhile."""
    breaking = break_batch(service, 2, None)
    other = [
        {"id": f"other-{at}", "text": f"Other text {at}.", "metadata": {"sequence_number": at}} for at in range(70)
    ]

    def accepted(call: Call) -> None:
        breaking(call)
        own = {"namespaceId": NAMESPACE, "documentId": call.body["document_id"]}
        service.put_json(
            f"namespaces/{NAMESPACE}/documents/{call.body['document_id']}/chunks.json",
            {
                "metadata": own,
                "total_chunks": 70,
                "total_characters": sum(len(c["text"]) for c in other),
                "chunks": other,
            },
        )

    service.parser.accepted = accepted
    outcome = stage.run(MANY, always_replay=True)
    assert_completed(outcome)
    assert {str(row["id"]).partition("#")[2] for row in outcome.picture.vectors} == {f"other-{at}" for at in range(70)}


def test_nothing_to_read_is_no_failure(stage: Stage, service: ParserWorld) -> None:
    service.parser.outcome = lambda call: {
        "status": 200,
        "metadata": {"size_in_bytes": 3, "filetype": None},
        "total_characters": 0,
        "total_chunks": 0,
        "total_batches": 0,
        "results_id": "x",
        "batch_template": "results_x_[BATCH_INDEX]",
    }
    outcome = stage.run(Scenario(payload={"type": "TEXT", "text": TEXT}))
    document = outcome.picture.document
    assert (document["status"], document["totalChunks"], document["totalPages"]) == ("COMPLETED", 0, 0)
    assert document["documentProperties"] == {"fileSize": 3, "mimeType": None}


def test_a_paged_file_without_any_text_has_its_pages_all_the_same(stage: Stage, service: ParserWorld) -> None:
    service.parser.outcome = lambda call: {
        "status": 200,
        "metadata": {"size_in_bytes": 3, "filetype": "application/pdf"},
        "total_characters": 0,
        "total_chunks": 0,
        "total_batches": 0,
        "total_pages": 12,
        "results_id": "x",
        "batch_template": "results_x_[BATCH_INDEX]",
    }
    outcome = stage.run(Scenario(payload={"type": "TEXT", "text": TEXT}))
    document = outcome.picture.document
    assert (document["status"], document["totalChunks"], document["totalPages"]) == ("COMPLETED", 0, 12)
    assert outcome.picture.namespace["totalPages"] == 12


# -- the callback ----------------------------------------------------------------------------------------------------


def test_a_repeated_callback_changes_nothing(stage: Stage, service: ParserWorld) -> None:
    service.callbacks = lambda call: [1_000, 1_000, 2_000]
    assert_completed(stage.run(MANY))
    assert {told.status for told in service.told[:2]} == {200}


@pytest.mark.parametrize("always_replay", [False, True])
def test_a_lost_callback_is_found_long_before_the_timeout(
    stage: Stage, service: ParserWorld, always_replay: bool
) -> None:
    service.callbacks = lambda call: []
    outcome = stage.run(MANY, always_replay=always_replay)
    assert_completed(outcome)
    view = child_of(outcome)
    assert view.finished_at_ms is not None
    assert POLL_MS <= view.finished_at_ms - view.created_at_ms < POLL_MS + 30_000
    assert view.metadata["parser_call"] == "fc-0001"


def test_a_late_callback_counts_once(stage: Stage, service: ParserWorld) -> None:
    """The poll has found the result; the callback comes while the document is stored, and again after its end."""
    service.callbacks = lambda call: [POLL_MS + 1, 3 * POLL_MS]
    assert_completed(stage.run(MANY))
    assert [told.status for told in service.told] == [200, 200]


def test_a_slow_parse_is_waited_for(stage: Stage, service: ParserWorld) -> None:
    """An hour passes; the watchdog asks less and less often, and is told that the call runs."""
    results: list[dict[str, object] | None] = []
    ends_at_ms: list[int] = []

    def accepted(call: Call) -> None:
        results.append(call.data)
        ends_at_ms.append(service.now_ms + 3_600_000)
        call.data = None

    def between() -> None:
        if ends_at_ms and service.now_ms >= ends_at_ms[0]:
            service.parser.calls[0].data = results[0]

    service.parser.accepted, service.between = accepted, between
    assert_completed(stage.run(MANY))
    polls = [request for request in service.parser_server.received if request.method == "GET"]
    assert 6 <= len(polls) <= 12


def test_a_parse_that_never_ends_times_out(stage: Stage, service: ParserWorld) -> None:
    def accepted(call: Call) -> None:
        call.data = None

    service.parser.accepted = accepted
    outcome = stage.run(Scenario(payload={"type": "TEXT", "text": TEXT}))
    view, error = child_of(outcome), child_of(outcome).error
    assert error is not None
    assert view.finished_at_ms is not None
    waited_ms = view.finished_at_ms - view.created_at_ms
    assert PARSE_TIMEOUT_MS <= waited_ms < PARSE_TIMEOUT_MS + 60_000
    assert error.message.startswith("Waitpoint timed out at ")
    assert error.message.endswith("Z")
    assert_failed(outcome, "wait_timeout", error.message)


def test_a_call_that_crashed_is_not_waited_for(stage: Stage, service: ParserWorld) -> None:
    service.parser.accepted = lambda call: None
    service.parser.answers_polls = False
    outcome = stage.run(Scenario(payload={"type": "TEXT", "text": TEXT}))
    assert_failed(outcome, "partition_error", "Partition Error", "Internal Server Error")
    view = child_of(outcome)
    assert view.finished_at_ms is not None
    assert view.finished_at_ms - view.created_at_ms < 3_600_000


# -- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        ({"status": 400, "message": "couldn't parse document"}, "couldn't parse document"),
        ({"status": 500, "message": "GET https://x/y?X-Amz-Signature=abc failed"}, "GET https://x/y?… failed"),
        ({"status": 500}, "status 500"),
        ({}, "status 0"),
        ({"status": 200}, "missing required field"),
        ({"status": 200, "documents": []}, "missing required field"),
        (None, "unexpected result"),
    ],
)
@pytest.mark.parametrize("lost", [False, True])
def test_a_failed_parse(stage: Stage, service: ParserWorld, data: Row | None, cause: str, lost: bool) -> None:
    if lost and (data or {}).get("status") not in (400, 500):
        return  # what is no result is no answer to a poll either
    accept = service.parser.accepted

    def accepted(call: Call) -> None:
        call.data = data
        accept(call)

    service.parser.accepted = accepted
    if lost:
        service.callbacks = lambda call: []
    outcome = stage.run(Scenario(payload={"type": "TEXT", "text": TEXT}))
    assert_failed(outcome, "partition_error", "Partition Error", cause)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (json_reply({"status": 401, "message": "Unauthorized"}, 401), "Unauthorized"),
        (json_reply({"detail": "no"}, 422), "no"),
        (json_reply({"call_id": ""}), "named no call_id"),
        (json_reply({}), "named no call_id"),
        (json_reply([1]), "unexpected answer"),
    ],
)
def test_a_refused_request(stage: Stage, service: ParserWorld, fault: Reply, cause: str) -> None:
    service.parser_server.faults.append(fault)
    outcome = stage.run(Scenario(payload={"type": "TEXT", "text": TEXT}))
    assert_failed(outcome, "partition_error", "Partition Error", cause)
    assert len(service.parser_server.received) == 1


def test_trouble_that_passes(stage: Stage, service: ParserWorld) -> None:
    service.parser_server.faults.extend(
        [
            Reply(503),
            json_reply({"message": "slow down"}, 429, retry_after="9"),
            Reply(200, b'{"call_id":"x"}', cut_at=9),
        ]
    )
    outcome = stage.run(Scenario(payload={"type": "TEXT", "text": TEXT}))
    assert_completed(outcome)
    assert len(service.parser.calls) == 1


def test_trouble_that_stays(stage: Stage, service: ParserWorld) -> None:
    service.parser_server.faults.extend([json_reply({"message": "Overloaded"}, 503)] * 8)
    outcome = stage.run(Scenario(payload={"type": "TEXT", "text": TEXT}))
    assert_failed(outcome, "partition_error", "Partition Error", "Overloaded")
    assert service.parser.calls == []


def test_a_failed_document_leaves_no_batches(stage: Stage, service: ParserWorld) -> None:
    text = LONG + " This is POISON for the provider. "
    outcome = stage.run(Scenario(payload={"type": "TEXT", "text": text}, config=CHUNKED))
    assert_failed(outcome, "embedding_refused", "The input was refused.")
    assert service.redis.strings == {}


def test_redis_that_is_down_is_waited_for(stage: Stage, service: ParserWorld) -> None:
    service.redis_server.faults.extend([Reply(503)] * 3)
    assert_completed(stage.run(MANY))
    assert service.redis.strings == {}


def test_batches_that_cannot_be_removed_do_not_fail_a_finished_document(stage: Stage, service: ParserWorld) -> None:
    service.redis.refused = {"DEL"}
    outcome = stage.run(Scenario(payload={"type": "TEXT", "text": TEXT}))
    assert_completed(outcome)
    assert len(service.redis.strings) == 1


# -- stopping --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("always_replay", [False, True])
def test_a_cancelled_job_leaves_nothing_processing(stage: Stage, service: ParserWorld, always_replay: bool) -> None:
    """The hook runs for a cancellation, too: no row stays in PROCESSING (W-02)."""

    def cancel(world: World) -> None:
        (parent,) = [job_id for job_id in world.objects if world.view(job_id).workflow == "trigger-ingestion-job"]
        world.call(parent, lambda engine: engine.cancel("somebody asked"))

    service.when_accepted(cancel)
    outcome = stage.run(MANY, always_replay=always_replay)
    job, document = outcome.picture.job, outcome.picture.document
    assert (outcome.view.status, child_of(outcome).status) == (JobStatus.CANCELLED, JobStatus.CANCELLED)
    assert (job["status"], document["status"]) == ("FAILED", "FAILED")
    assert outcome.picture.vectors == []
    assert [told.status for told in service.told] == [200]


def test_a_slice_that_dies_again_and_again_leaves_nothing_processing(stage: Stage, service: ParserWorld) -> None:
    class Deadly(MemoryBlobs):
        async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes | None:
            raise Crash

    stage.wrap_blobs = lambda blobs: Deadly()
    outcome = stage.run(Scenario(payload={"type": "BATCH", "items": [{"type": "CRAWLED_PAGE"}]}))
    assert (outcome.picture.job["status"], outcome.picture.document["status"]) == ("FAILED", "FAILED")
    assert child_of(outcome).status is JobStatus.FAILED


@pytest.mark.parametrize("status", ["QUEUED_FOR_DELETE", None])
def test_a_document_that_is_deleted_meanwhile(stage: Stage, service: ParserWorld, status: str | None) -> None:
    """While the service parses, the row is asked to be deleted, or is gone: nothing is stored, nothing stays."""
    service.before_callback = "update document set status = 'QUEUED_FOR_DELETE'" if status else "delete from document"
    outcome = stage.run(MANY)
    assert [row["status"] for row in outcome.picture.documents] == ([status] if status else [])
    assert outcome.picture.vectors == []
    assert service.redis.strings == {}
    assert [key for key in outcome.objects if key.endswith("chunks.json")] == []
    assert outcome.picture.announced.count("document.ready") == 0
