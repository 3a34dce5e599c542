"""Crawls and videos (domain.md §2.1 step 4, §2.2 step 4, §9.4 scenario 3)."""

from __future__ import annotations

import msgspec
import pytest

from orchestrator.errors import NonRetryableError
from orchestrator.lifecycle import JobStatus
from orchestrator.model import RetryJob
from orchestrator.ports import Database
from steps.parser_service.config import POLL_MS, ParserServiceSettings
from steps.platform.ingest_settings import IngestSettings
from steps.services import Settings
from tests.ingestion.embedder import tokens
from tests.ingestion.harness import JOB, NAMESPACE, Edit, Outcome, Row, Scenario, Stage
from tests.ingestion.samples import mapping, number, paragraphs
from tests.parser_service.harness import ParserWorld
from tests.parser_service.stub import Page

CRAWL: Row = {
    "type": "CRAWL",
    "url": "https://example.com/start",
    "maxDepth": 2,
    "limit": 7,
    "includePaths": ["/docs"],
    "excludePaths": [],
    "headers": {"Authorization": "Bearer customer-secret"},
}
VIDEOS: Row = {
    "type": "YOUTUBE",
    "urls": ["https://www.youtube.com/watch?v=a", "https://youtu.be/b"],
    "transcriptLanguages": ["en"],
    "includeMetadata": True,
}
IDS = ["b0000000000000000000page", "a0000000000000000000page", "c0000000000000000000page"]


def pages(*characters: int, **metadata: object) -> list[Page]:
    """Return pages of so many characters; a text of letters, so that no chunk loses a blank."""
    return [
        Page(IDS[at], "x" * count, f"https://example.com/{at}", {"page_url": f"https://example.com/{at}", **metadata})
        for at, count in enumerate(characters)
    ]


def on_plan(plan: str, *, limit: int = 10, used: float = 8.0) -> Edit:
    async def edit(database: Database) -> None:
        await database.execute(
            """update organization set plan = $1, "pagesLimit" = $2::int, "totalPages" = $3::float8""",
            plan,
            limit,
            used,
        )

    return edit


def setting(stage: Stage, **values: str) -> None:
    """Change how the deployment counts and tells."""
    configure = stage.configure

    def changed(settings: Settings) -> Settings:
        return msgspec.structs.replace(configure(settings), ingest=msgspec.convert(values, IngestSettings))

    stage.configure = changed


def by_id(outcome: Outcome) -> dict[str, Row]:
    return {str(row["id"]): row for row in outcome.picture.documents}


