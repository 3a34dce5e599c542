"""``delete-ingest-job``, ``delete-namespace-job`` and ``delete-organization-job`` on the standard scene."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from orchestrator.lifecycle import JobStatus
from orchestrator.model import RetryJob
from steps.platform.settings import PlatformSettings
from tests.embeddings.stub_server import Received, Reply, json_reply
from tests.platform import scene
from tests.platform.counting import assert_counted
from tests.platform.picture import Picture, Row
from tests.platform.stage import Outcome, Play, Stage

DOWN = json_reply({"error": "down for maintenance"}, 503)


def gone(outcome: Outcome, table: str) -> set[str]:
    return set(outcome.before.ids(table)) - set(outcome.picture.ids(table))


def documents_of(picture: Picture, ingest_job_id: str) -> set[str]:
    return {str(row["id"]) for row in picture.tables["document"] if row["ingestJobId"] == ingest_job_id}


def assert_nothing_left_of(picture: Picture, document_ids: set[str]) -> None:
    """Assert that no vector and no object of these documents is left."""
    vectors = {row_id.partition("#")[0] for rows in picture.vectors.values() for row_id in rows}
    assert vectors & document_ids == set()
    keys = [key for bucket in picture.objects.values() for key in bucket]
    assert [key for key in keys if any(document_id in key for document_id in document_ids)] == []


def failing(document_id: str, times: int) -> Callable[[Play], Awaitable[None]]:
    """Return a preparation after which Turbopuffer fails deletes of one document so often."""

    async def prepare(play: Play) -> None:
        left = [times]

        def answer(received: Received) -> Reply:
            if document_id.encode() in received.body and left[0]:
                left[0] -= 1
                return DOWN
            return play.turbopuffer(received)

        play.http.routes[scene.TURBOPUFFER_ORIGIN] = answer

    return prepare


@pytest.mark.parametrize(
    "ingest_job_id",
    [scene.QUEUED, scene.BATCH, scene.FAILED, scene.TENANT_JOB, scene.PROCESSING, scene.SHARED, scene.CRAWL],
)
def test_an_ingest_job_goes_with_its_documents(stage: Stage, ingest_job_id: str) -> None:
    outcome = stage.run("delete-ingest-job", {"jobId": ingest_job_id})
    assert outcome.view.result == {"jobId": ingest_job_id, "deleted": True}
    documents = documents_of(outcome.before, ingest_job_id)
    assert (gone(outcome, "ingest_job"), gone(outcome, "document")) == ({ingest_job_id}, documents)
    assert_nothing_left_of(outcome.picture, documents)
    assert_counted(outcome.picture)
    assert outcome.picture.announced.count("document.deleted") == len(documents)
    assert outcome.picture.announced[-1] == "ingest_job.deleted"
    data = msgspec.convert(outcome.picture.tables["event"][-1]["payload"], Row)["data"]
    assert msgspec.convert(data, Row)["status"] == "DELETING"


def test_an_ingest_job_that_is_gone(stage: Stage) -> None:
    outcome = stage.run("delete-ingest-job", {"jobId": "cnone"})
    assert outcome.view.result == {"jobId": "cnone", "deleted": False, "reason": "Ingest job not found"}
    assert outcome.picture.lines() == outcome.before.lines()


def test_nothing_is_announced_when_asked_not_to(stage: Stage) -> None:
    for ingest_job_id in (scene.BATCH, scene.SHARED):
        outcome = stage.run("delete-ingest-job", {"jobId": ingest_job_id, "skipWebhooks": True})
        assert outcome.picture.announced == []
        assert_counted(outcome.picture)


@pytest.mark.parametrize("times", [1, 3, 8])
def test_one_document_that_fails_keeps_its_ingest_job(stage: Stage, times: int) -> None:
    """Scenario 7 of domain.md §9.4: the job comes back to it, and the counters are exact (W-06, W-07)."""
    outcome = stage.run("delete-ingest-job", {"jobId": scene.CRAWL}, prepare=failing(scene.PAGES[1], times))
    assert outcome.view.result == {"jobId": scene.CRAWL, "deleted": True}
    assert_nothing_left_of(outcome.picture, documents_of(outcome.before, scene.CRAWL))
    assert_counted(outcome.picture)
    assert outcome.picture.row("organization", scene.ORGANIZATION)["deletedPages"] == pytest.approx(2.5 + 1.9)


@pytest.mark.parametrize("again", ["another request", "the job is retried"])
@pytest.mark.parametrize("ingest_job_id", [scene.CRAWL, scene.SHARED])
def test_a_delete_that_gives_up_fails_in_sight(stage: Stage, ingest_job_id: str, again: str) -> None:
    """Nothing that is left is lost sight of, and it can be asked for again (W-01, W-07)."""
    document_id = scene.PAGES[1] if ingest_job_id == scene.CRAWL else scene.SHARED_DOCUMENTS[1]

    async def prepare(play: Play) -> None:
        healthy = dict(play.http.routes)

        def fails(origin: str) -> Callable[[Received], Reply]:
            return lambda received: DOWN if document_id.encode() in received.body else healthy[origin](received)

        play.http.routes = {origin: fails(origin) for origin in healthy}

    async def ask_again(play: Play) -> bool:
        await play.world.run()
        job_id = min(play.world.objects, key=lambda found: play.world.view(found).created_at_ms)
        view, picture = play.world.view(job_id), await play.picture()
        assert view.status is JobStatus.FAILED
        assert picture.row("ingest_job", ingest_job_id)["status"] == "FAILED"
        assert "down for maintenance" in str(view.error) + str(picture.row("document", document_id)["error"])
        left = [row for row in picture.tables["document"] if row["ingestJobId"] == ingest_job_id]
        assert document_id in [row["id"] for row in left]
        assert {row["status"] for row in left} == {"FAILED"}
        assert_counted(picture)
        play.http.routes[scene.TURBOPUFFER_ORIGIN] = play.turbopuffer
        play.http.routes[scene.PINECONE_ORIGIN] = play.pinecone
        if again == "another request":
            play.start("delete-ingest-job", {"jobId": ingest_job_id})
        else:
            play.world.call(job_id, lambda engine: engine.retry(RetryJob()))
        return True

    outcome = stage.run("delete-ingest-job", {"jobId": ingest_job_id}, prepare=prepare, during=ask_again)
    assert gone(outcome, "ingest_job") == {ingest_job_id}
    assert_nothing_left_of(outcome.picture, documents_of(outcome.before, ingest_job_id))
    assert_counted(outcome.picture)
    assert outcome.picture.announced.count("ingest_job.deleted") == 1


def test_a_namespace_goes_with_everything_under_its_name(stage: Stage) -> None:
    outcome = stage.run("delete-namespace-job", {"namespaceId": scene.NAMESPACE})
    assert outcome.view.result == {"namespaceId": scene.NAMESPACE, "deleted": True}
    after = outcome.picture
    assert gone(outcome, "namespace") == {scene.NAMESPACE}
    assert {str(row["namespaceId"]) for row in after.tables["document"]} == {"nstwo", "nsthree", "nsother"}
    assert [after.tables[name] for name in ("Hosting", "Domain", "connection")] == [[], [], []]
    assert (after.objects["assets"], after.objects["images"]) == ({}, {})
    assert [key for key in after.objects["blobs"] if key.startswith(f"namespaces/{scene.NAMESPACE}/")] == []
    assert sorted(after.vectors) == ["agentset:nstwo", "as_nsother", "as_nsthree", "as_nsthree_tenant1"]
    assert_counted(after)
    assert after.announced == []


def test_a_namespace_that_is_gone(stage: Stage) -> None:
    outcome = stage.run("delete-namespace-job", {"namespaceId": "none"})
    assert outcome.view.result == {"namespaceId": "none", "deleted": False, "reason": "Namespace not found"}
    assert outcome.picture.lines() == outcome.before.lines()


def test_a_webhook_that_loses_its_last_namespace_is_disabled(stage: Stage) -> None:
    """It would be told of everything in the organization instead (W-08)."""
    outcome = stage.run("delete-namespace-job", {"namespaceId": scene.NAMESPACE})
    webhooks = {row["id"]: row["disabledAt"] is None for row in outcome.picture.tables["Webhook"]}
    assert webhooks == {
        scene.EVERYWHERE: True,
        scene.SCOPED: False,
        scene.SCOPED_TWICE: True,
        scene.DISABLED: False,
    }
    assert outcome.picture.ids("NamespaceWebhook") == ["l3"]
    assert outcome.picture.row("organization", scene.ORGANIZATION)["webhookEnabled"] is True


def test_delivery_ends_with_the_last_webhook(stage: Stage) -> None:
    async def only_scoped(play: Play) -> None:
        await play.admin.execute("""delete from "Webhook" where id <> $1""", scene.SCOPED)

    outcome = stage.run("delete-namespace-job", {"namespaceId": scene.NAMESPACE}, prepare=only_scoped)
    assert outcome.picture.row("organization", scene.ORGANIZATION)["webhookEnabled"] is False
    assert outcome.picture.row("organization", scene.OTHER_ORGANIZATION)["webhookEnabled"] is True


@pytest.mark.parametrize(
    ("workflow", "payload"),
    [
        ("delete-namespace-job", {"namespaceId": scene.NAMESPACE}),
        ("delete-organization-job", {"organizationId": scene.ORGANIZATION}),
    ],
)
def test_the_platform_reads_its_webhooks_again(stage: Stage, workflow: str, payload: Row) -> None:
    outcome = stage.run(workflow, payload)
    assert set(outcome.before.redis) - set(outcome.picture.redis) == {f"webhook:org:{scene.ORGANIZATION}"}


def test_leftovers_of_a_namespace_may_be_kept(stage: Stage) -> None:
    async def keep(play: Play) -> None:
        platform = PlatformSettings(namespace_leftovers="keep", assets_url=scene.ASSETS_URL)
        play.settings = msgspec.structs.replace(play.settings, platform=platform)
        play.world.services = play.services()

    outcome = stage.run("delete-namespace-job", {"namespaceId": scene.TURBOPUFFER}, prepare=keep)
    assert {request.method for request in outcome.play.http.sent(scene.TURBOPUFFER_ORIGIN)} == {"POST"}
    outcome = stage.run("delete-namespace-job", {"namespaceId": scene.NAMESPACE}, prepare=keep)
    assert gone(outcome, "namespace") == {scene.NAMESPACE}
    assert scene.UNUSED_KEY in outcome.picture.objects["blobs"]
    outcome = stage.run("delete-namespace-job", {"namespaceId": scene.TURBOPUFFER})
    dropped = [request.path for request in outcome.play.http.sent(scene.TURBOPUFFER_ORIGIN) if request.method != "POST"]
    assert dropped == ["/v2/namespaces/as_nsthree", "/v2/namespaces/as_nsthree_tenant1"]


def test_an_organization_goes_and_nothing_else(stage: Stage) -> None:
    outcome = stage.run("delete-organization-job", {"organizationId": scene.ORGANIZATION})
    assert outcome.view.result == {"organizationId": scene.ORGANIZATION, "deleted": True}
    after = outcome.picture
    assert after.ids("organization") == [scene.OTHER_ORGANIZATION]
    assert {name: len(rows) for name, rows in after.tables.items() if rows} == {
        "organization": 1,
        "user": 1,
        "namespace": 1,
        "ingest_job": 1,
        "document": 1,
    }
    assert list(after.objects["blobs"]) == [
        key for key in outcome.before.objects["blobs"] if f"/{scene.OTHER_NAMESPACE}/" in key
    ]
    assert (after.objects["images"], after.objects["assets"], list(after.vectors)) == ({}, {}, ["as_nsother"])
    other = [row for row in outcome.before.tables["organization"] if row["id"] == scene.OTHER_ORGANIZATION]
    assert after.tables["organization"] == other


def test_an_organization_that_is_gone(stage: Stage) -> None:
    outcome = stage.run("delete-organization-job", {"organizationId": "none"})
    assert outcome.view.result == {"organizationId": "none", "deleted": False, "reason": "Organization not found"}
    assert outcome.picture.lines() == outcome.before.lines()


def test_one_document_that_cannot_be_deleted_keeps_all_above_it(stage: Stage) -> None:
    async def ask_again(play: Play) -> bool:
        await play.world.run()
        picture = await play.picture()
        assert picture.row("organization", scene.ORGANIZATION)["status"] == "ACTIVE"
        assert picture.row("namespace", scene.TURBOPUFFER)["status"] == "ACTIVE"
        assert picture.row("ingest_job", scene.CRAWL)["status"] == "FAILED"
        assert documents_of(picture, scene.CRAWL) == {scene.PAGES[1]}
        assert_counted(picture)
        play.http.routes[scene.TURBOPUFFER_ORIGIN] = play.turbopuffer
        play.start("delete-organization-job", {"organizationId": scene.ORGANIZATION})
        return True

    payload = {"organizationId": scene.ORGANIZATION}
    outcome = stage.run(
        "delete-organization-job", payload, prepare=failing(scene.PAGES[1], 1_000_000), during=ask_again
    )
    assert outcome.view.status is JobStatus.FAILED
    assert outcome.picture.ids("organization") == [scene.OTHER_ORGANIZATION]
    assert list(outcome.picture.vectors) == ["as_nsother"]


def test_what_is_added_meanwhile_is_deleted_too(stage: Stage) -> None:
    """The platform takes new ingest jobs for a namespace whose deletion it has forgotten (W-05)."""

    async def add(play: Play) -> bool:
        await play.world.step()
        await play.admin.execute(
            """insert into ingest_job (id, "namespaceId", status, payload, "createdAt", "updatedAt")
            values ('c0late', $1, 'QUEUED', '{"type": "TEXT", "text": "late"}', '2020-01-01', '2020-01-01')""",
            scene.TURBOPUFFER,
        )
        await play.admin.execute(
            """update namespace set "totalIngestJobs" = "totalIngestJobs" + 1 where id = $1""", scene.TURBOPUFFER
        )
        await play.admin.execute(
            """update organization set "totalIngestJobs" = "totalIngestJobs" + 1 where id = $1""", scene.ORGANIZATION
        )
        play.start("trigger-ingestion-job", {"jobId": "c0late"})
        return (await play.picture()).row("namespace", scene.TURBOPUFFER)["status"] == "DELETING"

    outcome = stage.run("delete-namespace-job", {"namespaceId": scene.TURBOPUFFER}, during=add)
    assert gone(outcome, "namespace") == {scene.TURBOPUFFER}
    assert_counted(outcome.picture)
