"""What ``GET /v1/jobs/{id}`` says of an ingestion under way: documents, pages, tokens, chunks and the wave."""

from __future__ import annotations

import msgspec

from orchestrator.ports import Database
from orchestrator.testing import World
from tests.http.support import KEY, Api
from tests.ingestion.harness import Row, Scenario, Stage
from tests.ingestion.samples import CHUNKED, number, paragraphs

SECRET_TEXT = "A text that nobody but its readers should see."


class Shown(msgspec.Struct):
    """The part of the answer that this is about."""

    status: str
    metadata: Row
    progress: Row | None = None


async def ingestion_of(world: World) -> Shown:
    """Return what the API says of the ingestion; nothing of the documents' texts may be in it."""
    api = Api()
    api.backend.world = world
    [job_id] = [each for each in world.objects if world.view(each).workflow == "trigger-ingestion-job"]
    async with api.client() as client:
        answer = await client.get(f"/v1/jobs/{job_id}", headers={"authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200, answer.text
    assert SECRET_TEXT not in answer.text
    return msgspec.json.decode(answer.content, type=Shown)


def test_an_ingestion_is_followed_over_http(stage: Stage) -> None:
    """65 documents in three waves, one of them of several chunks, one missing."""
    items: list[Row] = [{"type": "TEXT", "text": f"{SECRET_TEXT} Number {index}."} for index in range(63)]
    items.insert(0, {"type": "TEXT", "text": paragraphs(20), "config": CHUNKED})
    items.insert(40, {"type": "MANAGED_FILE", "key": "namespaces/nsone/gone.txt"})
    seen: list[Shown] = []

    async def during(world: World, admin: Database) -> bool:
        seen.append(await ingestion_of(world))
        return seen[-1].status == "completed"

    outcome = stage.run(Scenario(payload={"type": "BATCH", "items": items}), during=during)
    under_way = [shown for shown in seen if "wave" in shown.metadata]
    assert {shown.status for shown in under_way} >= {"suspended", "completed"}
    done = [number(shown.progress or {}, "done") for shown in under_way]
    assert done == sorted(done)
    assert {(shown.progress or {})["total"] for shown in under_way} == {65}
    assert {(shown.progress or {})["unit"] for shown in under_way} == {"documents"}
    assert {shown.metadata["waves"] for shown in under_way} == {3}
    assert {shown.metadata["wave"] for shown in under_way} == {1, 2, 3}
    for name in ("pages", "tokens", "chunks", "wave"):
        values = [number(shown.metadata, name) for shown in under_way]
        assert values == sorted(values), name
    documents = outcome.picture.documents
    last = under_way[-1]
    assert last.progress == {"done": 65, "total": 65, "unit": "documents"}
    for name, column in (("tokens", "totalTokens"), ("chunks", "totalChunks"), ("pages", "totalPages")):
        total = sum(number(row, column) for row in documents)
        assert abs(number(last.metadata, name) - total) < 1e-5, name
    assert last.metadata["failed_documents"] == 1