@pytest.mark.parametrize("always_replay", [False, True])
def test_a_crawl(stage: Stage, service: ParserWorld, always_replay: bool) -> None:
    service.parser.pages = pages(1500, 40, page_title="A title", page_description=None, page_language="en")
    config = {"chunkSize": 1000, "delimiter": "|", "mode": "fast", "metadata": {"topic": "rockets"}}
    outcome = stage.run(
        Scenario(payload=CRAWL, config=config, tenant_id="tenant1", name="A crawl"), always_replay=always_replay
    )
    [call] = service.parser.calls
    assert (call.kind, call.body) == (
        "crawl",
        {
            "trigger_token_id": call.token_id,
            "trigger_access_token": call.access_token,
            "namespace_id": NAMESPACE,
            "extra_metadata": {"topic": "rockets", "tenantId": "tenant1"},
            "url": "https://example.com/start",
            "crawl_options": {
                "max_depth": 2,
                "limit": 7,
                "exclude_paths": [],
                "include_paths": ["/docs"],
                "headers": {"Authorization": "Bearer customer-secret"},
            },
            "chunk_options": {"chunk_size": 1000},
        },
    )
    assert outcome.view.result == {"ingestionJobId": JOB, "documentsCreated": 2}
    job, documents = outcome.picture.job, by_id(outcome)
    assert (job["status"], job["error"]) == ("COMPLETED", None)
    first = documents[IDS[0]]
    assert {name: first[name] for name in ("status", "name", "tenantId", "config", "error")} == {
        "status": "COMPLETED",
        "name": "https://example.com/0",
        "tenantId": "tenant1",
        "config": None,
        "error": None,
    }
    assert first["source"] == {"type": "CRAWLED_PAGE", "title": "A title", "language": "en"}
    assert first["documentProperties"] == {"fileSize": 1500, "mimeType": "text/html"}
    totals = [first[name] for name in ("totalCharacters", "totalChunks", "totalPages", "totalTokens")]
    assert totals == [1500, 2, 1.5, tokens("x") * 2]
    assert first["preProcessingAt"] is None
    counters = (outcome.picture.namespace, outcome.picture.organization)
    assert [(row["totalDocuments"], number(row, "totalPages")) for row in counters] == [(2, 1.54)] * 2
    events = outcome.picture.announced
    assert "document.queued" not in events
    assert sorted(events) == sorted(
        ["ingest_job.processing", *["document.processing", "document.ready"] * 2, "ingest_job.ready"]
    )
    vectors = [row for row in outcome.picture.vectors if row["document_id"] == IDS[0]]
    assert sorted(number(mapping(row["metadata"]), "sequence_number") for row in vectors) == [0, 1]
    one = min(vectors, key=lambda row: number(mapping(row["metadata"]), "sequence_number"))
    assert one["metadata"] == {
        "topic": "rockets",
        "tenantId": "tenant1",
        "namespaceId": NAMESPACE,
        "documentId": IDS[0],
        "page_url": "https://example.com/0",
        "page_title": "A title",
        "page_language": "en",
        "sequence_number": 0,
    }


def test_videos(stage: Stage, service: ParserWorld) -> None:
    service.parser.pages = [Page(IDS[0], "x" * 500, "A film", {"youtube_duration": 61, "youtube_id": "a"})]
    outcome = stage.run(Scenario(payload=VIDEOS))
    [call] = service.parser.calls
    assert (call.kind, call.body) == (
        "youtube",
        {
            "trigger_token_id": call.token_id,
            "trigger_access_token": call.access_token,
            "namespace_id": NAMESPACE,
            "urls": VIDEOS["urls"],
            "transcript_languages": ["en"],
            "include_metadata": True,
            "chunk_options": {},
        },
    )
    document = outcome.picture.document
    assert (document["status"], document["name"]) == ("COMPLETED", "A film")
    assert document["source"] == {"type": "YOUTUBE_VIDEO", "videoId": f"v{IDS[0]}", "duration": 61}
    assert document["documentProperties"] == {"fileSize": 500, "mimeType": "text/markdown"}
    assert outcome.picture.announced == [
        *("document.queued", "ingest_job.processing", "document.processing", "document.ready", "ingest_job.ready")
    ]


# -- the quota -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["CRAWL", "YOUTUBE"])
def test_scenario_3_a_later_smaller_page_still_fits(stage: Stage, service: ParserWorld, kind: str) -> None:
    service.parser.pages = pages(1500, 1000, 400)
    outcome = stage.run(Scenario(payload=CRAWL if kind == "CRAWL" else VIDEOS), prepare=on_plan("free"))
    documents = by_id(outcome)
    assert [documents[each]["status"] for each in IDS] == ["COMPLETED", "FAILED", "COMPLETED"]
    over = documents[IDS[1]]
    assert (over["error"], over["failedAt"] is not None, over["totalPages"]) == ("Pages limit exceeded", True, 1.0)
    job = outcome.picture.job
    assert (job["status"], job["error"]) == ("FAILED", "1 document(s) exceeded pages limit")
    assert outcome.view.result == {"ingestionJobId": JOB, "documentsCreated": 2}
    assert outcome.view.status is JobStatus.COMPLETED
    assert (outcome.picture.namespace["totalDocuments"], outcome.picture.organization["totalDocuments"]) == (2, 2)
    assert number(outcome.picture.namespace, "totalPages") == pytest.approx(1.9)
    assert number(outcome.picture.organization, "totalPages") == pytest.approx(9.9)
    queued = [row["subject"] for row in outcome.picture.events if row["event"] == "document.queued"]
    assert queued == ([] if kind == "CRAWL" else IDS)
    assert outcome.picture.announced.count("document.error") == 0
    assert outcome.picture.announced[-1] == "ingest_job.error"
    assert {row["document_id"] for row in outcome.picture.vectors} == {IDS[0], IDS[2]}


