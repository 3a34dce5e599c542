"""Looking at jobs, listing and cancelling them."""

from __future__ import annotations

import re

import pytest

from orchestrator.errors import OrchestratorError
from tests.http.support import SECRET, Api, problem

NO_JOB = "run_0000000000000000000000000"
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def test_a_job_from_start_to_end(api: Api) -> None:
    job_id = api.start("diagnostic-echo", {"steps": 200, "sleep_ms": 60_000}, tags=["org_1", "org_1", "batch"])
    queued = api.get(f"/v1/jobs/{job_id}").json()
    assert (queued["status"], queued["attempts"], queued["started_at"]) == ("queued", 0, None)
    assert [wait["kind"] for wait in queued["waits"]] == ["queue"]
    api.run(for_ms=30_000)
    waiting = api.get(f"/v1/jobs/{job_id}").json()
    assert (waiting["status"], waiting["attempts"]) == ("suspended", 1)
    assert waiting["progress"] == {"done": 100, "total": 200, "unit": "steps"}
    assert [(wait["kind"], wait["reason"]) for wait in waiting["waits"]] == [("sleep", "sleeping")]
    assert TIMESTAMP.fullmatch(waiting["waits"][0]["due_at"])
    api.run()
    done = api.get(f"/v1/jobs/{job_id}").json()
    assert (done["status"], done["result"], done["error"]) == ("completed", {"steps": 200, "total": 20_100}, None)
    assert (done["workflow"], done["version"], done["tags"]) == ("diagnostic-echo", 1, ["org_1", "batch"])
    times = [done["created_at"], done["started_at"], done["finished_at"]]
    assert all(TIMESTAMP.fullmatch(time) for time in times)
    assert times == sorted(times)
    assert done["waits"] == []


def test_a_failed_job_tells_why(api: Api) -> None:
    job_id = api.start("diagnostic-echo", {"steps": 3, "fail_at": 2})
    api.run()
    job = api.get(f"/v1/jobs/{job_id}").json()
    assert (job["status"], job["result"]) == ("failed", None)
    assert (job["error"]["code"], job["error"]["step"]) == ("diagnostic_failure", "echo#2")


def test_a_retrying_step_is_a_wait_with_its_reason(api: Api) -> None:
    job_id = api.start("stuck")
    api.run(for_ms=1_000)
    (wait,) = api.get(f"/v1/jobs/{job_id}").json()["waits"]
    assert wait["key"] == "wait here"
    assert "not_yet" in wait["reason"]


def test_the_steps_of_a_job(api: Api) -> None:
    job_id = api.start("diagnostic-echo", {"steps": 2, "fail_at": 2})
    api.run()
    steps = api.get(f"/v1/jobs/{job_id}/steps").json()["steps"]
    assert [(step["key"], step["status"], step["attempt"]) for step in steps] == [
        ("echo", "completed", 1),
        ("echo#2", "failed", 1),
    ]
    assert steps[1]["error"]["code"] == "diagnostic_failure"
    assert TIMESTAMP.fullmatch(steps[0]["finished_at"])


@pytest.mark.parametrize("job_id", [NO_JOB + "0", "run_x", "nonsense", "run_" + "U" * 26, "%00"])
@pytest.mark.parametrize("path", ["", "/steps", "/events"])
def test_an_unknown_job(api: Api, job_id: str, path: str) -> None:
    problem(api.get(f"/v1/jobs/{job_id}{path}"), 404, "unknown_job")


def test_an_unknown_job_is_not_cancelled(api: Api) -> None:
    problem(api.post(f"/v1/jobs/{NO_JOB}0/cancel", {}), 404, "unknown_job")


@pytest.mark.parametrize("body", [None, {}, {"reason": "no longer wanted"}])
def test_cancelling(api: Api, body: object) -> None:
    job_id = api.start("stuck")
    api.run(for_ms=1_000)
    answer = api.post(f"/v1/jobs/{job_id}/cancel", body)
    assert answer.status_code == 202
    assert answer.json() == {"id": job_id, "status": "cancelling"}
    api.run()
    job = api.get(f"/v1/jobs/{job_id}").json()
    assert (job["status"], job["error"]["code"]) == ("cancelled", "cancelled")


def test_a_finished_job_cannot_be_cancelled(api: Api) -> None:
    job_id = api.start("keep")
    api.run()
    problem(api.post(f"/v1/jobs/{job_id}/cancel", {}), 409, "conflict")


def test_cancelling_takes_only_a_reason(api: Api) -> None:
    job_id = api.start("keep")
    problem(api.post(f"/v1/jobs/{job_id}/cancel", {"reason": 3}), 422, "invalid_request")


def test_listing_by_workflow_status_and_tag(api: Api) -> None:
    ids = [api.start("keep", {}, tags=[f"n{number % 2}"]) for number in range(4)]
    failed = api.start("broken", {}, tags=["n0"])
    api.run()

    def listed(query: str) -> list[str]:
        return sorted(job["id"] for job in api.get(f"/v1/jobs?{query}").json()["jobs"])

    assert listed("") == sorted([*ids, failed])
    assert listed("workflow=keep") == sorted(ids)
    assert listed("status=failed") == [failed]
    assert listed("tag=n0") == sorted([ids[0], ids[2], failed])
    assert listed("tag=n0&status=completed&workflow=keep") == sorted([ids[0], ids[2]])
    assert listed("workflow=nope") == []


def test_listing_in_pages(api: Api) -> None:
    ids = [api.start("keep") for _ in range(5)]
    api.run()
    seen: list[str] = []
    cursor = ""
    for expected in (2, 2, 1):
        page = api.get(f"/v1/jobs?limit=2{cursor}").json()
        assert len(page["jobs"]) == expected
        seen += [job["id"] for job in page["jobs"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert page["next_cursor"] is None
    assert sorted(seen) == sorted(ids)


@pytest.mark.parametrize("query", ["status=nope", "limit=0", "limit=201", "limit=x", f"cursor={'a' * 600}"])
def test_a_list_that_does_not_fit(api: Api, query: str) -> None:
    problem(api.get(f"/v1/jobs?{query}"), 422, "invalid_request")


@pytest.mark.parametrize("cursor", ["x", "!!!!", "bm9uc2Vuc2U", "é"])
def test_a_cursor_that_nobody_gave(api: Api, cursor: str) -> None:
    problem(api.get(f"/v1/jobs?cursor={cursor}"), 400, "invalid_cursor")


def test_an_object_that_breaks_tells_nothing(api: Api) -> None:
    job_id = api.start("keep")
    api.backend.failures["view"] = [OrchestratorError(SECRET)]
    problem(api.get(f"/v1/jobs/{job_id}"), 500, "internal")


@pytest.mark.parametrize("path", ["", "/steps"])
def test_what_the_caller_has_is_not_sent_again(api: Api, path: str) -> None:
    job_id = api.start("stuck")
    first = api.get(f"/v1/jobs/{job_id}{path}")
    tag = first.headers["etag"]
    for known in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
        again = api.get(f"/v1/jobs/{job_id}{path}", if_none_match=known)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    for other in ('"other"', tag.split('"')[1], ""):
        assert api.get(f"/v1/jobs/{job_id}{path}", if_none_match=other).status_code == 200
    api.run(for_ms=1_000)
    changed = api.get(f"/v1/jobs/{job_id}{path}", if_none_match=tag)
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag
