"""Deletes while ingestion runs: whatever the moment, nothing is left behind (domain.md §9.4, scenario 6)."""

from __future__ import annotations

import json
import random
from typing import LiteralString

import msgspec
import pytest

from orchestrator.lifecycle import JobStatus
from steps.platform.ids import document_id
from tests.platform import scene
from tests.platform.counting import assert_counted
from tests.platform.picture import Picture, Row, differences
from tests.platform.stage import Outcome, Play, Stage

PARAGRAPHS = "\n\n".join(f"Paragraph {number} of a text that takes several batches." for number in range(70))
LATE_KEY = f"namespaces/{scene.NAMESPACE}/late-AbC1.md"
#: What is ingested: documents that take one batch of chunks, and two; one that fails; and a stored file.
ITEMS: list[Row] = [
    {"type": "TEXT", "text": "A short text."},
    {"type": "TEXT", "text": PARAGRAPHS, "config": {"chunkSize": 64}},
    {"type": "TEXT", "text": "POISON"},
    {"type": "MANAGED_FILE", "key": LATE_KEY},
]


class Delete(msgspec.Struct, frozen=True):
    """A delete, as the platform requests it: it marks the row, and starts the job."""

    workflow: str
    payload: Row
    #: Tells whether the row can be marked: whoever is looked at may hold it locked.
    free: LiteralString
    mark: LiteralString
    #: Moments chosen of each kind: the more is deleted, the longer a play takes.
    plays: int = 0


DELETES = [
    Delete(
        "delete-ingest-job",
        {"jobId": scene.QUEUED},
        "select 1 from ingest_job where id = 'cjob0000000000000000000001' for update skip locked",
        "update ingest_job set status = 'QUEUED_FOR_DELETE' where id = 'cjob0000000000000000000001'",
        9,
    ),
    Delete(
        "delete-namespace-job",
        {"namespaceId": scene.NAMESPACE},
        "select 1 from namespace where id = 'nsone' for update skip locked",
        "update namespace set status = 'DELETING' where id = 'nsone'",
        5,
    ),
    Delete(
        "delete-organization-job",
        {"organizationId": scene.ORGANIZATION},
        "select 1 from organization where id = 'org1' for update skip locked",
        "update organization set status = 'DELETING' where id = 'org1'",
        3,
    ),
]


class Disturbance(msgspec.Struct, frozen=True):
    """When a delete is requested, and what else goes wrong."""

    delete: Delete
    #: Before this tick of the world, or before this operation of its jobs on the database; the other one is 0.
    tick: int = 0
    operation: int = 0
    crash_at: int = 0


class Interrupted:
    """Requests the delete at the chosen moment, or as soon after it as the row is not locked."""

    def __init__(self, plan: Disturbance) -> None:
        self.plan = plan
        self.job_id: str | None = None
        self._ticks = 0

    async def prepare(self, play: Play) -> None:
        await add_items(play)

        async def meanwhile(operation: int) -> None:
            if self.plan.operation and operation >= self.plan.operation:
                await self._request(play)

        play.database.meanwhile = meanwhile

    async def during(self, play: Play) -> bool:
        self._ticks += 1
        if self.plan.tick and self._ticks >= self.plan.tick:
            await self._request(play)
        if self.job_id is None and all(item.alarm_ms is None or item.is_kept() for item in play.world.objects.values()):
            await self._request(play)  # the ingestion was over before the moment came
        return self.job_id is not None

    async def _request(self, play: Play) -> None:
        delete = self.plan.delete
        if self.job_id is None and await play.admin.fetchrow(delete.free) is not None:
            self.job_id = "about to be"  # starting it makes operations of its own
            await play.admin.execute(delete.mark)
            self.job_id = play.start(delete.workflow, delete.payload)


async def add_items(play: Play) -> None:
    """Make the waiting ingest job one of several documents."""
    await play.admin.execute(
        "update ingest_job set payload = jsonb_build_object('type', 'BATCH', 'items', $2::text::jsonb) where id = $1",
        scene.QUEUED,
        json.dumps(ITEMS),
    )
    await play.buckets["blobs"].put(LATE_KEY, b"# A file\n\nIt came late.")


