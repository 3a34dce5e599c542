"""``re-ingest-job`` on the standard scene."""

from __future__ import annotations

import msgspec
import pytest

from orchestrator.lifecycle import JobStatus
from steps.platform.settings import PlatformSettings
from tests.embeddings.stub_server import Received, Reply, json_reply
from tests.platform import scene
from tests.platform.counting import assert_counted
from tests.platform.picture import Picture, Row
from tests.platform.stage import EMBEDDINGS_ORIGIN, Outcome, Play, Stage

BATCH = (scene.TEXT_DOCUMENT, scene.PAGED_DOCUMENT, scene.FILE_DOCUMENT)


def documents_of(picture: Picture, ingest_job_id: str) -> list[Row]:
    return [row for row in picture.tables["document"] if row["ingestJobId"] == ingest_job_id]


def test_every_document_is_processed_again(stage: Stage) -> None:
    """Scenario 11 of domain.md §9.4, without the replay: pages replaced, no event of the job, no Stripe event."""
    outcome = stage.run("re-ingest-job", {"jobId": scene.BATCH})
    assert outcome.view.result == {"ingestJobId": scene.BATCH, "documentsReprocessed": 3}
    job = outcome.picture.row("ingest_job", scene.BATCH)
    assert (job["status"], job["error"], job["failedAt"], job["processingAt"]) == ("COMPLETED", None, None, None)
    assert job["completedAt"] is not None
    documents = documents_of(outcome.picture, scene.BATCH)
    assert {row["status"] for row in documents} == {"COMPLETED"}
    assert all(row["completedAt"] != row["queuedAt"] for row in documents)
    assert scene.number(outcome.picture.row("document", scene.PAGED_DOCUMENT), "totalPages") < 1  # it was 12.5
    assert_counted(outcome.picture)
    expected = ["document.queued_for_resync"] * 3 + ["document.processing", "document.ready"] * 3
    assert sorted(outcome.picture.announced) == sorted(expected)
    assert outcome.picture.announced[:3] == ["document.queued_for_resync"] * 3
    stored = [str(row) for row in outcome.picture.vectors["as_nsone"].values()]
    assert [text for text in stored if any(f"Chunk 0 of {row_id}" in text for row_id in BATCH)] == []
    assert outcome.play.http.sent("https://api.stripe.com") == []


def test_old_vectors_go_before_new_ones_come(stage: Stage) -> None:
    outcome = stage.run("re-ingest-job", {"jobId": scene.SHARED})
    paths = [request.path for request in outcome.play.http.sent(scene.PINECONE_ORIGIN)]
    assert sorted(paths) == ["/vectors/delete"] * 2 + ["/vectors/upsert"] * 2
    assert paths[0] == "/vectors/delete"
    assert_counted(outcome.picture)


def test_an_ingest_job_that_is_gone(stage: Stage) -> None:
    outcome = stage.run("re-ingest-job", {"jobId": "cnone"})
    assert outcome.view.error is not None
    assert (outcome.view.status, outcome.view.error.message) == (JobStatus.FAILED, "Ingest job not found")
    assert outcome.picture.lines() == outcome.before.lines()


def test_the_announcement_shows_the_document_as_it_waits(stage: Stage) -> None:
    outcome = stage.run("re-ingest-job", {"jobId": scene.TENANT_JOB})
    (first, *_) = outcome.picture.tables["event"]
    data = msgspec.convert(msgspec.convert(first["payload"], Row)["data"], Row)
    assert (data["status"], data["totalPages"], data["error"]) == ("QUEUED_FOR_RESYNC", 0.045, None)


@pytest.mark.parametrize("status", ["QUEUED_FOR_DELETE", "DELETING", "CANCELLED"])
def test_an_ingest_job_that_is_being_deleted_stays_so(stage: Stage, status: str) -> None:
    async def prepare(play: Play) -> None:
        await play.admin.execute(
            """update ingest_job set status = $2::text::"IngestJobStatus" where id = $1""", scene.BATCH, status
        )

    outcome = stage.run("re-ingest-job", {"jobId": scene.BATCH}, prepare=prepare)
    assert outcome.view.result == {"ingestJobId": scene.BATCH, "documentsReprocessed": 0, "stopped": status}
    assert outcome.picture.tables["document"] == outcome.before.tables["document"]
    assert outcome.picture.announced == []