def test_complete_events(stage: Stage, service: ParserWorld) -> None:
    setting(stage, ingest_events="complete")
    service.parser.pages = pages(1500, 1000, 400)
    outcome = stage.run(Scenario(payload=CRAWL), prepare=on_plan("free"))
    events = [(row["event"], row["subject"]) for row in outcome.picture.events]
    assert sorted(events[:3]) == sorted(
        [("document.queued", IDS[0]), ("document.queued", IDS[2]), ("document.error", IDS[1])]
    )


@pytest.mark.parametrize("plan", ["pro", "Enterprise"])
def test_other_plans_have_no_limit(stage: Stage, service: ParserWorld, plan: str) -> None:
    service.parser.pages = pages(1500, 1000, 400)
    outcome = stage.run(Scenario(payload=CRAWL), prepare=on_plan(plan))
    assert {row["status"] for row in outcome.picture.documents} == {"COMPLETED"}


@pytest.mark.parametrize(("policy", "fits"), [("original", True), ("reserved", False)])
def test_what_another_job_has_been_promised(stage: Stage, service: ParserWorld, policy: str, fits: bool) -> None:
    """Another job's page of 1.5 pages is queued; 2 are left of the limit (W-29)."""
    setting(stage, pages_quota=policy)

    async def prepare(database: Database) -> None:
        await database.execute(
            """insert into ingest_job (id, "namespaceId", payload, "updatedAt") values ('other', $1, '{}', now())""",
            NAMESPACE,
        )
        await database.execute(
            """insert into document (id, "namespaceId", "ingestJobId", status, source, "totalPages", "updatedAt")
            values ('otherpage', $1, 'other', 'QUEUED', '{"type": "CRAWLED_PAGE"}', 1.5, now())""",
            NAMESPACE,
        )
        await database.execute("""update organization set "pagesLimit" = 10, "totalPages" = 8, plan = 'free'""")

    service.parser.pages = pages(1000)
    outcome = stage.run(Scenario(payload=CRAWL), prepare=prepare)
    assert by_id(outcome)[IDS[0]]["status"] == ("COMPLETED" if fits else "FAILED")


def test_every_document_may_be_under_the_quota(stage: Stage, service: ParserWorld) -> None:
    setting(stage, pages_quota="every_document")
    text = Scenario(payload={"type": "TEXT", "text": paragraphs(3)})
    assert stage.run(text, prepare=on_plan("free", used=9.9)).picture.document["status"] == "COMPLETED"
    service.reset()
    outcome = stage.run(text, prepare=on_plan("free", used=10.0))
    document = outcome.picture.document
    assert (document["status"], document["error"]) == ("FAILED", "Pages limit reached")
    assert service.parser.calls == []
    assert stage.run(text, prepare=on_plan("pro", used=10.0)).picture.document["status"] == "COMPLETED"


def test_settings_are_read_from_the_environment() -> None:
    assert IngestSettings.from_env({"PAGES_QUOTA": "", "X": "y"}) == IngestSettings()
    found = IngestSettings.from_env(
        {"PAGES_QUOTA": "original", "INGEST_EVENTS": "complete", "PARSER_ERRORS": "detailed"}
    )
    assert found == IngestSettings(pages_quota="original", ingest_events="complete", parser_errors="detailed")
    with pytest.raises(NonRetryableError) as caught:
        IngestSettings.from_env({"PAGES_QUOTA": "none"})
    assert (caught.value.error_code, "pages_quota" in str(caught.value)) == ("invalid_setting", True)