def interrupt(stage: Stage, plan: Disturbance) -> tuple[Outcome, str]:
    interrupted = Interrupted(plan)
    outcome = stage.run(
        "trigger-ingestion-job",
        {"jobId": scene.QUEUED},
        crash_at=[plan.crash_at] if plan.crash_at else [],
        prepare=interrupted.prepare,
        during=interrupted.during,
    )
    assert interrupted.job_id is not None
    return outcome, interrupted.job_id


def alone(stage: Stage, delete: Delete) -> Picture:
    """Return what a delete leaves when nothing is ingested."""
    outcome = stage.run(delete.workflow, delete.payload, prepare=add_items)
    picture = outcome.picture
    picture.objects["blobs"].pop(LATE_KEY, None)  # an upload that no document was made of, yet
    return picture


def assert_same_left(outcome: Outcome, job_id: str, expected: Picture, plan: Disturbance) -> None:
    """Assert that the delete completed and left what it leaves alone, but for pages deleted and announcements."""
    view = outcome.world.view(job_id)
    assert view.status is JobStatus.COMPLETED, (plan, view.error)
    assert_counted(outcome.picture)
    if plan.delete.workflow == "delete-ingest-job" and "document.queued" not in outcome.picture.announced:
        outcome.picture.objects["blobs"].pop(LATE_KEY, None)  # no document was made of it
    for picture in (outcome.picture, expected):
        picture.tables["event"] = []
        for row in picture.tables["organization"]:
            row["totalPages"] = row["deletedPages"] = 0
    assert differences(outcome.picture, expected) == [], plan


@pytest.mark.parametrize("delete", DELETES, ids=lambda delete: delete.workflow)
def test_nothing_is_left_whatever_the_moment(stage: Stage, delete: Delete) -> None:
    expected, rng = alone(stage, delete), random.Random(delete.workflow)
    moments = [Disturbance(delete, tick=tick) for tick in rng.sample(range(1, 45), delete.plays)]
    moments += [Disturbance(delete, operation=number) for number in rng.sample(range(1, 110), delete.plays)]
    for number in rng.sample(range(1, 110), delete.plays):
        moments.append(Disturbance(delete, operation=number, crash_at=rng.randrange(1, 500)))
    for plan in moments:
        outcome, job_id = interrupt(stage, plan)
        assert_same_left(outcome, job_id, expected, plan)


def test_a_document_deleted_while_it_is_processed_fails_nobody(stage: Stage) -> None:
    """Its run is stopped, and the ingest job goes on to its end with the others."""
    waiting_id = scene.WAITING_DOCUMENT
    for tick in range(1, 12, 2):
        started: list[str] = []

        async def prepare(play: Play) -> None:
            await play.admin.execute(
                "update document set source = jsonb_build_object('type', 'TEXT', 'text', $2::text) where id = $1",
                waiting_id,
                PARAGRAPHS,
            )
            await play.admin.execute("delete from document where id = $1", scene.RUNNING_DOCUMENT)

        async def delete(play: Play, tick: int = tick, started: list[str] = started) -> bool:
            for _ in range(tick):
                await play.world.step()
            await play.admin.execute("update document set status = 'QUEUED_FOR_DELETE' where id = $1", waiting_id)
            started.append(play.start("delete-document-job", {"documentId": waiting_id, "updateCounters": True}))
            return True

        payload = {"documentId": waiting_id, "ingestJobId": scene.PROCESSING}
        outcome = stage.run("trigger-document-job", payload, prepare=prepare, during=delete)
        assert outcome.world.view(started[0]).status is JobStatus.COMPLETED
        assert waiting_id not in outcome.picture.ids("document")
        stored = [row_id for rows in outcome.picture.vectors.values() for row_id in rows]
        assert [row_id for row_id in stored if row_id.startswith(waiting_id)] == []
        assert [key for key in outcome.picture.objects["blobs"] if waiting_id in key] == []


def test_a_document_deleted_before_its_turn_fails_nobody(stage: Stage) -> None:
    """Its run finds no row, and no run is in the row that the delete could stop."""

    async def delete(play: Play) -> bool:
        while (child := child_of(play)) is None:
            assert await play.world.step()
        play.world.call(child, lambda engine: engine.pause())
        await play.world.run(until_ms=play.world.clock.now_ms() + 60_000)
        play.start("delete-document-job", {"documentId": document_id(scene.QUEUED, 0), "updateCounters": True})
        await play.world.run(until_ms=play.world.clock.now_ms() + 60_000)
        assert document_id(scene.QUEUED, 0) not in (await play.picture()).ids("document")
        play.world.call(child, lambda engine: engine.resume())
        return True

    outcome = stage.run("trigger-ingestion-job", {"jobId": scene.QUEUED}, during=delete)
    row = outcome.picture.row("ingest_job", scene.QUEUED)
    assert (row["status"], row["error"]) == ("COMPLETED", None)
    assert_counted(outcome.picture)


