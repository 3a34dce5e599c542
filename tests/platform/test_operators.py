"""Operators cancel, pause, resume and retry whatever is under way while deletes at every level meet ingestion."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from orchestrator.errors import OrchestratorError
from orchestrator.lifecycle import TERMINAL, JobStatus
from orchestrator.model import RetryJob
from steps.platform.ids import demo_job_id
from tests.embeddings.stub_server import Received, Reply, json_reply
from tests.platform import scene
from tests.platform.counting import assert_counted
from tests.platform.picture import Row
from tests.platform.stage import Play, Stage

DOWN = json_reply({"error": "down for maintenance"}, 503)
DEMO: Row = {
    "namespaceId": scene.TURBOPUFFER,
    "organizationId": scene.ORGANIZATION,
    "templateId": "technical-documentation",
}
REQUESTS: list[tuple[str, Row]] = [
    *(("re-ingest-job", {"jobId": row_id}) for row_id in (scene.BATCH, scene.SHARED, scene.CRAWL, scene.YOUTUBE)),
    ("trigger-ingestion-job", {"jobId": scene.QUEUED}),
    ("seed-demo-namespace", DEMO),
    *(
        ("delete-document-job", {"documentId": row_id, "updateCounters": True})
        for row_id in (scene.PAGED_DOCUMENT, scene.SHARED_DOCUMENTS[0], scene.PAGE_OVER_QUOTA, scene.VIDEO)
    ),
    *(
        ("delete-ingest-job", {"jobId": row_id})
        for row_id in (
            scene.QUEUED,
            scene.BATCH,
            scene.CRAWL,
            scene.YOUTUBE,
            demo_job_id(scene.TURBOPUFFER, "technical-documentation"),
        )
    ),
    *(("delete-namespace-job", {"namespaceId": row_id}) for row_id in (scene.NAMESPACE, scene.TURBOPUFFER)),
    ("delete-organization-job", {"organizationId": scene.ORGANIZATION}),
]


class Operators:
    """Start jobs and act on them at random; the vector stores fail now and then.

    Args:
        seed: of all that.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.acts = 40

    async def prepare(self, play: Play) -> None:
        for origin, healthy in list(play.http.routes.items()):
            if origin in (scene.TURBOPUFFER_ORIGIN, scene.PINECONE_ORIGIN):
                play.http.routes[origin] = self._flaky(healthy)

    def _flaky(self, healthy: Callable[[Received], Reply]) -> Callable[[Received], Reply]:
        bad = self.random.choice(scene.rows()["document"])["id"]

        def answer(received: Received) -> Reply:
            poisoned = self.acts > 0 and str(bad).encode() in received.body
            return DOWN if poisoned or (self.acts > 0 and self.random.random() < 0.2) else healthy(received)

        return answer

    async def work(self, play: Play) -> None:
        """Act some times, and leave everything to itself then: nothing fails or is paused any more."""
        while self.acts:
            self._act(play)
            self.acts -= 1
            for _ in range(self.random.randrange(6)):
                await play.world.step()
        for job_id in list(play.world.objects):
            if play.world.view(job_id).status is JobStatus.PAUSED:
                play.world.call(job_id, lambda engine: engine.resume())
        await play.world.run()

    def _act(self, play: Play) -> None:
        ids = sorted(play.world.objects)
        if self.random.random() < 0.4:
            play.start(*self.random.choice(REQUESTS))
            return
        job_id = self.random.choice(ids)
        status = play.world.view(job_id).status
        try:
            if status in TERMINAL:
                play.world.call(job_id, lambda engine: engine.retry(RetryJob()))
            elif status is JobStatus.PAUSED:
                play.world.call(job_id, lambda engine: engine.resume())
            elif self.random.random() < 0.5:
                play.world.call(job_id, lambda engine: engine.cancel("not now"))
            else:
                play.world.call(job_id, lambda engine: engine.pause())
        except OrchestratorError:
            pass  # not in this state


@pytest.mark.parametrize("seed", range(8))
def test_whatever_operators_do_the_last_delete_leaves_nothing(stage: Stage, seed: int) -> None:
    operators = Operators(seed)

    async def then_delete(play: Play) -> bool:
        await operators.work(play)
        picture = await play.picture()
        assert_counted(picture)
        busy = {"DELETING", "QUEUED_FOR_DELETE"}
        for table in ("document", "ingest_job", "namespace", "organization"):
            assert not busy & {str(row["status"]) for row in picture.tables[table]}, table
        kept = set(picture.ids("document"))
        stored = {row_id.partition("#")[0] for rows in picture.vectors.values() for row_id in rows}
        assert stored <= kept
        files = [key.split("/") for bucket in picture.objects.values() for key in bucket if "/documents/" in key]
        assert {file[3] for file in files} <= kept
        play.start("delete-organization-job", {"organizationId": scene.ORGANIZATION})
        return True

    first = {"documentId": scene.TEXT_DOCUMENT, "updateCounters": True}
    outcome = stage.run("delete-document-job", first, prepare=operators.prepare, during=then_delete)
    assert outcome.picture.ids("organization") == [scene.OTHER_ORGANIZATION]
    assert list(outcome.picture.vectors) == ["as_nsother"]
    assert [key for key in outcome.picture.objects["blobs"] if f"/{scene.OTHER_NAMESPACE}/" not in key] == []
    assert (outcome.picture.objects["images"], outcome.picture.objects["assets"]) == ({}, {})
    assert outcome.picture.tables["counted"] == []
