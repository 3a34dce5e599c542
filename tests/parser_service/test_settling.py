"""Parses that end when nobody waits for them any more leave nothing behind (W-04, W-09, W-12)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from orchestrator.lifecycle import JobStatus
from orchestrator.model import JobView
from orchestrator.ports import Database
from orchestrator.testing import World
from steps.settle_parse import SETTLE_AFTER_MS
from tests.embeddings.stub_server import Reply
from tests.ingestion.harness import JOB, NAMESPACE, Outcome, Row, Scenario, Stage
from tests.ingestion.samples import paragraphs
from tests.parser_service.harness import ParserWorld
from tests.parser_service.stub import Call, Page

HOUR_MS = 3_600_000
TEXT = Scenario(payload={"type": "TEXT", "text": paragraphs(50)}, config={"chunkSize": 64})
SITE = Scenario(payload={"type": "CRAWL", "url": "https://example.com"})
PAGES = [Page(f"kpage{at}", "x" * 1500, f"https://example.com/{at}", {"page_url": "u"}) for at in range(3)]


def settled(outcome: Outcome) -> list[JobView]:
    """Return the jobs that settled a parse."""
    views = [outcome.world.view(job_id) for job_id in outcome.world.objects]
    return [view for view in views if view.workflow == "settle-parse"]


def files(outcome: Outcome) -> list[str]:
    return [key for key in outcome.objects if key.endswith("chunks.json")]


def lose_first_answer(service: ParserWorld, found_next: list[Page] | None = None) -> list[Call]:
    """Have the first call accepted and its answer lost; return where it will be. A later one finds other pages."""
    first: list[Call] = []
    accept = service.parser.accepted

    def accepted(call: Call) -> None:
        accept(call)
        if not first:
            first.append(call)
            service.parser_server.lose_answer = True
            service.parser.pages = found_next or service.parser.pages

    service.parser.accepted = accepted
    return first


def cancel(world: World) -> None:
    (parent,) = [job_id for job_id in world.objects if world.view(job_id).workflow == "trigger-ingestion-job"]
    world.call(parent, lambda engine: engine.cancel("what it works on is being deleted"))


@pytest.mark.parametrize("kind", ["document", "crawl"])
@pytest.mark.parametrize("answers", ["at once", "after a while"])
def test_what_was_deleted_meanwhile_stays_so(stage: Stage, service: ParserWorld, kind: str, answers: str) -> None:
    """The service is at it for another hour, and writes its files into what is gone by then."""
    service.parser.pages, service.parser.writes_late = PAGES, True
    service.callbacks = lambda call: [HOUR_MS]
    service.before_callback = "delete from ingest_job"
    service.when_accepted(cancel)
    if answers == "after a while" and kind == "crawl":
        down = service.between

        def between() -> None:
            down()
            if service.told:
                service.parser_server.faults.extend([Reply(503)] * 3)
                service.between = lambda: None

        service.between = between
    outcome = stage.run(TEXT if kind == "document" else SITE)
    assert [told.status for told in service.told] == [200]
    assert service.parser.late != {}
    assert files(outcome) == []
    [view] = settled(outcome)
    assert (view.status, view.result) == (JobStatus.COMPLETED, {"removed": 1 if kind == "document" else len(PAGES)})
    assert view.finished_at_ms is not None
    assert view.finished_at_ms - service.told[0].at_ms >= SETTLE_AFTER_MS - 2 * HOUR_MS


def test_pages_that_were_made_after_all_stay(stage: Stage, service: ParserWorld) -> None:
    """The crawl is cancelled and tried again: the first call's pages are the second one's, too."""
    service.parser.pages, service.parser.writes_late = PAGES, True
    service.callbacks = lambda call: [HOUR_MS]
    service.when_accepted(cancel)
    outcome = stage.run(SITE)
    assert outcome.view.status is JobStatus.CANCELLED
    assert files(outcome) == []  # no rows were made of them
    [view] = settled(outcome)
    assert view.result == {"removed": len(PAGES)}


def test_a_document_that_failed_before_its_parse_ended_keeps_its_file(stage: Stage, service: ParserWorld) -> None:
    service.parser.writes_late = True
    service.callbacks = lambda call: [HOUR_MS]
    service.when_accepted(cancel)
    outcome = stage.run(TEXT)
    assert outcome.picture.document["status"] == "FAILED"
    assert len(files(outcome)) == 1
    assert [view.result for view in settled(outcome)] == [{"removed": 0}]


@pytest.mark.parametrize("loser_ms", [500, 30_000, HOUR_MS])
def test_a_parse_that_was_begun_twice_has_one_result(stage: Stage, service: ParserWorld, loser_ms: int) -> None:
    """The first answer is lost, so that the step begins a second parse; the first one's ends before, or long after."""
    first = lose_first_answer(service)
    service.parser.writes_late = True
    service.callbacks = lambda call: [loser_ms if call is first[0] else 4_000]
    outcome = stage.run(TEXT)
    assert outcome.picture.document["status"] == "COMPLETED"
    assert len(service.parser.calls) == 2
    vectors = {str(row["id"]).partition("#")[2] for row in outcome.picture.vectors}
    file = outcome.chunk_file(outcome.picture.document["id"])
    assert {str(chunk["id"]) for chunk in msgspec.convert(file["chunks"], list[Row])} == vectors
    [winner] = [call for call in service.parser.calls if vectors <= call.chunk_ids]
    # The batches of the other one have no name here: they end by themselves (``expire-parser-batches``).
    assert winner.data is not None
    template = str(winner.data["batch_template"]).partition("[")[0]
    assert [key for key in service.redis.strings if key.startswith(template)] == []
    assert [view.result for view in settled(outcome)] == [{"removed": 0}]


