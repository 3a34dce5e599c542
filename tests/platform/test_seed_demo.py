"""``seed-demo-namespace`` (domain.md §2.10). That it survives a stop at any point: ``test_every_workflow.py``."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterable, Sequence

import msgspec
import pytest

from orchestrator.errors import NonRetryableError, RetryableError
from orchestrator.lifecycle import JobStatus
from orchestrator.model import RetryJob
from orchestrator.testing.blobs import MemoryBlobs
from steps.demo_templates import TEMPLATES, DemoSettings, chunks_url
from steps.platform.ids import demo_job_id, document_id
from tests.embeddings.stub_server import Reply
from tests.platform import scene
from tests.platform.counting import assert_counted
from tests.platform.demo_files import FILES
from tests.platform.picture import Picture, Row
from tests.platform.stage import DEMO_ORIGIN, Outcome, Play, Stage

WORKFLOW = "seed-demo-namespace"
BASE = "https://assets.agentset.ai/demos"
TECHNICAL = demo_job_id(scene.NAMESPACE, "technical-documentation")
DELETES: Sequence[tuple[str, Row]] = (
    ("delete-namespace-job", {"namespaceId": scene.NAMESPACE}),
    ("delete-ingest-job", {"jobId": TECHNICAL}),
    ("delete-document-job", {"documentId": document_id(TECHNICAL, 1), "updateCounters": True}),
)


def payload(template: str, **changes: str) -> dict[str, object]:
    return {"namespaceId": scene.NAMESPACE, "organizationId": scene.ORGANIZATION, "templateId": template, **changes}


def rows(outcome: Outcome, table: str, job_id: str) -> list[Row]:
    key = "id" if table == "ingest_job" else "ingestJobId"
    found = [row for row in outcome.picture.tables[table] if row[key] == job_id]
    return sorted(found, key=lambda row: str(row["id"]))


def vectors(found: Picture, document: object) -> list[Row]:
    everything = found.vectors[f"as_{scene.NAMESPACE}"].values()
    return [row for row in msgspec.convert(list(everything), list[Row]) if row["document_id"] == document]


def counters(outcome: Outcome) -> list[float]:
    """Return what was added to each of the counters: namespace first."""
    added: list[float] = []
    for table, row_id in (("namespace", scene.NAMESPACE), ("organization", scene.ORGANIZATION)):
        after, before = (
            next(row for row in picture.tables[table] if row["id"] == row_id)
            for picture in (outcome.picture, outcome.before)
        )
        for name in ("totalIngestJobs", "totalDocuments", "totalPages"):
            added.append(round(msgspec.convert(after[name], float) - msgspec.convert(before[name], float), 6))
    return added


@pytest.mark.parametrize("template_id", TEMPLATES)
def test_a_template(stage: Stage, template_id: str) -> None:
    template = TEMPLATES[template_id]
    outcome = stage.run(WORKFLOW, payload(template_id))
    job_id = demo_job_id(scene.NAMESPACE, template_id)
    items = [
        {"type": "FILE", "fileUrl": f"{BASE}/{template.folder}/{name}", "fileName": name} for name in template.files
    ]
    (job,) = rows(outcome, "ingest_job", job_id)
    assert {name: job[name] for name in ("name", "status", "payload", "error", "config", "tenantId")} == {
        "name": template.name,
        "status": "COMPLETED",
        "payload": {"type": "BATCH", "items": items},
        "error": None,
        "config": None,
        "tenantId": None,
    }
    documents = rows(outcome, "document", job_id)
    assert [row["id"] for row in documents] == [document_id(job_id, index) for index in range(len(items))]
    total = 0.0
    for item, document in zip(items, documents, strict=True):
        file = FILES[chunks_url(item["fileUrl"]).removeprefix("https://assets.agentset.ai")]
        pages = msgspec.convert(file.get("total_pages") or msgspec.convert(file["total_characters"], int) / 1000, float)
        total += pages
        assert (document["status"], document["name"], document["source"]) == (
            "COMPLETED",
            item["fileName"],
            {"type": "FILE", "fileUrl": item["fileUrl"]},
        )
        totals = [document[name] for name in ("totalCharacters", "totalChunks", "totalTokens", "totalPages")]
        assert totals == [*(file[name] for name in ("total_characters", "total_chunks", "total_tokens")), pages]
        assert document["documentProperties"] == file["document_properties"]
        assert None not in [document[name] for name in ("queuedAt", "processingAt", "completedAt")]
        assert_stored(outcome, document, file)
    assert counters(outcome) == [1, len(items), round(total, 6)] * 2
    assert outcome.view.result == {
        "namespaceId": scene.NAMESPACE,
        "organizationId": scene.ORGANIZATION,
        "templateId": template_id,
        "ingestJobId": job_id,
        "totalDocuments": len(items),
        "totalPages": pytest.approx(total),
    }
    assert outcome.picture.announced == outcome.before.announced


def assert_stored(outcome: Outcome, document: Row, file: Row) -> None:
    """Assert that the document's vectors and its ``chunks.json`` are those of the demo file, under its own ids."""
    chunks = msgspec.convert(file["chunks"], list[Row])
    own = {"filename": document["name"], "namespaceId": scene.NAMESPACE, "documentId": document["id"]}
    stored = {str(row["id"]): (row["body"], row["metadata"]) for row in vectors(outcome.picture, document["id"])}
    assert stored == {
        f"{document['id']}#{chunk['id']}": (chunk["text"], {**own, **msgspec.convert(chunk["metadata"], Row)})
        for chunk in chunks
    }
    key = scene.chunks_key(scene.NAMESPACE, str(document["id"]))
    assert json.loads(asyncio.run(outcome.play.buckets["blobs"].get(key)) or b"") == {
        "metadata": own,
        "chunks": [{name: chunk[name] for name in ("id", "text", "metadata")} for chunk in chunks],
        "total_chunks": file["total_chunks"],
        "total_characters": file["total_characters"],
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (payload("gardening"), "Template not found"),
        (payload("academic-research", namespaceId="nsnone"), "Namespace not found"),
        (payload("academic-research", organizationId=scene.OTHER_ORGANIZATION), "Namespace not found"),
    ],
)
def test_what_does_not_exist(stage: Stage, given: Row, message: str) -> None:
    outcome = stage.run(WORKFLOW, given)
    assert outcome.view.error is not None
    assert (outcome.view.status, outcome.view.error.message) == (JobStatus.FAILED, message)
    assert outcome.picture == outcome.before


