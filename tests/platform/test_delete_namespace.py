"""Namespaces of the public API: made without being counted, and deleted with an answer of 500 (W-24, W-28)."""

from __future__ import annotations

import msgspec
import pytest

from steps.platform.settings import PlatformSettings
from tests.platform import scene
from tests.platform.counting import assert_counted
from tests.platform.stage import Outcome, Play, Stage

MADE_BY_API = "nsapi"
PAYLOAD = {"namespaceId": MADE_BY_API}


async def made_by_api(play: Play) -> None:
    """Make a namespace as the public API does, which leaves the organization's counter alone."""
    await play.admin.execute(
        """insert into namespace (id, name, slug, "organizationId", "updatedAt")
        values ($1, 'Made by API', 'made-by-api', $2, '2026-01-05')""",
        MADE_BY_API,
        scene.ORGANIZATION,
    )


def namespaces_counted(outcome: Outcome) -> object:
    return outcome.picture.row("organization", scene.ORGANIZATION)["totalNamespaces"]


@pytest.mark.parametrize(("count", "counted"), [("exact", 3), ("original", 2)])
def test_a_namespace_that_was_never_counted(stage: Stage, count: str, counted: int) -> None:
    async def prepare(play: Play) -> None:
        await made_by_api(play)
        platform = PlatformSettings.from_env({"NAMESPACE_COUNT": count})
        play.settings = msgspec.structs.replace(play.settings, platform=platform)
        play.world.services = play.services()

    outcome = stage.run("delete-namespace-job", PAYLOAD, prepare=prepare)
    assert outcome.view.result == {"namespaceId": MADE_BY_API, "deleted": True}
    assert len(outcome.picture.ids("namespace")) == 4
    assert namespaces_counted(outcome) == counted


def test_one_that_was_made_by_the_api_is_counted_when_another_goes(stage: Stage) -> None:
    outcome = stage.run("delete-namespace-job", {"namespaceId": scene.PINECONE}, prepare=made_by_api)
    assert namespaces_counted(outcome) == 3
    assert_counted(outcome.picture)


def test_a_namespace_made_while_another_goes_is_counted_once(stage: Stage) -> None:
    """The dashboard inserts its row and counts it in one transaction, at whatever moment of the deletion."""
    undisturbed = stage.run("delete-namespace-job", PAYLOAD, prepare=made_by_api)

    made: list[int] = []

    def at(moment: int) -> Outcome:
        async def prepare(play: Play) -> None:
            await made_by_api(play)

            async def meanwhile(operation: int) -> None:
                if operation == moment and await _made_by_dashboard(play):
                    made.append(moment)

            play.database.meanwhile = meanwhile

        return stage.run("delete-namespace-job", PAYLOAD, prepare=prepare)

    for moment in range(1, undisturbed.operations + 1):
        outcome = at(moment)
        assert namespaces_counted(outcome) == (4 if moment in made else 3), moment
        assert_counted(outcome.picture)
    assert len(made) > undisturbed.operations / 2


async def _made_by_dashboard(play: Play) -> bool:
    """Make a namespace, unless the organization's row is held: then the dashboard would wait."""
    async with play.admin.transaction() as connection:
        free = await connection.fetchrow(
            "select 1 from organization where id = $1 for no key update skip locked", scene.ORGANIZATION
        )
        if free is not None:
            await connection.execute(
                """insert into namespace (id, name, slug, "organizationId", "updatedAt")
                values ('nslate', 'Late', 'late', $1, '2026-01-05')""",
                scene.ORGANIZATION,
            )
            await connection.execute(
                """update organization set "totalNamespaces" = "totalNamespaces" + 1 where id = $1""",
                scene.ORGANIZATION,
            )
        return free is not None


def test_unused_uploads_go_although_a_child_was_cancelled_and_another_delete_finished(stage: Stage) -> None:
    """What failed in one pass may be gone by its end: what the namespace leaves behind is seen to all the same."""

    async def interfere(play: Play) -> bool:
        def child() -> str | None:
            views = map(play.world.view, list(play.world.objects))
            return next((view.id for view in views if view.workflow == "delete-ingest-job"), None)

        while (found := child()) is None:
            assert await play.world.step()
        play.world.call(found, lambda engine: engine.cancel("not now"))
        for ingest_job_id in (scene.QUEUED, scene.BATCH, scene.FAILED, scene.TENANT_JOB, scene.PROCESSING):
            play.start("delete-ingest-job", {"jobId": ingest_job_id, "skipWebhooks": True})
        return True

    outcome = stage.run("delete-namespace-job", {"namespaceId": scene.NAMESPACE}, during=interfere)
    assert outcome.view.result == {"namespaceId": scene.NAMESPACE, "deleted": True}
    assert [key for key in outcome.picture.objects["blobs"] if f"/{scene.NAMESPACE}/" in key] == []
    assert outcome.picture.objects["assets"] == {}


@pytest.mark.parametrize("again", ["at once", "midway", "afterwards"])
def test_a_request_that_was_answered_with_500_is_made_again(stage: Stage, again: str) -> None:
    """The platform accepts the deletion and fails at its own answer, so that callers repeat it (W-28)."""

    async def repeat(play: Play) -> bool:
        ticks = {"at once": 0, "midway": 6, "afterwards": 10_000}[again]
        while ticks and await play.world.step():
            ticks -= 1
        play.start("delete-namespace-job", {"namespaceId": scene.NAMESPACE})
        return True

    once = stage.run("delete-namespace-job", {"namespaceId": scene.NAMESPACE})
    outcome = stage.run("delete-namespace-job", {"namespaceId": scene.NAMESPACE}, during=repeat)
    assert {str(view.status) for view in map(outcome.world.view, outcome.world.objects)} == {"completed"}
    assert outcome.picture.lines() == once.picture.lines()
    assert_counted(outcome.picture)
