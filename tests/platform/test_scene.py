"""The standard scene is what it says."""

from __future__ import annotations

import pytest

from orchestrator.ports import Database
from tests.platform import scene
from tests.platform.picture import differences
from tests.platform.stage import Play, Stage


def test_the_scene_is_complete_and_counted(stage: Stage, database_url: str) -> None:
    async def body(admin: Database) -> None:
        play = Play(database_url, admin, before=0, after=0, always_replay=False)
        await scene.seed(admin, play.buckets, play.http)
        found = await play.picture()
        assert {name: len(rows) for name, rows in found.tables.items() if name in scene.rows()} == {
            name: len(rows) for name, rows in scene.rows().items()
        }
        organization = found.row("organization", scene.ORGANIZATION)
        assert (organization["totalNamespaces"], organization["totalIngestJobs"]) == (3, 8)
        assert organization["totalDocuments"] == 12
        assert organization["totalPages"] == pytest.approx(12.618 + 2.5 + 2.5 + 3.9)
        assert {name: len(rows) for name, rows in found.vectors.items()} == {
            "as_nsone": 6,
            "as_nsone_tenant1": 2,
            "as_nsother": 2,
            "agentset:nstwo": 4,
            "as_nsthree": 4,
            "as_nsthree_tenant1": 2,
        }
        assert {name: len(keys) for name, keys in found.objects.items()} == {"blobs": 13, "images": 3, "assets": 2}
        await scene.seed(admin, Play(database_url, admin, before=0, after=0, always_replay=False).buckets, play.http)
        assert differences(await play.picture(), found) == []

    stage.with_database(body)


def test_a_workflow_runs_on_the_scene(stage: Stage) -> None:
    outcome = stage.run("trigger-ingestion-job", {"jobId": scene.QUEUED, "organizationId": scene.ORGANIZATION})
    assert outcome.view.result == {"ingestionJobId": scene.QUEUED, "documentsCreated": 1}
    assert outcome.picture.row("ingest_job", scene.QUEUED)["status"] == "COMPLETED"
    assert outcome.picture.announced[-1] == "ingest_job.ready"
    assert len(outcome.picture.tables["document"]) == len(outcome.before.tables["document"]) + 1
