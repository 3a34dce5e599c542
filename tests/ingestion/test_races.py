"""What happens while ingestion runs: deletes, cancels, second runs, and runs that are tried again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import LiteralString

import msgspec
import pytest

from durable.postgres import AsyncpgDatabase
from orchestrator.lifecycle import JobStatus
from orchestrator.model import RetryJob
from orchestrator.ports import Connection, Database, Http, HttpResponse, Record
from orchestrator.testing import World
from steps.platform.errors import DatabaseUnavailableError
from steps.platform.ids import document_id
from tests.embeddings.stub_server import Reply, StubServer
from tests.ingestion.harness import JOB, Outcome, Scenario, Stage
from tests.ingestion.samples import CHUNKED, assert_counters, number, paragraphs

FIRST = document_id(JOB, 0)
LONG = Scenario(payload={"type": "TEXT", "text": paragraphs(200)}, config=CHUNKED)
CHILD: Mapping[str, object] = {"documentId": FIRST, "ingestJobId": JOB}


class Interposed:
    """An ``Http`` that does something right before its n-th request."""

    def __init__(self, inner: Http, at: int, action: Callable[[], Awaitable[object]]) -> None:
        self._inner = inner
        self._at = at
        self._action = action
        self._requests = 0

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_ms: int = 30_000,
        max_body_bytes: int = 16_000_000,
    ) -> HttpResponse:
        self._requests += 1
        if self._requests == self._at:
            await self._action()
        return await self._inner.request(
            method, url, headers=headers, body=body, timeout_ms=timeout_ms, max_body_bytes=max_body_bytes
        )


def run_and_edit(stage: Stage, scenario: Scenario, at: int, *edits: LiteralString) -> Outcome:
    """Run a scenario; change the database before the ``at``-th embedding call."""
    admins: list[Database] = []

    async def keep(admin: Database) -> None:
        admins.append(admin)

    async def edit() -> None:
        for statement in edits:
            await admins[0].execute(statement)

    stage.reroute = lambda http: Interposed(http, at, edit)
    return stage.run(scenario, prepare=keep)


@pytest.mark.parametrize("at", [1, 2, 7])
def test_a_document_whose_deletion_is_requested_gives_way(stage: Stage, at: int) -> None:
    outcome = run_and_edit(stage, LONG, at, "update document set status = 'QUEUED_FOR_DELETE'")
    assert outcome.picture.document["status"] == "QUEUED_FOR_DELETE"
    assert outcome.picture.vectors == []
    child = outcome.child(FIRST)
    assert child.result == {"documentId": FIRST, "stopped": "QUEUED_FOR_DELETE", "pagesDelta": 0.0}
    assert (outcome.picture.namespace["totalPages"], outcome.picture.organization["totalPages"]) == (0, 0)
    assert "document.ready" not in outcome.picture.announced
    assert outcome.picture.job["status"] == "COMPLETED"


@pytest.mark.parametrize("at", [1, 2, 7])
@pytest.mark.parametrize("always_replay", [False, True])
def test_a_document_that_is_gone_leaves_no_vectors(stage: Stage, at: int, always_replay: bool) -> None:
    outcome = run_and_edit(stage, LONG, at, "delete from document")
    assert (outcome.picture.documents, outcome.picture.vectors) == ([], [])
    assert outcome.child(FIRST).result == {"documentId": FIRST, "stopped": "gone", "pagesDelta": 0.0}
    assert outcome.picture.namespace["totalPages"] == 0


def test_a_failing_document_that_is_being_deleted_leaves_no_vectors(stage: Stage) -> None:
    # 60 chunks in two calls, then the rest in one: the third call is the one that is refused.
    text = paragraphs(80) + "\n\nThis is POISON for the provider, so to say."
    scenario = Scenario(payload={"type": "TEXT", "text": text}, config=CHUNKED)
    outcome = run_and_edit(stage, scenario, 3, "update document set status = 'DELETING'")
    assert (outcome.picture.document["status"], outcome.picture.document["error"]) == ("DELETING", None)
    assert outcome.picture.vectors == []


def test_an_ingest_job_whose_deletion_is_requested_starts_no_more_documents(stage: Stage) -> None:
    items = [{"type": "TEXT", "text": f"Text {index}."} for index in range(40)]
    scenario = Scenario(payload={"type": "BATCH", "items": items})
    outcome = run_and_edit(stage, scenario, 1, "update ingest_job set status = 'QUEUED_FOR_DELETE'")
    assert outcome.view.result == {"ingestionJobId": JOB, "documentsCreated": 40, "stopped": "QUEUED_FOR_DELETE"}
    assert outcome.picture.job["status"] == "QUEUED_FOR_DELETE"
    statuses = [row["status"] for row in outcome.picture.documents]
    assert 0 < statuses.count("QUEUED") <= 10
    assert_counters(outcome, 40)
    assert (
        outcome.picture.announced.count("document.ready")
        == len(outcome.picture.vectors)
        == 40 - statuses.count("QUEUED")
    )


def test_an_ingest_job_that_is_gone(stage: Stage) -> None:
    outcome = run_and_edit(stage, LONG, 3, "delete from ingest_job")
    assert outcome.view.result == {"ingestionJobId": JOB, "documentsCreated": 1, "stopped": "gone"}
    assert (outcome.picture.jobs, outcome.picture.documents, outcome.picture.vectors) == ([], [], [])


@pytest.mark.parametrize(
    ("edit", "stopped"),
    [
        ("update ingest_job set status = 'QUEUED_FOR_DELETE'", "QUEUED_FOR_DELETE"),
        ("update ingest_job set status = 'DELETING'", "DELETING"),
        ("update namespace set status = 'DELETING'", "DELETING"),
        ("update organization set status = 'DELETING'", "DELETING"),
    ],
)
def test_nothing_is_begun_while_it_is_being_deleted(stage: Stage, edit: LiteralString, stopped: str) -> None:
    async def prepare(admin: Database) -> None:
        await admin.execute(edit)

    outcome = stage.run(LONG, prepare=prepare)
    assert outcome.view.result == {"ingestionJobId": JOB, "documentsCreated": 0, "stopped": stopped}
    assert (outcome.picture.documents, outcome.picture.events) == ([], [])
    assert outcome.picture.job["preProcessingAt"] is None


def test_two_runs_of_one_ingest_job_count_everything_once(stage: Stage) -> None:
    items = [{"type": "TEXT", "text": f"Text {index} of two runs.", "config": CHUNKED} for index in range(40)]
    for ticks in (1, 2, 10, 40):
        left = [ticks]

        async def second(world: World, _admin: Database, left: list[int] = left) -> bool:
            left[0] -= 1
            if left[0]:
                return False
            world.start("trigger-ingestion-job", {"jobId": JOB})
            return True

        outcome = stage.run(Scenario(payload={"type": "BATCH", "items": items}), during=second)
        assert len(outcome.picture.documents) == len(outcome.picture.vectors) == 40
        assert {row["status"] for row in outcome.picture.documents} == {"COMPLETED"}
        assert outcome.picture.job["status"] == "COMPLETED"
        assert_counters(outcome, 40)


def after_the_first_run(
    change: LiteralString, payload: Mapping[str, object], started: list[str]
) -> Callable[[World, Database], Awaitable[bool]]:
    """Return a condition that lets the first run end, changes the database and starts the document's job."""

    async def second(world: World, admin: Database) -> bool:
        await world.run()
        await admin.execute(change)
        started.append(world.start("trigger-document-job", payload))
        return True

    return second


