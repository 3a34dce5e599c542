"""Pausing, retrying, events, and tokens that outside systems complete."""

from __future__ import annotations

import pytest

from tests.http.support import KEY, Api, problem

NO_JOB = "run_00000000000000000000000000"


def status(api: Api, job_id: str) -> str:
    return api.get(f"/v1/jobs/{job_id}").json()["status"]


def test_a_paused_job_waits_until_it_is_resumed(api: Api) -> None:
    job_id = api.start("diagnostic-echo", {"steps": 2, "sleep_ms": 5_000})
    api.run(for_ms=1_000)
    answer = api.post(f"/v1/jobs/{job_id}/pause", None)
    assert (answer.status_code, answer.json()) == (202, {"id": job_id, "status": "paused"})
    api.run(for_ms=60_000)
    assert status(api, job_id) == "paused"
    assert api.post(f"/v1/jobs/{job_id}/resume", None).status_code == 202
    api.run()
    assert status(api, job_id) == "completed"


def test_what_does_not_apply_is_a_conflict(api: Api) -> None:
    job_id = api.start("keep")
    problem(api.post(f"/v1/jobs/{job_id}/resume", None), 409, "conflict")
    problem(api.post(f"/v1/jobs/{job_id}/retry", None), 409, "conflict")
    api.run()
    problem(api.post(f"/v1/jobs/{job_id}/pause", None), 409, "conflict")
    problem(api.post(f"/v1/jobs/{job_id}/events/done", None), 409, "job_ended")


@pytest.mark.parametrize("body", [None, {}, {"scratch": True}, {"from_step": "echo"}])
def test_a_failed_job_is_retried(api: Api, body: object) -> None:
    job_id = api.start("diagnostic-echo", {"steps": 3, "fail_at": 2})
    api.run()
    assert api.get("/v1/dead-letters").json()["dead_letters"] != []
    answer = api.post(f"/v1/jobs/{job_id}/retry", body)
    assert (answer.status_code, answer.json()["status"]) == (202, "running")
    api.run(for_ms=0)
    assert status(api, job_id) == "running"
    api.run()
    assert status(api, job_id) == "failed"


@pytest.mark.parametrize("body", [{"from_step": 3}, {"scratch": 1}, {"scratch": True, "from_step": "echo"}, {"x": 1}])
def test_a_retry_that_does_not_fit(api: Api, body: object) -> None:
    problem(api.post(f"/v1/jobs/{NO_JOB}/retry", body), 422, "invalid_request")


def test_a_retry_from_a_step_that_there_is_not(api: Api) -> None:
    job_id = api.start("broken")
    api.run()
    problem(api.post(f"/v1/jobs/{job_id}/retry", {"from_step": "nowhere"}), 400, "unknown_step")


@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "retry", "events/x"])
def test_an_unknown_job_is_not_controlled(api: Api, action: str) -> None:
    problem(api.post("/v1/jobs/nonsense/" + action, None), 404, "unknown_job")


def token_of(api: Api, job_id: str) -> tuple[str, str]:
    token = api.get(f"/v1/jobs/{job_id}").json()["metadata"]["token"]
    return f"/api/v1/waitpoints/tokens/{token['id']}/complete", token["access"]


def complete(api: Api, path: str, bearer: str | None, data: object = "yes") -> int:
    return api.request("POST", path, json={"data": data}, key=bearer).status_code


def test_tokens_and_events_reach_the_workflow(api: Api) -> None:
    job_id = api.start("approval")
    api.run(for_ms=1_000)
    path, bearer = token_of(api, job_id)
    answer = api.request("POST", path, json={"data": {"status": 200}}, key=bearer)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert complete(api, path, bearer, "another answer") == 200
    event = {"data": {"by": "me"}, "id": "e1"}
    for _ in range(2):
        answer = api.post(f"/v1/jobs/{job_id}/events/signed", event)
        assert (answer.status_code, answer.json()) == (202, {"id": job_id, "event": "signed"})
    api.run()
    assert api.get(f"/v1/jobs/{job_id}").json()["result"] == [{"status": 200}, {"by": "me"}]


def test_a_token_opens_only_its_own_wait(api: Api) -> None:
    first, second = api.start("approval"), api.start("approval")
    api.run(for_ms=1_000)
    path, bearer = token_of(api, first)
    other = token_of(api, second)[1]
    for wrong in (None, "", KEY, other, bearer + "x", bearer[:-1], "9" * 20 + ".x", "ü"):
        problem(api.request("POST", path, json={"data": 1}, key=wrong), 401, "unauthorized")
    problem(api.request("GET", f"/v1/jobs/{first}", key=bearer), 401, "unauthorized")
    assert complete(api, path, bearer) == 200


@pytest.mark.parametrize("token_id", ["nonsense", "waitpoint_x_y", "waitpoint_00000000000000000000000000_!"])
def test_a_token_that_there_is_not(api: Api, token_id: str) -> None:
    path = f"/api/v1/waitpoints/tokens/{token_id}/complete"
    problem(api.request("POST", path, json={"data": 1}), 404, "unknown_token")


def test_a_token_whose_time_is_over(api: Api) -> None:
    job_id = api.start("approval")
    api.run(for_ms=1_000)
    path, bearer = token_of(api, job_id)
    api.run()
    late = api.request("POST", path, json={"data": 1}, key=bearer)
    assert (late.status_code, late.json()) == (200, {"success": True})
    assert api.get(f"/v1/jobs/{job_id}").json()["error"]["code"] == "wait_timeout"


def test_a_token_needs_json(api: Api) -> None:
    job_id = api.start("approval")
    api.run(for_ms=1_000)
    path, bearer = token_of(api, job_id)
    problem(api.request("POST", path, content=b"{", key=bearer), 400, "invalid_json")


@pytest.mark.parametrize("body", [{"data": 1, "id": ""}, {"data": 1, "id": 3}, {"what": 1}])
def test_an_event_that_does_not_fit(api: Api, body: object) -> None:
    job_id = api.start("approval")
    problem(api.post(f"/v1/jobs/{job_id}/events/signed", body), 422, "invalid_request")


def test_an_event_name_has_a_bound(api: Api) -> None:
    job_id = api.start("approval")
    problem(api.post(f"/v1/jobs/{job_id}/events/{'x' * 300}", {}), 400, "invalid_name")


def test_a_job_that_nobody_starts_expires(api: Api) -> None:
    api.post("/v1/lanes/diagnostic/pause", {})
    job_id = api.start("diagnostic-lane", {}, ttl=30)
    api.run(for_ms=40_000)
    assert status(api, job_id) == "expired"


def test_a_job_that_takes_too_long_fails(api: Api) -> None:
    job_id = api.start("stuck", {}, max_duration="PT1M")
    api.run()
    assert api.get(f"/v1/jobs/{job_id}").json()["status"] == "failed"