def test_a_namespace_that_is_being_deleted(stage: Stage) -> None:
    async def prepare(play: Play) -> None:
        await play.admin.execute("update namespace set status = 'DELETING' where id = $1", scene.NAMESPACE)

    outcome = stage.run(WORKFLOW, payload("academic-research"), prepare=prepare)
    assert outcome.view.error is not None
    assert outcome.view.error.message == "Namespace not found"


def test_seeding_twice_is_seeding_once(stage: Stage) -> None:
    second: list[str] = []

    async def during(play: Play) -> bool:
        if not second and all(play.world.view(each).status is JobStatus.COMPLETED for each in list(play.world.objects)):
            second.append(play.start(WORKFLOW, payload("technical-documentation")))
        return bool(second)

    once = stage.run(WORKFLOW, payload("technical-documentation"))
    twice = stage.run(WORKFLOW, payload("technical-documentation"), during=during)
    assert counters(twice) == counters(once)
    assert twice.world.view(second[0]).result == twice.view.result
    job_id = demo_job_id(scene.NAMESPACE, "technical-documentation")
    assert len(rows(twice, "document", job_id)) == 3
    assert rows(twice, "ingest_job", job_id)[0]["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(404, b"not found"), "download_failed"),
        (Reply(200, b'{"metadata": {}, "chunks": [{"id"'), "invalid_json"),
        (Reply(200, b"<html>"), "invalid_json"),
        (Reply(200, b'{"chunks": []}'), "invalid_demo_file"),
        (
            Reply(200, b'{"total_characters":1,"total_chunks":1,"chunks":[{"id":"a","text":"b"}]}'),
            "invalid_demo_file",
        ),
    ],
)
def test_a_file_that_is_not_there_or_malformed(stage: Stage, reply: Reply, code: str) -> None:
    """The second document fails: the first one stays and counts, the second is FAILED, and nothing of it is found."""

    async def prepare(play: Play) -> None:
        play.http.faults[DEMO_ORIGIN] = deque()
        serve = play.http.routes[DEMO_ORIGIN]
        play.http.routes[DEMO_ORIGIN] = lambda request: reply if "error-codes" in request.path else serve(request)

    outcome = stage.run(WORKFLOW, payload("technical-documentation"), prepare=prepare)
    assert outcome.view.error is not None
    assert (outcome.view.status, outcome.view.error.code) == (JobStatus.FAILED, code)
    job_id = demo_job_id(scene.NAMESPACE, "technical-documentation")
    (job,) = rows(outcome, "ingest_job", job_id)
    assert (job["status"], job["error"], job["failedAt"] is not None) == ("FAILED", outcome.view.error.message, True)
    documents = rows(outcome, "document", job_id)
    assert [row["status"] for row in documents] in (["COMPLETED"], ["COMPLETED", "FAILED"])
    assert counters(outcome)[:2] == [1, len(documents)]
    for row in documents:
        assert bool(vectors(outcome.picture, row["id"])) == (row["status"] == "COMPLETED")


