"""Deletes that gave up, were cancelled or were paused, and what becomes of their rows then."""

from __future__ import annotations

import pytest

from orchestrator.lifecycle import JobStatus
from orchestrator.model import RetryJob
from steps.platform.errors import DatabaseUnavailableError
from tests.embeddings.stub_server import Received, Reply, json_reply
from tests.platform import scene
from tests.platform.counting import assert_counted
from tests.platform.picture import Row
from tests.platform.stage import Play, Stage

DOWN = json_reply({"error": "down for maintenance"}, 503)
MINUTE_MS = 60_000


class Delete:
    """A delete of something whose vectors are in Turbopuffer, and the row that says so."""

    def __init__(self, workflow: str, payload: Row, table: str, row_id: str, after: str) -> None:
        self.workflow, self.payload, self.table, self.row_id = workflow, payload, table, row_id
        #: The row's status when the delete has given up.
        self.after = after


DELETES = [
    Delete(
        "delete-document-job", {"documentId": scene.VIDEO, "updateCounters": True}, "document", scene.VIDEO, "FAILED"
    ),
    Delete("delete-ingest-job", {"jobId": scene.CRAWL}, "ingest_job", scene.CRAWL, "FAILED"),
    Delete("delete-namespace-job", {"namespaceId": scene.TURBOPUFFER}, "namespace", scene.TURBOPUFFER, "ACTIVE"),
    Delete(
        "delete-organization-job",
        {"organizationId": scene.ORGANIZATION},
        "organization",
        scene.ORGANIZATION,
        "ACTIVE",
    ),
]
each_delete = pytest.mark.parametrize("delete", DELETES, ids=lambda delete: delete.table)


async def down(play: Play) -> None:
    play.http.routes[scene.TURBOPUFFER_ORIGIN] = lambda _: DOWN


def first(play: Play) -> str:
    return min(play.world.objects, key=lambda found: play.world.view(found).created_at_ms)


def test_a_page_over_the_quota_is_not_counted_off_when_its_deletion_gave_up_before(stage: Stage) -> None:
    """Its error said that it was never counted; the deletion that gives up writes another one (W-10)."""
    payload = {"documentId": scene.PAGE_OVER_QUOTA, "updateCounters": True}

    async def again(play: Play) -> bool:
        await play.world.run()
        row = (await play.picture()).row("document", scene.PAGE_OVER_QUOTA)
        assert (row["status"], row["error"]) == ("FAILED", "down for maintenance")
        play.http.routes[scene.TURBOPUFFER_ORIGIN] = play.turbopuffer
        play.start("delete-document-job", payload)
        return True

    outcome = stage.run("delete-document-job", payload, prepare=down, during=again)
    assert scene.PAGE_OVER_QUOTA not in outcome.picture.ids("document")
    assert_counted(outcome.picture)
    assert outcome.picture.tables["counted"] == []


@each_delete
def test_a_retried_delete_marks_its_row_again(stage: Stage, delete: Delete) -> None:
    """Else whatever the platform starts meanwhile finds a row that may be worked on (W-05)."""
    statuses: set[object] = set()

    async def retry(play: Play) -> bool:
        await play.world.run()
        assert play.world.view(first(play)).status is JobStatus.FAILED
        assert (await play.picture()).row(delete.table, delete.row_id)["status"] == delete.after

        asked: list[bool] = []

        def answer(received: Received) -> Reply:
            asked.append(True)
            return play.turbopuffer(received)

        async def look(_operation: int) -> None:
            rows = {row["id"]: row for row in (await play.picture()).tables[delete.table]}
            if asked and delete.row_id in rows:
                statuses.add(rows[delete.row_id]["status"])

        play.http.routes[scene.TURBOPUFFER_ORIGIN] = answer
        play.database.meanwhile = look
        play.world.call(first(play), lambda engine: engine.retry(RetryJob()))
        return True

    outcome = stage.run(delete.workflow, delete.payload, prepare=down, during=retry)
    assert delete.row_id not in outcome.picture.ids(delete.table)
    assert statuses == {"DELETING"}
    if delete.table == "organization":
        assert outcome.picture.ids("organization") == [scene.OTHER_ORGANIZATION]
    assert_counted(outcome.picture)


@each_delete
def test_no_row_stays_deleting_when_the_database_is_away_for_long(stage: Stage, delete: Delete) -> None:
    """The delete gives up after some minutes, and its hook finds the database away, too (W-01)."""

    async def prepare(play: Play) -> None:
        await down(play)
        began_ms, gone = play.world.clock.now_ms(), MINUTE_MS

        async def meanwhile(_operation: int) -> None:
            if gone < play.world.clock.now_ms() - began_ms < 3 * 60 * MINUTE_MS:
                raise DatabaseUnavailableError("the database is away", sqlstate="57P01")

        play.database.meanwhile = meanwhile

    outcome = stage.run(delete.workflow, delete.payload, prepare=prepare)
    assert outcome.view.status is JobStatus.FAILED
    assert outcome.picture.row(delete.table, delete.row_id)["status"] == delete.after
    for table in ("document", "ingest_job", "namespace", "organization"):
        assert "DELETING" not in {row["status"] for row in outcome.picture.tables[table]}
    assert_counted(outcome.picture)
