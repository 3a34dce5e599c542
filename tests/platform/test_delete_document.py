"""``delete-document-job`` on the standard scene."""

from __future__ import annotations

from collections import deque

import pytest

from orchestrator.lifecycle import JobStatus
from orchestrator.model import RetryJob
from tests.embeddings.stub_server import Received, Reply, json_reply
from tests.platform import scene
from tests.platform.counting import assert_counted
from tests.platform.picture import Picture, Row, settled
from tests.platform.stage import Outcome, Play, Stage

FILE_KEYS = {scene.PAGED_KEY, scene.chunks_key(scene.NAMESPACE, scene.PAGED_DOCUMENT)}
DOWN = json_reply({"error": "down for maintenance"}, 503)


def request(document_id: str, **options: bool) -> Row:
    return {"documentId": document_id, "updateCounters": True, **options}


def gone(outcome: Outcome, table: str) -> set[str]:
    return set(outcome.before.ids(table)) - set(outcome.picture.ids(table))


def lost_objects(outcome: Outcome, bucket: str = "blobs") -> set[str]:
    return set(outcome.before.objects[bucket]) - set(outcome.picture.objects[bucket])


def lost_vectors(outcome: Outcome) -> set[str]:
    def ids(picture: Picture) -> set[str]:
        return {row_id for rows in picture.vectors.values() for row_id in rows}

    return ids(outcome.before) - ids(outcome.picture)


def test_a_document_goes_with_all_that_belongs_to_it(stage: Stage) -> None:
    """Scenario 8 of domain.md §9.4, up to the cycle's end."""
    outcome = stage.run("delete-document-job", request(scene.PAGED_DOCUMENT))
    assert outcome.view.result == {
        "documentId": scene.PAGED_DOCUMENT,
        "deleted": True,
        "vectorChunksDeleted": 2,
        "pagesDeleted": 12.5,
    }
    assert gone(outcome, "document") == {scene.PAGED_DOCUMENT}
    assert lost_objects(outcome) == FILE_KEYS
    assert len(lost_objects(outcome, "images")) == 3
    assert {row_id.partition("#")[0] for row_id in lost_vectors(outcome)} == {scene.PAGED_DOCUMENT}
    assert_counted(outcome.picture)
    before = outcome.before.row("organization", scene.ORGANIZATION)
    after = outcome.picture.row("organization", scene.ORGANIZATION)
    assert after["totalPages"] == before["totalPages"]
    assert after["deletedPages"] == 15.0
    assert gone(outcome, "ingest_job") == set()


def test_the_deletion_is_announced_with_the_row_as_it_was(stage: Stage) -> None:
    outcome = stage.run("delete-document-job", request(scene.PAGED_DOCUMENT))
    (event,) = outcome.picture.tables["event"]
    assert (event["event"], event["subject"]) == ("document.deleted", scene.PAGED_DOCUMENT)
    payload = settled(event["payload"])
    assert payload == {
        "id": event["id"],
        "event": "document.deleted",
        "createdAt": "a time",
        "data": {
            "id": f"doc_{scene.PAGED_DOCUMENT}",
            "name": "paged.md",
            "namespaceId": f"ns_{scene.NAMESPACE}",
            "organizationId": f"org_{scene.ORGANIZATION}",
            "status": "DELETING",
            "source": {"type": "MANAGED_FILE", "key": scene.PAGED_KEY},
            "totalCharacters": 45,
            "totalChunks": 2,
            "totalPages": 12.5,
            "error": None,
            "createdAt": "a time",
            "updatedAt": "a time",
        },
    }


def test_a_parent_may_keep_counters_and_webhooks_to_itself(stage: Stage) -> None:
    outcome = stage.run("delete-document-job", {"documentId": scene.PAGED_DOCUMENT, "skipWebhooks": True})
    assert gone(outcome, "document") == {scene.PAGED_DOCUMENT}
    assert outcome.picture.announced == []
    for table in ("namespace", "organization"):
        assert outcome.picture.tables[table] == outcome.before.tables[table]


def test_a_document_that_is_gone(stage: Stage) -> None:
    outcome = stage.run("delete-document-job", request("cnone"))
    assert outcome.view.result == {"documentId": "cnone", "deleted": False, "reason": "Document not found"}
    assert outcome.picture.lines() == outcome.before.lines()


@pytest.mark.parametrize("document_id", [scene.PAGES[0], scene.PAGE_OVER_QUOTA, scene.VIDEO, scene.WAITING_DOCUMENT])
def test_documents_of_every_kind(stage: Stage, document_id: str) -> None:
    outcome = stage.run("delete-document-job", request(document_id))
    assert gone(outcome, "document") == {document_id}
    assert {row_id.partition("#")[0] for row_id in lost_vectors(outcome)} <= {document_id}
    assert not any(document_id in key for key in outcome.picture.objects["blobs"])
    assert_counted(outcome.picture)


def test_a_file_that_another_document_needs_stays_until_that_one_goes(stage: Stage) -> None:
    first, second = scene.SHARED_DOCUMENTS

    async def then_the_other(play: Play) -> bool:
        await play.world.run()
        assert scene.SHARED_KEY in (await play.picture()).objects["blobs"]
        play.start("delete-document-job", request(second))
        return True

    outcome = stage.run("delete-document-job", request(first), during=then_the_other)
    assert gone(outcome, "document") == {first, second}
    assert scene.SHARED_KEY not in outcome.picture.objects["blobs"]
    assert_counted(outcome.picture)


def test_two_documents_of_one_file_that_go_together_take_it_along(stage: Stage) -> None:
    first, second = scene.SHARED_DOCUMENTS

    async def both(play: Play) -> bool:
        play.start("delete-document-job", request(second))
        return True

    outcome = stage.run("delete-document-job", request(first), during=both)
    assert gone(outcome, "document") == {first, second}
    assert scene.SHARED_KEY not in outcome.picture.objects["blobs"]


def test_another_documents_chunk_file_is_not_ones_own(stage: Stage) -> None:
    """The platform takes any key under the namespace's name for a managed file (W-18)."""
    foreign = scene.chunks_key(scene.NAMESPACE, scene.TEXT_DOCUMENT)

    async def claim(play: Play) -> None:
        await play.admin.execute(
            "update document set source = jsonb_build_object('type', 'MANAGED_FILE', 'key', $2::text) where id = $1",
            scene.PAGED_DOCUMENT,
            foreign,
        )

    outcome = stage.run("delete-document-job", request(scene.PAGED_DOCUMENT), prepare=claim)
    assert lost_objects(outcome) == {scene.chunks_key(scene.NAMESPACE, scene.PAGED_DOCUMENT)}


def test_vectors_are_removed_where_a_namespace_keeps_them(stage: Stage) -> None:
    pinecone = stage.run("delete-document-job", request(scene.SHARED_DOCUMENTS[0]))
    (sent,) = pinecone.play.http.sent(scene.PINECONE_ORIGIN)
    assert (sent.path, sent.json()) == (
        "/vectors/delete",
        {"filter": {"documentId": scene.SHARED_DOCUMENTS[0]}, "namespace": "agentset:nstwo"},
    )
    assert "vectorChunksDeleted" not in str(pinecone.view.result)
    turbopuffer = stage.run("delete-document-job", request(scene.VIDEO))
    (sent,) = turbopuffer.play.http.sent(scene.TURBOPUFFER_ORIGIN)
    assert (sent.path, sent.json()) == (
        "/v2/namespaces/as_nsthree_tenant1",
        {"delete_by_filter": ["And", [["documentId", "Eq", scene.VIDEO]]]},
    )


