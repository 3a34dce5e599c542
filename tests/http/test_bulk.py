"""Many jobs and dead letters at once: pages, refusals with a code, and a second look by each job itself."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from durable.http.answers import timestamp
from orchestrator.errors import RetryableError
from orchestrator.lifecycle import JobStatus
from orchestrator.model import DeadLetter
from tests.http.support import Api, problem

NOBODY = "run_" + "0" * 26


def bulk(api: Api, **body: object) -> dict[str, object]:
    answer = api.post("/v1/jobs/bulk", body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def codes(answer: dict[str, object]) -> list[object]:
    results = msgspec.convert(answer["results"], list[dict[str, object]])
    return [msgspec.convert(item["error"], dict[str, object])["code"] if "error" in item else item["status"]
            for item in results]  # fmt: skip


def test_named_jobs_each_get_their_own_answer(api: Api) -> None:
    waiting, done = api.start("keep", delay=3600), api.start("keep")
    api.run(for_ms=1_000)
    answer = bulk(api, action="cancel", ids=[waiting, done, NOBODY, "nonsense", waiting])
    assert codes(answer) == ["cancelled", "conflict", "unknown_job", "unknown_job"]
    assert (answer["done"], answer["refused"]) == (1, 3)
    assert "next_cursor" not in answer
    assert api.world.view(waiting).status is JobStatus.CANCELLED


def test_a_filter_goes_through_the_catalog_page_by_page(api: Api) -> None:
    ids = [api.start("keep", delay=3600, tags=["mine"]) for _ in range(25)]
    other = api.start("keep", delay=3600)
    api.run(for_ms=1_000)
    cursor: object = None
    calls = 0
    while calls == 0 or cursor is not None:
        more = {} if cursor is None else {"cursor": cursor}
        answer = bulk(api, action="cancel", filter={"tag": "mine", "status": "waiting"}, limit=10, **more)
        assert answer["refused"] == 0
        cursor = answer.get("next_cursor")
        calls += 1
    assert calls == 3
    assert {api.world.view(job_id).status for job_id in ids} == {JobStatus.CANCELLED}
    assert api.world.view(other).status is JobStatus.WAITING


def test_a_job_that_changed_since_it_was_listed_is_left_alone(api: Api) -> None:
    job_id = api.start("stuck", mode="direct")
    api.run(for_ms=1_000)
    bulk(api, action="pause", ids=[job_id])
    api.run(for_ms=1_000)
    api.world.call(job_id, lambda engine: engine.resume())  # the catalog still believes that it is paused
    answer = bulk(api, action="cancel", filter={"status": "paused"})
    assert codes(answer) == ["status_changed"]
    assert api.world.view(job_id).status is JobStatus.RUNNING


def test_every_action(api: Api) -> None:
    job_id = api.start("stuck", mode="direct")
    api.run(for_ms=1_000)
    assert codes(bulk(api, action="pause", ids=[job_id])) == ["paused"]
    assert codes(bulk(api, action="delete", ids=[job_id])) == ["conflict"]
    assert codes(bulk(api, action="resume", ids=[job_id])) == ["running"]
    assert codes(bulk(api, action="cancel", ids=[job_id], reason="enough")) == ["cancelling"]
    api.run(for_ms=10_000)
    view = api.world.view(job_id)
    assert view.error is not None
    assert (view.status, view.error.message) == (JobStatus.CANCELLED, "enough")
    assert codes(bulk(api, action="retry", filter={"workflow": "stuck"})) == ["running"]
    bulk(api, action="cancel", ids=[job_id])
    api.run(for_ms=10_000)
    assert codes(bulk(api, action="delete", ids=[job_id])) == ["cancelled"]
    problem(api.get(f"/v1/jobs/{job_id}"), 404, "unknown_job")


def test_an_object_that_does_not_answer_is_that_jobs_problem(api: Api) -> None:
    ids = [api.start("keep", delay=3600) for _ in range(2)]
    api.backend.failures["control"] = [RetryableError("away", code="object_overloaded")]
    assert sorted(map(str, codes(bulk(api, action="cancel", ids=ids)))) == ["cancelled", "object_overloaded"]


@pytest.mark.parametrize(
    "body",
    [
        {"action": "cancel"},
        {"action": "cancel", "filter": {}},
        {"action": "cancel", "ids": []},
        {"action": "cancel", "ids": ["a"], "filter": {"tag": "x"}},
        {"action": "explode", "ids": ["a"]},
        {"action": "cancel", "filter": {"status": "lost"}},
        {"action": "cancel", "filter": {"created_before": "2026-01-01T00:00:00"}},
        {"action": "cancel", "filter": {"tag": "x"}, "limit": 1001},
        {"action": "cancel", "ids": ["a"] * 1001},
    ],
)
def test_contradictory_or_empty_requests_are_refused(api: Api, body: object) -> None:
    problem(api.post("/v1/jobs/bulk", body), 422, "invalid_request")


def test_lists_and_filters_by_time(api: Api) -> None:
    early = api.start("keep", delay=3600)
    api.run(for_ms=60_000)
    late = api.start("keep", delay=3600)
    api.run(for_ms=1_000)
    between = timestamp(api.world.clock.now_ms() - 30_000)

    def listed(**query: str) -> list[str]:
        text = "&".join(f"{name}={value}" for name, value in query.items())
        return [job["id"] for job in api.get(f"/v1/jobs?{text}").json()["jobs"]]

    assert listed(created_before=between) == [early]
    assert listed(created_after=between) == [late]
    assert listed(created_after=between, created_before=between) == []
    assert codes(bulk(api, action="cancel", filter={"created_after": between})) == ["cancelled"]
    assert api.world.view(early).status is JobStatus.WAITING


def message(number: int, job_id: str | None) -> DeadLetter:
    return DeadLetter(
        id=f"message:{number}", kind="message", job_id=job_id, workflow=None, cause="gave up", at_ms=number
    )


def test_a_failed_job_is_redriven(api: Api) -> None:
    job_id = api.start("broken")
    api.run()
    answer = api.post(f"/v1/dead-letters/job:{job_id}/redrive", {"scratch": True})
    assert (answer.status_code, answer.json()) == (
        202, {"id": f"job:{job_id}", "job_id": job_id, "status": "running"})  # fmt: skip
    (letter,) = api.get("/v1/dead-letters").json()["dead_letters"]
    assert letter["redriven_at"] is not None
    assert "orchestrator_dead_letters 0" in api.get("/metrics").text
    problem(api.post(f"/v1/dead-letters/job:{job_id}/redrive", {}), 409, "conflict")
    api.run()
    (letter,) = api.get("/v1/dead-letters?redriven=false").json()["dead_letters"]
    assert (letter["id"], letter["redriven_at"]) == (f"job:{job_id}", None)
    problem(api.post("/v1/dead-letters/job:nothing/redrive", {}), 404, "unknown_dead_letter")


def test_a_message_is_sent_again(api: Api) -> None:
    waiting, done = api.start("keep"), api.start("keep", mode="direct")
    api.backend.sent.clear()
    api.world.queued.clear()
    api.run()
    waiting = api.start("keep")
    api.world.queued.clear()
    api.backend.sent.clear()
    for number, job_id in enumerate([waiting, done, None, NOBODY]):
        asyncio.run(api.backend.catalog.calls.add_dead_letter(message(number, job_id)))
    answer = api.post("/v1/dead-letters/redrive", {"filter": {"kind": "message"}}).json()
    assert codes(answer) == ["unknown_job", "not_redrivable", "completed", "queued"]
    assert api.backend.sent == [("orchestrator-default-queue", [waiting])]
    left = api.get("/v1/dead-letters?kind=message&redriven=false").json()["dead_letters"]
    assert [letter["id"] for letter in left] == ["message:3", "message:2"]
    again = api.post("/v1/dead-letters/redrive", {"ids": ["message:3", "message:9"]}).json()
    assert codes(again) == ["unknown_job", "unknown_dead_letter"]


def test_many_failed_jobs_are_redriven_by_workflow_in_pages(api: Api) -> None:
    for _ in range(5):
        api.start("broken")
    api.run()
    first = api.post("/v1/dead-letters/redrive", {"filter": {"workflow": "broken"}, "limit": 3}).json()
    assert (first["done"], first["refused"]) == (3, 0)
    body = {"filter": {"workflow": "broken"}, "limit": 3, "cursor": first["next_cursor"]}
    rest = api.post("/v1/dead-letters/redrive", body).json()
    assert (rest["done"], rest["refused"], rest.get("next_cursor")) == (2, 0, None)
    assert api.post("/v1/dead-letters/redrive", {"filter": {"workflow": "keep"}}).json()["results"] == []


def test_steps_that_their_job_went_on_without_are_dead_letters_and_redriven(api: Api) -> None:
    job_id = api.start("tolerant")
    api.run()
    assert api.get(f"/v1/jobs/{job_id}").json()["result"] == ["broken_thing", "broken_thing"]
    letters = {letter["id"]: letter for letter in api.get("/v1/dead-letters?kind=step").json()["dead_letters"]}
    assert letters.keys() == {f"step:{job_id}:first", f"step:{job_id}:second"}
    letter = letters[f"step:{job_id}:first"]
    assert (letter["job_id"], letter["workflow"]) == (job_id, "tolerant")
    assert letter["cause"].startswith("broken_thing")
    assert letter["detail"] == {"step": "first", "attempts": 1, "payload": f"/v1/jobs/{job_id}/export"}
    assert api.get(letter["detail"]["payload"]).status_code == 200
    api.world.services = "mended"
    answer = api.post("/v1/dead-letters/redrive", {"filter": {"kind": "step"}}).json()
    assert (answer["done"], answer["refused"]) == (2, 0)
    api.run()
    assert api.get(f"/v1/jobs/{job_id}").json()["result"] == ["mended", "mended"]
    assert api.get("/v1/dead-letters").json()["dead_letters"] == []
    problem(api.post(f"/v1/jobs/{job_id}/retry", {}), 409, "conflict")


def test_a_failed_jobs_letter_says_where_and_after_how_many_attempts(api: Api) -> None:
    job_id = api.start("broken")
    api.run()
    api.post(f"/v1/dead-letters/job:{job_id}/redrive", {})
    api.run()
    (letter,) = api.get("/v1/dead-letters").json()["dead_letters"]
    assert letter["detail"] == {"step": "break", "attempts": 2, "payload": f"/v1/jobs/{job_id}/export"}