def test_an_ordinary_parse_needs_no_settling(stage: Stage, service: ParserWorld) -> None:
    outcome = stage.run(TEXT)
    assert outcome.picture.document["status"] == "COMPLETED"
    assert settled(outcome) == []
    assert service.redis.strings == {}


@pytest.mark.parametrize("kind", ["document", "crawl"])
def test_a_parse_nobody_heard_of_leaves_nothing(stage: Stage, service: ParserWorld, kind: str) -> None:
    """Its answer is lost, and the run is stopped before it asks again: nobody knows even the call's name."""
    service.parser.pages, service.parser.writes_late = PAGES, True
    service.callbacks = lambda call: [HOUR_MS]
    service.before_callback = "delete from ingest_job"
    lose_first_answer(service)
    service.when_accepted(cancel)
    outcome = stage.run(TEXT if kind == "document" else SITE)
    assert len(service.parser.calls) == 1
    assert service.parser.late != {}
    assert files(outcome) == []
    [view] = settled(outcome)
    assert (view.status, view.result) == (JobStatus.COMPLETED, {"removed": 1 if kind == "document" else len(PAGES)})


def test_a_crawl_that_was_begun_twice_leaves_the_pages_of_one(stage: Stage, service: ParserWorld) -> None:
    service.parser.pages, service.parser.writes_late = PAGES, True
    other = [msgspec.structs.replace(page, id=f"k{page.id}") for page in PAGES]
    first = lose_first_answer(service, other)
    service.callbacks = lambda call: [HOUR_MS if call is first[0] else 4_000]
    outcome = stage.run(SITE)
    assert outcome.view.status is JobStatus.COMPLETED
    assert [row["id"] for row in outcome.picture.documents] == [page.id for page in other]
    assert {key.split("/")[-2] for key in files(outcome)} == {page.id for page in other}
    assert [view.result for view in settled(outcome)] == [{"removed": len(PAGES)}]


def test_what_is_claimed_within_a_week_stays(stage: Stage, service: ParserWorld) -> None:
    """Another crawl has written a page already when the lost one's are looked for, and makes its row later."""
    service.parser.pages, service.parser.writes_late = PAGES, True
    service.callbacks = lambda call: [HOUR_MS]
    lose_first_answer(service)
    service.when_accepted(cancel)
    cancelling = service.between

    async def claim(database: Database) -> None:
        await database.execute(
            """insert into document (id, "namespaceId", "ingestJobId", status, source, "updatedAt")
            values ($1, $2, $3, 'QUEUED', '{}', now())""",
            PAGES[0].id,
            NAMESPACE,
            JOB,
        )

    def between() -> None:
        cancelling()
        service.between = between
        if service.told and service.now_ms > service.told[0].at_ms + HOUR_MS:
            service.between = lambda: None
            with ThreadPoolExecutor() as other:
                other.submit(stage.with_database, claim).result()

    service.between = between
    outcome = stage.run(SITE)
    assert [key.split("/")[-2] for key in files(outcome)] == [PAGES[0].id]
    assert [view.result for view in settled(outcome)] == [{"removed": len(PAGES) - 1}]


def test_a_crawl_that_ends_when_its_ingest_job_is_to_be_deleted(stage: Stage, service: ParserWorld) -> None:
    """Nobody has stopped the run yet: it gives way by itself, and leaves its pages to be settled."""
    service.parser.pages = PAGES
    service.before_callback = "update ingest_job set status = 'QUEUED_FOR_DELETE'"
    outcome = stage.run(SITE)
    assert outcome.view.result == {
        "ingestionJobId": JOB, "documentsCreated": 0, "stopped": "QUEUED_FOR_DELETE"
    }  # fmt: skip
    assert outcome.picture.documents == []
    assert files(outcome) == []
    assert [view.result for view in settled(outcome)] == [{"removed": len(PAGES)}]


def test_a_request_that_is_refused_leaves_nothing_to_settle(stage: Stage, service: ParserWorld) -> None:
    service.parser_server.faults.append(Reply(422, b'{"detail": "no"}'))
    outcome = stage.run(TEXT)
    assert outcome.picture.document["error"] == "Partition Error"
    assert settled(outcome) == []