@pytest.mark.parametrize("way", ["deleted", "processed again"])
def test_a_demo_that_failed_half_way_counts_what_is_there(stage: Stage, way: str) -> None:
    """Whoever deletes or processes a document takes it for counted, as every document that exists is."""
    short = json.dumps({"total_characters": 1, "total_chunks": 1, "chunks": [{"id": "a", "text": "b"}]}).encode()

    async def prepare(play: Play) -> None:
        serve = play.http.routes[DEMO_ORIGIN]
        play.http.routes[DEMO_ORIGIN] = lambda request: (
            Reply(200, short) if "error-codes" in request.path else serve(request)
        )

    async def then(play: Play) -> bool:
        await play.world.run()
        found = await play.picture()
        assert [row["status"] for row in found.tables["document"] if row["ingestJobId"] == TECHNICAL] == [
            "COMPLETED",
            "FAILED",
        ]
        assert_counted(found)
        play.start("delete-ingest-job" if way == "deleted" else "re-ingest-job", {"jobId": TECHNICAL})
        return True

    assert_counted(stage.run(WORKFLOW, payload("technical-documentation"), prepare=prepare, during=then).picture)


@pytest.mark.parametrize(("workflow", "request_"), DELETES)
@pytest.mark.parametrize("afterwards", ["goes on", "fails"])
def test_a_demo_that_is_deleted_while_it_is_seeded(stage: Stage, workflow: str, request_: Row, afterwards: str) -> None:
    """Whatever the moment, and whether seeding succeeds then: nothing is left of what was deleted."""
    for moment in range(1, 4):
        ask = Interrupting(moment, workflow, request_, fails=afterwards == "fails")
        outcome = stage.run(WORKFLOW, payload("technical-documentation"), prepare=ask.prepare)
        assert ask.job_id is not None
        view = outcome.world.view(ask.job_id)
        assert view.status is JobStatus.COMPLETED, (moment, view.error)
        assert_counted(outcome.picture)
        kept = set(outcome.picture.ids("document"))
        stored = {row_id.partition("#")[0] for rows in outcome.picture.vectors.values() for row_id in rows}
        assert stored <= kept, moment
        files = [key.split("/") for key in outcome.picture.objects["blobs"]]
        assert {file[3] for file in files if len(file) > 4} <= kept, moment
        assert [file for file in files if "chunks" in file] == [], moment


class Interrupting:
    """Asks for a delete when seeding stores the vectors of a document, whose step then fails and waits."""

    def __init__(self, moment: int, workflow: str, request_: Row, *, fails: bool) -> None:
        self._moment, self._workflow, self._request, self._fails = moment, workflow, request_, fails
        self.job_id: str | None = None

    async def prepare(self, play: Play) -> None:
        put = play.buckets["blobs"].put

        async def interrupted(key: str, data: bytes) -> None:
            await put(key, data)
            if "chunks/" not in key:
                return
            self._moment -= 1
            if self._moment == 0:
                self.job_id = play.start(self._workflow, self._request)
                raise RetryableError("the bucket did not answer", code="unavailable")
            if self._moment < 0 and self._fails:
                raise NonRetryableError("the bucket refuses it", code="refused")

        play.buckets["blobs"].put = interrupted  # type: ignore[method-assign]