def test_deletes_at_pinecone_keep_to_its_limit_together(stage: Stage) -> None:
    """Deletes and clean-ups of re-ingestions take from one bucket per namespace (W-19)."""
    moments: list[int] = []

    async def many(play: Play) -> bool:
        def note(received: Received) -> Reply:
            if received.path == "/vectors/delete":
                moments.append(play.world.clock.now_ms())
            return play.pinecone(received)

        play.http.routes[scene.PINECONE_ORIGIN] = note
        for _ in range(8):
            play.start("delete-document-job", request(scene.SHARED_DOCUMENTS[0]))
            child = {"documentId": scene.SHARED_DOCUMENTS[1], "ingestJobId": scene.SHARED, "cleanup": True}
            play.start("trigger-document-job", child)
        return True

    outcome = stage.run("delete-document-job", request(scene.SHARED_DOCUMENTS[0]), during=many)
    assert len(moments) >= 8
    assert all(later - earlier >= 1_000 for earlier, later in zip(moments, moments[5:], strict=False))
    assert set(outcome.world.lanes.by_name) >= {"rate/pinecone-delete/nstwo"}


def test_a_store_that_is_down_is_waited_for(stage: Stage) -> None:
    async def fail(play: Play) -> None:
        play.http.faults[scene.TURBOPUFFER_ORIGIN] = deque([DOWN] * 5)

    outcome = stage.run("delete-document-job", request(scene.VIDEO), prepare=fail)
    assert outcome.view.status is JobStatus.COMPLETED
    assert gone(outcome, "document") == {scene.VIDEO}
    assert_counted(outcome.picture)


@pytest.mark.parametrize("again", ["another request", "the job is retried"])
def test_a_delete_that_gives_up_can_be_asked_for_again(stage: Stage, again: str) -> None:
    """No row stays DELETING, which the platform takes for "already being deleted" (W-01)."""

    async def fail(play: Play) -> None:
        play.http.faults[scene.TURBOPUFFER_ORIGIN] = deque([DOWN] * 8)

    async def ask_again(play: Play) -> bool:
        await play.world.run()
        (job_id,) = play.world.objects
        row = (await play.picture()).row("document", scene.VIDEO)
        assert play.world.view(job_id).status is JobStatus.FAILED
        assert (row["status"], row["error"]) == ("FAILED", "down for maintenance")
        assert row["failedAt"] is not None
        if again == "another request":
            play.start("delete-document-job", request(scene.VIDEO))
        else:
            play.world.call(job_id, lambda engine: engine.retry(RetryJob()))
        return True

    outcome = stage.run("delete-document-job", request(scene.VIDEO), prepare=fail, during=ask_again)
    assert gone(outcome, "document") == {scene.VIDEO}
    assert_counted(outcome.picture)
    assert outcome.picture.row("organization", scene.ORGANIZATION)["deletedPages"] == 4.5


def test_a_cancelled_delete_can_be_asked_for_again(stage: Stage) -> None:
    async def fail(play: Play) -> None:
        play.http.faults[scene.TURBOPUFFER_ORIGIN] = deque([DOWN] * 3)

    async def cancel(play: Play) -> bool:
        for _ in range(3):
            await play.world.step()
        (job_id,) = play.world.objects
        play.world.call(job_id, lambda engine: engine.cancel("not now"))
        return True

    outcome = stage.run("delete-document-job", request(scene.VIDEO), prepare=fail, during=cancel)
    row = outcome.picture.row("document", scene.VIDEO)
    assert (row["status"], row["error"]) == ("FAILED", "not now")
    assert gone(outcome, "document") == set()


def test_two_requests_count_and_announce_once(stage: Stage) -> None:
    async def twice(play: Play) -> bool:
        play.start("delete-document-job", request(scene.PAGED_DOCUMENT))
        return True

    outcome = stage.run("delete-document-job", request(scene.PAGED_DOCUMENT), during=twice)
    assert outcome.picture.announced == ["document.deleted"]
    assert_counted(outcome.picture)