# -- the callback ----------------------------------------------------------------------------------------------------


def test_a_lost_callback_of_a_crawl(stage: Stage, service: ParserWorld) -> None:
    service.callbacks = lambda call: []
    service.parser.pages = pages(100)
    outcome = stage.run(Scenario(payload=CRAWL), always_replay=True)
    assert outcome.picture.document["status"] == "COMPLETED"
    assert outcome.view.finished_at_ms is not None
    assert outcome.view.finished_at_ms - outcome.view.created_at_ms < 2 * POLL_MS


def test_a_crawl_that_finds_nothing(stage: Stage, service: ParserWorld) -> None:
    outcome = stage.run(Scenario(payload=CRAWL))
    job, error = outcome.picture.job, outcome.view.error
    assert error is not None
    assert (job["status"], job["error"], outcome.view.status) == ("FAILED", "Partition Error", JobStatus.FAILED)
    assert (error.code, "no documents were found" in str(error.cause)) == ("partition_error", True)
    assert outcome.picture.documents == []
    assert outcome.picture.announced == ["ingest_job.error"]


def test_the_parsers_message_may_be_shown(stage: Stage, service: ParserWorld) -> None:
    setting(stage, parser_errors="detailed")
    outcome = stage.run(Scenario(payload=CRAWL))
    assert outcome.picture.job["error"] == "Partition Error: no documents were found"


@pytest.mark.parametrize("bad", ["", "x" * 28, "a b", "é", "a#b"])
def test_ids_that_no_document_can_have(stage: Stage, service: ParserWorld, bad: str) -> None:
    service.parser.outcome = lambda call: {
        "status": 200,
        "documents": [{"id": bad, "url": "u", "total_bytes": 1, "total_characters": 1, "total_chunks": 1}],
    }
    outcome = stage.run(Scenario(payload=CRAWL))
    assert (outcome.picture.job["error"], outcome.picture.documents) == ("Partition Error", [])


def test_ids_of_other_documents_stay_theirs(stage: Stage, service: ParserWorld) -> None:
    """The service gives one id twice, and one that another ingest job's document has."""

    async def prepare(database: Database) -> None:
        await database.execute(
            """insert into ingest_job (id, "namespaceId", payload, "updatedAt") values ('other', $1, '{}', now())""",
            NAMESPACE,
        )
        await database.execute(
            """insert into document (id, "namespaceId", "ingestJobId", status, source, "updatedAt")
            values ($2, $1, 'other', 'QUEUED', '{"type": "TEXT", "text": "x"}', now())""",
            NAMESPACE,
            IDS[1],
        )

    service.parser.pages = [*pages(100, 100), *pages(100)]
    outcome = stage.run(Scenario(payload=CRAWL), prepare=prepare)
    documents = by_id(outcome)
    assert (documents[IDS[0]]["status"], documents[IDS[1]]["status"]) == ("COMPLETED", "QUEUED")
    assert outcome.view.result == {"ingestionJobId": JOB, "documentsCreated": 1}
    assert outcome.picture.namespace["totalDocuments"] == 1


# -- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "config", "code", "message"),
    [
        ({**CRAWL, "url": "http://10.0.0.1/"}, None, "url_refused", "The address is refused: 10.0.0.1 is not a pub"),
        ({**VIDEOS, "urls": ["https://example.com/v"]}, None, "url_refused", "none of YouTube's"),
        ({**VIDEOS, "urls": ["https://www.youtube.com@10.0.0.1/"]}, None, "url_refused", "carries credentials"),
        ({"type": "CRAWL"}, None, "invalid_ingest_payload", "missing required field `url`"),
        ({**CRAWL, "limit": "many"}, None, "invalid_ingest_payload", "Expected `int | null`"),
        ({"type": "YOUTUBE", "urls": "x"}, None, "invalid_ingest_payload", "Expected `array`"),
        (CRAWL, {"chunkSize": "big"}, "invalid_document_config", "Invalid document config"),
    ],
)
def test_a_request_that_cannot_be_made(
    stage: Stage, service: ParserWorld, payload: Row, config: Row | None, code: str, message: str
) -> None:
    outcome = stage.run(Scenario(payload=payload, config=config))
    assert outcome.view.error is not None
    assert (outcome.picture.job["status"], outcome.view.error.code) == ("FAILED", code)
    assert message in str(outcome.picture.job["error"])
    assert service.parser.calls == []