def test_nothing_is_processed_again_in_a_namespace_that_is_being_deleted(stage: Stage) -> None:
    async def prepare(play: Play) -> None:
        await play.admin.execute("update namespace set status = 'DELETING' where id = $1", scene.NAMESPACE)

    outcome = stage.run("re-ingest-job", {"jobId": scene.BATCH}, prepare=prepare)
    assert outcome.view.result == {"ingestJobId": scene.BATCH, "documentsReprocessed": 0, "stopped": "DELETING"}
    assert outcome.picture.tables["document"] == outcome.before.tables["document"]


def test_a_document_that_is_being_deleted_is_not_brought_back(stage: Stage) -> None:
    async def prepare(play: Play) -> None:
        await play.admin.execute("update document set status = 'DELETING' where id = $1", scene.TEXT_DOCUMENT)

    outcome = stage.run("re-ingest-job", {"jobId": scene.BATCH}, prepare=prepare)
    assert outcome.view.result == {"ingestJobId": scene.BATCH, "documentsReprocessed": 2}
    kept = outcome.picture.row("document", scene.TEXT_DOCUMENT)
    assert kept == outcome.before.row("document", scene.TEXT_DOCUMENT)


def test_the_platform_writes_its_request_late(stage: Stage) -> None:
    """It starts the run first, and would overwrite what the run has written by then (W-05)."""
    started: list[str] = []

    async def write(play: Play) -> bool:
        if not started:
            started.extend(play.world.objects)
        if play.world.clock.now_ms() - play.world.view(started[0]).created_at_ms < 1_000:
            return False
        await play.admin.execute(
            """update ingest_job set status = 'QUEUED_FOR_RESYNC', "queuedAt" = now() at time zone 'utc',
                "workflowRunsIds" = array_append("workflowRunsIds", $2) where id = $1""",
            scene.BATCH,
            started[0],
        )
        return True

    outcome = stage.run("re-ingest-job", {"jobId": scene.BATCH}, during=write)
    job = outcome.picture.row("ingest_job", scene.BATCH)
    assert (job["status"], job["workflowRunsIds"]) == ("COMPLETED", [outcome.view.id])


def test_two_runs_take_turns(stage: Stage) -> None:
    async def second(play: Play) -> bool:
        play.start("re-ingest-job", {"jobId": scene.BATCH})
        return True

    outcome = stage.run("re-ingest-job", {"jobId": scene.BATCH}, during=second)
    runs = msgspec.convert(outcome.picture.row("ingest_job", scene.BATCH)["workflowRunsIds"], list[str])
    first, later = (outcome.world.view(run_id) for run_id in runs)
    assert (first.status, later.status) == (JobStatus.COMPLETED, JobStatus.COMPLETED)
    assert later.result == {"ingestJobId": scene.BATCH, "documentsReprocessed": 3}
    assert outcome.picture.announced.count("document.ready") == 6
    assert_counted(outcome.picture)


def test_it_waits_for_an_ingestion_that_was_there_before(stage: Stage) -> None:
    async def before(play: Play) -> bool:
        ingestion = play.start("trigger-ingestion-job", {"jobId": scene.QUEUED})
        for _ in range(3):
            await play.world.step()
        play.start("re-ingest-job", {"jobId": scene.QUEUED})
        await play.world.run()
        assert play.world.view(ingestion).status is JobStatus.COMPLETED
        return True

    outcome = stage.run("reset-usage", {"plannedAt": "2020-01-01T12:00:00Z"}, during=before)
    (document,) = documents_of(outcome.picture, scene.QUEUED)
    assert document["status"] == "COMPLETED"
    assert outcome.picture.announced.count("document.ready") == 2
    assert_counted(outcome.picture)


def refusing(text: str, play: Play) -> None:
    """Have the embedding provider refuse texts with these words."""
    answer = play.http.routes[EMBEDDINGS_ORIGIN]

    def refuse(received: Received) -> Reply:
        if text.encode() in received.body:
            return json_reply({"error": {"message": "refused"}}, 400)
        return answer(received)

    play.http.routes[EMBEDDINGS_ORIGIN] = refuse


def fails_and_is_deleted(stage: Stage, settings: PlatformSettings) -> Outcome:
    """Re-ingest a document of 12.5 pages without success, and delete it."""

    async def prepare(play: Play) -> None:
        play.settings = msgspec.structs.replace(play.settings, platform=settings)
        play.world.services = play.services()
        refusing("Of some pages.", play)

    async def delete(play: Play) -> bool:
        await play.world.run()
        picture = await play.picture()
        job, failed = picture.row("ingest_job", scene.BATCH), picture.row("document", scene.PAGED_DOCUMENT)
        assert (job["status"], job["error"]) == ("FAILED", "Failed to process documents")
        assert (failed["status"], failed["completedAt"]) == ("FAILED", None)
        play.start("delete-document-job", {"documentId": scene.PAGED_DOCUMENT, "updateCounters": True})
        return True

    return stage.run("re-ingest-job", {"jobId": scene.BATCH}, prepare=prepare, during=delete)


def test_pages_of_a_document_that_failed_again_are_given_back_with_it(stage: Stage) -> None:
    """Its row no longer says that they were counted (W-10)."""
    outcome = fails_and_is_deleted(stage, PlatformSettings())
    assert outcome.picture.row("organization", scene.ORGANIZATION)["deletedPages"] == 2.5 + 12.5
    assert_counted(outcome.picture)


def test_the_platforms_way_of_counting_can_be_chosen(stage: Stage) -> None:
    outcome = fails_and_is_deleted(stage, PlatformSettings(page_accounting="original"))
    assert outcome.picture.row("organization", scene.ORGANIZATION)["deletedPages"] == 2.5


@pytest.mark.parametrize(("accounting", "documents", "pages"), [("exact", 1, 3.0), ("original", 0, 0.0)])
def test_a_page_over_the_quota_counts_once_it_is_processed(
    stage: Stage, accounting: str, documents: int, pages: float
) -> None:
    """It was not counted when it was refused, and its pages are in its row already (W-10)."""

    async def prepare(play: Play) -> None:
        settings = PlatformSettings.from_env({"PAGE_ACCOUNTING": accounting})
        play.settings = msgspec.structs.replace(play.settings, platform=settings)
        play.world.services = play.services()
        for page in (*scene.PAGES, scene.PAGE_OVER_QUOTA):
            metadata: Row = {"documentId": page, "page_url": "https://example.com/", "page_title": "A page"}
            chunk: Row = {"id": "0" * 36, "text": f"The text of {page}.", "metadata": {"sequence_number": 0}}
            file: Row = {"metadata": metadata, "total_chunks": 1, "total_characters": 40, "chunks": [chunk]}
            await play.buckets["blobs"].put(scene.chunks_key(scene.TURBOPUFFER, page), msgspec.json.encode(file))

    outcome = stage.run("re-ingest-job", {"jobId": scene.CRAWL}, prepare=prepare)
    assert outcome.picture.row("ingest_job", scene.CRAWL)["status"] == "COMPLETED"
    for table, row_id in (("namespace", scene.TURBOPUFFER), ("organization", scene.ORGANIZATION)):
        then, now = outcome.before.row(table, row_id), outcome.picture.row(table, row_id)
        assert scene.number(now, "totalDocuments") == scene.number(then, "totalDocuments") + documents
        assert scene.number(now, "totalPages") == pytest.approx(scene.number(then, "totalPages") + pages)


def test_a_failed_run_says_so(stage: Stage) -> None:
    async def without_a_table(play: Play) -> bool:
        await play.admin.execute("alter table wf.counted_document rename to away")
        try:
            await play.world.run()
        finally:
            await play.admin.execute("alter table wf.away rename to counted_document")
        return True

    outcome = stage.run("re-ingest-job", {"jobId": scene.BATCH}, during=without_a_table)
    job = outcome.picture.row("ingest_job", scene.BATCH)
    assert outcome.view.status is JobStatus.FAILED
    assert (job["status"], job["failedAt"] is not None) == ("FAILED", True)
    assert "counted_document" in str(job["error"])
