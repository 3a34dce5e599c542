"""The export of a job holds everything that its journal holds."""

from __future__ import annotations

import pytest

from orchestrator.errors import InvalidRequestError, RetryableError
from orchestrator.export import SECTIONS, export_page
from orchestrator.limits import MAX_VALUE_BYTES
from tests.http.support import Api, problem


def test_an_export_is_the_whole_journal(api: Api) -> None:
    job_id = api.start("approval", {"value": {"a": [1, None, "é"]}}, tags=["t"], mode="direct")
    api.run(for_ms=1_000)
    for number in range(3):
        api.post(f"/v1/jobs/{job_id}/events/unasked", {"data": {"number": number}, "id": str(number)})
    answer = api.get(f"/v1/jobs/{job_id}/export")
    assert answer.headers["content-disposition"] == f'attachment; filename="{job_id}.json"'
    document = answer.json()
    assert list(document) == ["format", "job", *SECTIONS]
    assert document["job"]["payload"] == {"value": {"a": [1, None, "é"]}}
    assert document["job"]["options"]["tags"] == ["t"]
    journal = api.world.objects[job_id].sql
    tables = {"steps": "step", "children": "child", "events": "event"}
    for section in SECTIONS:
        (count,) = journal.execute(f"select count(*) from {tables.get(section, section)}")[0]  # type: ignore[arg-type]
        assert len(document[section]) == count, section
    assert [item["data"] for item in document["inbox"]] == [{"number": number} for number in range(3)]
    assert document["steps"][0]["kind"] == "token"


def test_results_and_errors_are_decoded(api: Api) -> None:
    done, failed = api.start("diagnostic-echo", {"steps": 3}), api.start("broken")
    api.run()
    document = api.get(f"/v1/jobs/{done}/export").json()
    assert document["job"]["result"] == {"steps": 3, "total": 6}
    assert [step["status"] for step in document["steps"]] == ["completed"] * 3
    assert api.get(f"/v1/jobs/{failed}/export").json()["job"]["error"]["code"] == "broken_thing"


def test_a_large_journal_comes_in_pages(api: Api) -> None:
    job_id = api.start("approval", mode="direct")
    api.run(for_ms=1_000)
    text = "x" * (MAX_VALUE_BYTES // 2)
    for number in range(9):
        api.world.call(job_id, lambda engine, n=number: engine.deliver_event(f"event {n}", None, text))  # type: ignore[misc]
    engine = api.world.objects[job_id].engine
    cursor: str | None = None
    pages = 0
    while pages == 0 or cursor is not None:
        cursor = export_page(engine.known(), engine.journal, cursor).next_cursor
        pages += 1
    assert pages >= 4
    document = api.get(f"/v1/jobs/{job_id}/export").json()
    assert [item["name"] for item in document["inbox"]] == [f"event {number}" for number in range(9)]


@pytest.mark.parametrize("cursor", ["", "x", "{}", "[]", "[99]", "[0, 1]", '[0, "a", 1]', "[-9, 1]", "[5, null]"])
def test_a_foreign_cursor_is_refused(api: Api, cursor: str) -> None:
    job_id = api.start("keep")
    engine = api.world.objects[job_id].engine
    with pytest.raises(InvalidRequestError):
        export_page(engine.known(), engine.journal, cursor)


def test_problems_before_the_first_byte(api: Api) -> None:
    problem(api.get("/v1/jobs/nonsense/export"), 404, "unknown_job")
    problem(api.get("/v1/jobs/run_" + "0" * 26 + "/export"), 404, "unknown_job")
    job_id = api.start("keep")
    api.backend.failures["export"] = [RetryableError("away", code="object_unreachable")]
    problem(api.get(f"/v1/jobs/{job_id}/export"), 503, "object_unreachable")


def test_a_job_that_has_just_been_recorded_is_exported(api: Api) -> None:
    """What it still has to tell the catalog is part of its journal."""
    job_id = api.start("keep", delay=3_600)
    assert [row["body"] for row in api.get(f"/v1/jobs/{job_id}/export").json()["outbox"]] == ["first"]