@pytest.mark.parametrize("breaks", ["put", "put_stream"])
def test_a_demo_that_failed_is_complete_once_it_is_retried(stage: Stage, breaks: str) -> None:
    """What failed took back what it had stored: a retry stores it again, and leaves alone what is complete."""
    broken = [False]

    async def prepare(play: Play) -> None:
        stored: list[str] = []

        class Refusing(MemoryBlobs):
            async def put(self, key: str, data: bytes) -> None:
                stored.append(key)
                if breaks == "put" and broken[0] and len(stored) > 1:
                    raise NonRetryableError("the bucket refuses it", code="refused")
                await super().put(key, data)

            async def put_stream(self, key: str, pieces: AsyncIterable[bytes], size: int) -> None:
                if breaks == "put_stream" and broken[0] and len(stored) > 1:
                    raise NonRetryableError("the bucket refuses it", code="refused")
                await super().put_stream(key, pieces, size)

        before, play.buckets["blobs"] = play.buckets["blobs"], Refusing()
        for key in await before.list(""):
            await play.buckets["blobs"].put(key, await before.get(key) or b"")
        stored.clear()
        broken[0] = True
        play.world.services = play.services()

    async def retry(play: Play) -> bool:
        await play.world.run()
        (job_id,) = play.world.objects
        assert play.world.view(job_id).status is JobStatus.FAILED
        broken[0] = False
        play.world.call(job_id, lambda engine: engine.retry(RetryJob()))
        return True

    undisturbed = stage.run(WORKFLOW, payload("technical-documentation"))
    outcome = stage.run(WORKFLOW, payload("technical-documentation"), prepare=prepare, during=retry)
    assert (outcome.view.status, outcome.view.result) == (JobStatus.COMPLETED, undisturbed.view.result)
    assert {row["status"] for row in rows(outcome, "document", TECHNICAL)} == {"COMPLETED"}
    assert outcome.picture.objects == undisturbed.picture.objects
    assert outcome.picture.vectors == undisturbed.picture.vectors
    assert_counted(outcome.picture)


def test_two_runs_at_once_take_nothing_from_each_other(stage: Stage) -> None:
    """The second one completes the document that the first one is at."""
    once = stage.run(WORKFLOW, payload("technical-documentation"))
    second = Interrupting(2, WORKFLOW, payload("technical-documentation"), fails=False)
    outcome = stage.run(WORKFLOW, payload("technical-documentation"), prepare=second.prepare)
    assert {view.status for view in map(outcome.world.view, outcome.world.objects)} == {JobStatus.COMPLETED}
    assert (outcome.picture.objects, outcome.picture.vectors) == (once.picture.objects, once.picture.vectors)
    assert_counted(outcome.picture)


def test_a_server_in_trouble_is_waited_for(stage: Stage) -> None:
    async def prepare(play: Play) -> None:
        play.http.faults[DEMO_ORIGIN] = deque([Reply(503), Reply(429, b"", {"retry-after": "3"})])

    assert stage.run(WORKFLOW, payload("technical-documentation"), prepare=prepare).view.status is JobStatus.COMPLETED


def test_totals_may_stand_behind_the_chunks(stage: Stage) -> None:
    async def prepare(play: Play) -> None:
        serve = play.http.routes[DEMO_ORIGIN]

        def turned(request: object) -> Reply:
            reply = serve(request)  # pyright: ignore[reportArgumentType]
            members = json.loads(reply.body)
            return Reply(200, json.dumps(dict(reversed(members.items()))).encode(), reply.headers)

        play.http.routes[DEMO_ORIGIN] = turned

    outcome = stage.run(WORKFLOW, payload("technical-documentation"), prepare=prepare)
    undisturbed = stage.run(WORKFLOW, payload("technical-documentation"))
    assert outcome.view.result == undisturbed.view.result
    assert counters(outcome) == counters(undisturbed)


def test_the_setting() -> None:
    assert DemoSettings.from_env({}).base_url == BASE
    assert (
        DemoSettings.from_env({"DEMO_ASSETS_URL": "http://127.0.0.1:9/demos/"}).base_url == "http://127.0.0.1:9/demos"
    )