def test_cleanup_replaces_vectors_and_pages(stage: Stage) -> None:
    started: list[str] = []
    shorter = "update document set source = jsonb_build_object('type', 'TEXT', 'text', 'Now it is short.')"
    during = after_the_first_run(shorter, {**CHILD, "cleanup": True}, started)
    outcome = stage.run(LONG, during=during)
    assert [row["body"] for row in outcome.picture.vectors] == ["Now it is short."]
    assert outcome.picture.document["totalPages"] == 0.016
    assert_counters(outcome, 1)
    result = msgspec.convert(outcome.world.view(started[0]).result, dict[str, object])
    before = len(paragraphs(200).replace("\n\n", "")) / 1000
    assert number(result, "pagesDelta") == pytest.approx(0.016 - before)


def test_a_completed_document_is_not_counted_again(stage: Stage) -> None:
    started: list[str] = []
    outcome = stage.run(LONG, during=after_the_first_run("select 1", CHILD, started))
    assert outcome.world.view(started[0]).result == {"documentId": FIRST, "stopped": "COMPLETED", "pagesDelta": 0.0}
    assert len(outcome.picture.vectors) == 200
    assert_counters(outcome, 1)


def test_a_failed_document_is_processed_by_a_new_run(stage: Stage) -> None:
    started: list[str] = []
    mended = "update document set source = jsonb_build_object('type', 'TEXT', 'text', 'Harmless.')"
    outcome = stage.run(
        Scenario(payload={"type": "TEXT", "text": "POISON"}), during=after_the_first_run(mended, CHILD, started)
    )
    document = outcome.picture.document
    assert (document["status"], document["error"], document["failedAt"]) == ("COMPLETED", None, None)
    assert [row["body"] for row in outcome.picture.vectors] == ["Harmless."]
    assert_counters(outcome, 1)