@pytest.mark.parametrize("payload", [CRAWL, VIDEOS], ids=["crawl", "youtube"])
def test_without_the_service(stage: Stage, service: ParserWorld, payload: Row) -> None:
    configure = stage.configure
    stage.configure = lambda settings: msgspec.structs.replace(
        configure(settings), parser_service=ParserServiceSettings()
    )
    outcome = stage.run(Scenario(payload=payload))
    assert outcome.view.error is not None
    assert outcome.view.error.code == "parser_service_not_configured"
    assert outcome.picture.job["error"] == (
        f"{payload['type']} ingestion needs the parser service: set PARTITION_API_URL and PARTITION_API_KEY"
    )


@pytest.mark.parametrize("file", [None, b"", b"{", b'{"chunks":[{"id":"a","text":"b"', b'{"chunks":[{"id":1}]}', b"[]"])
def test_a_page_whose_file_is_unusable(stage: Stage, service: ParserWorld, file: bytes | None) -> None:
    service.parser.pages = pages(100, 100)
    accept = service.parser.accepted

    def accepted(call: object) -> None:
        accept(service.parser.calls[-1])
        key = f"namespaces/{NAMESPACE}/documents/{IDS[1]}/chunks.json"
        if file is None:
            service.remove(key)
        else:
            service.put(key, file)

    service.parser.accepted = accepted
    outcome = stage.run(Scenario(payload=CRAWL))
    documents = by_id(outcome)
    assert (documents[IDS[0]]["status"], documents[IDS[1]]["status"]) == ("COMPLETED", "FAILED")
    assert documents[IDS[1]]["error"] == "Document JSON not found"
    assert outcome.picture.job["error"] == "Failed to process documents"
    assert {row["document_id"] for row in outcome.picture.vectors} == {IDS[0]}


def test_a_crawl_tried_again_from_scratch_is_not_paid_for_again(stage: Stage, service: ParserWorld) -> None:
    """The job is cancelled while its pages are processed, and then tried again."""
    service.parser.pages = pages(100, 100)
    parents: list[str] = []

    def cancel() -> None:
        world = service.world
        if len(world.objects) > 1:
            parents.extend(job_id for job_id in world.objects if "ingestion" in world.view(job_id).workflow)
            world.call(parents[0], lambda engine: engine.cancel("somebody asked"))
            service.between = retry

    def retry() -> None:
        if service.world.view(parents[0]).status is JobStatus.CANCELLED:
            service.world.call(parents[0], lambda engine: engine.retry(RetryJob(scratch=True)))
            service.between = lambda: None

    service.between = cancel
    outcome = stage.run(Scenario(payload=CRAWL))
    assert outcome.view.status is JobStatus.COMPLETED
    assert len(service.parser.calls) == 1
    assert outcome.view.result == {"ingestionJobId": JOB, "documentsCreated": 2}
    assert outcome.picture.namespace["totalDocuments"] == 2


def test_secrets_stay_out_of_the_journal(stage: Stage, service: ParserWorld) -> None:
    service.parser.pages = pages(100)
    outcome = stage.run(Scenario(payload=CRAWL), always_replay=True)
    for item in outcome.world.objects.values():
        for table in ("job", "step", "child", "event", "outbox"):
            stored = repr(item.sql.execute(f"select * from {table}"))  # pyright: ignore[reportArgumentType]
            assert "customer-secret" not in stored
            assert service.parser.calls[0].access_token not in stored
    assert "customer-secret" not in repr(outcome.world.logs)