def child_of(play: Play) -> str | None:
    """Return a document's run that has not started."""
    views = map(play.world.view, list(play.world.objects))
    found = [view.id for view in views if view.workflow == "trigger-document-job" and view.started_at_ms is None]
    return found[0] if found else None


@pytest.mark.parametrize("tick", [1, 5, 9, 14, 20])
def test_a_re_ingestion_is_stopped_too(stage: Stage, tick: int) -> None:
    delete = Delete(
        "delete-ingest-job",
        {"jobId": scene.BATCH},
        "select 1",
        "update ingest_job set status = 'QUEUED_FOR_DELETE' where id = 'cjob0000000000000000000002'",
    )
    expected = stage.run(delete.workflow, delete.payload).picture
    interrupted = Interrupted(Disturbance(delete, tick=tick))
    outcome = stage.run("re-ingest-job", {"jobId": scene.BATCH}, during=interrupted.during)
    assert interrupted.job_id is not None
    assert_same_left(outcome, interrupted.job_id, expected, interrupted.plan)


class Request(msgspec.Struct, frozen=True):
    """Something the platform asks for, and what it writes down first."""

    workflow: str
    payload: Row
    mark: LiteralString
    row_id: str


_MARK_DOCUMENT: LiteralString = "update document set status = 'QUEUED_FOR_DELETE' where id = $1"
_MARK_INGEST_JOB: LiteralString = "update ingest_job set status = 'QUEUED_FOR_DELETE' where id = $1"
_UNMARKED: LiteralString = "select $1::text"
REQUESTS = [
    Request("trigger-ingestion-job", {"jobId": scene.QUEUED}, _UNMARKED, scene.QUEUED),
    Request("re-ingest-job", {"jobId": scene.BATCH}, _UNMARKED, scene.BATCH),
    Request("re-ingest-job", {"jobId": scene.SHARED}, _UNMARKED, scene.SHARED),
    *(
        Request("delete-document-job", {"documentId": row_id, "updateCounters": True}, _MARK_DOCUMENT, row_id)
        for row_id in (scene.TEXT_DOCUMENT, scene.PAGED_DOCUMENT, *scene.SHARED_DOCUMENTS, scene.WAITING_DOCUMENT)
    ),
    *(
        Request("delete-ingest-job", {"jobId": row_id}, _MARK_INGEST_JOB, row_id)
        for row_id in (scene.QUEUED, scene.BATCH, scene.TENANT_JOB, scene.SHARED)
    ),
]


@pytest.mark.parametrize("seed", range(10))
def test_the_counters_fit_whatever_runs_at_once(stage: Stage, seed: int) -> None:
    """Ingestion, re-ingestion and deletes of the same rows, asked for in any order; objects die meanwhile."""
    rng = random.Random(seed)
    waiting = [(rng.randrange(30), request) for request in rng.choices(REQUESTS, k=8)]
    waiting.sort(key=lambda entry: entry[0])
    started: list[str] = []
    ticks = 0

    async def ask(play: Play) -> bool:
        nonlocal ticks
        ticks += 1
        idle = all(item.alarm_ms is None or item.is_kept() for item in play.world.objects.values())
        while waiting and (waiting[0][0] <= ticks or idle):
            _, request = waiting.pop(0)
            await play.admin.execute(request.mark, request.row_id)
            started.append(play.start(request.workflow, request.payload))
            idle = False
        return not waiting

    crashes = sorted(rng.sample(range(1, 1_500), 3))
    first = {"jobId": scene.QUEUED}
    outcome = stage.run("trigger-ingestion-job", first, crash_at=crashes, prepare=add_items, during=ask)
    deletes = [view for view in map(outcome.world.view, started) if view.workflow.startswith("delete-")]
    assert [(view.status, view.error) for view in deletes] == [(JobStatus.COMPLETED, None)] * len(deletes)
    assert_counted(outcome.picture)
    kept = outcome.picture.ids("document")
    stored = {row_id.partition("#")[0] for rows in outcome.picture.vectors.values() for row_id in rows}
    assert stored <= set(kept)