@pytest.mark.parametrize("request_", [RetryJob(), RetryJob(scratch=True), RetryJob(from_step="open")])
@pytest.mark.parametrize("failures", [1, 2])
def test_a_failed_run_is_tried_again(stage: Stage, embedder: StubServer, request_: RetryJob, failures: int) -> None:
    embedder.faults.extend([Reply(503)] * 6 * failures)

    async def retry(world: World, admin: Database) -> bool:
        for _ in range(failures):
            await world.run()
            row = await admin.fetchrow("select status::text as status from document")
            assert row is not None
            assert row["status"] == "FAILED"
            [child_id] = [job_id for job_id, item in world.objects.items() if item.engine.known().parent is not None]
            world.call(child_id, lambda engine: engine.retry(request_))
        return True

    # Few enough chunks for one embedding call, so that each fault is an attempt.
    outcome = stage.run(Scenario(payload={"type": "TEXT", "text": paragraphs(20)}, config=CHUNKED), during=retry)
    document = outcome.picture.document
    assert outcome.child(FIRST).status is JobStatus.COMPLETED
    assert (document["status"], document["error"], document["failedAt"]) == ("COMPLETED", None, None)
    assert len(outcome.picture.vectors) == document["totalChunks"] == 20
    assert_counters(outcome, 1)


@pytest.mark.parametrize("at", [1, 4])
def test_a_cancelled_document_fails_and_leaves_no_vectors(stage: Stage, at: int) -> None:
    worlds: list[World] = []

    async def note(world: World, _admin: Database) -> bool:
        worlds.append(world)
        return True

    async def cancel() -> None:
        [child_id] = [job_id for job_id, item in worlds[0].objects.items() if item.engine.known().parent is not None]
        worlds[0].call(child_id, lambda engine: engine.cancel("not wanted any more"))

    stage.reroute = lambda http: Interposed(http, at, cancel)
    outcome = stage.run(LONG, during=note)
    document = outcome.picture.document
    assert outcome.child(FIRST).status is JobStatus.CANCELLED
    assert (document["status"], document["error"]) == ("FAILED", "not wanted any more")
    assert outcome.picture.vectors == []
    assert outcome.picture.job["error"] == "Failed to process documents"


def test_cancelling_the_ingestion_ends_every_document(stage: Stage) -> None:
    items = [{"type": "TEXT", "text": f"Text {index}."} for index in range(40)]

    async def cancel(world: World, _admin: Database) -> bool:
        if len(world.objects) < 20:
            return False
        world.call(next(iter(world.objects)), lambda engine: engine.cancel("not wanted any more"))
        return True

    outcome = stage.run(Scenario(payload={"type": "BATCH", "items": items}), during=cancel)
    assert outcome.view.status is JobStatus.CANCELLED
    assert (outcome.picture.job["status"], outcome.picture.job["error"]) == ("FAILED", "not wanted any more")
    statuses = [str(row["status"]) for row in outcome.picture.documents]
    assert statuses.count("PROCESSING") == 0
    assert statuses.count("QUEUED") + statuses.count("FAILED") > 10
    assert_counters(outcome, 40)


class Outage:
    """A database that is away for a minute of the world's time from its n-th statement on."""

    def __init__(self, inner: Database, at: int, worlds: list[World]) -> None:
        self._inner = inner
        self._left = at
        self._worlds = worlds
        self._until_ms = 0
        self.refused = 0

    async def fetch(self, query: LiteralString, *args: object) -> list[Record]:
        self._check()
        return await self._inner.fetch(query, *args)

    async def fetchrow(self, query: LiteralString, *args: object) -> Record | None:
        self._check()
        return await self._inner.fetchrow(query, *args)

    async def execute(self, query: LiteralString, *args: object) -> str:
        self._check()
        return await self._inner.execute(query, *args)

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        self._check()
        return self._inner.transaction()

    async def close(self) -> None:
        await self._inner.close()

    def _check(self) -> None:
        now_ms = self._worlds[0].clock.now_ms()
        self._left -= 1
        if self._left == 0:
            self._until_ms = now_ms + 60_000
        if now_ms < self._until_ms:
            self.refused += 1
            raise DatabaseUnavailableError("Cannot connect to the database")


def test_an_outage_of_the_database_is_waited_for(stage: Stage) -> None:
    expected = stage.run(LONG).picture.settled()
    at = 0
    while True:
        at += 1
        worlds: list[World] = []
        outages: list[Outage] = []

        async def note(world: World, _admin: Database, worlds: list[World] = worlds) -> bool:
            worlds.append(world)
            return True

        def connect(url: str, at: int = at, worlds: list[World] = worlds, outages: list[Outage] = outages) -> Database:
            outages.append(Outage(AsyncpgDatabase(url), at, worlds))
            return outages[0]

        stage.connect = connect
        outcome = stage.run(LONG, during=note)
        if not outages[0].refused:
            break
        assert outcome.picture.settled() == expected, f"away from statement {at}"
    assert at > 15
