"""Budgets and costs through the API."""

from __future__ import annotations

from tests.http.support import Api, problem


def test_a_job_over_its_budget_is_paused_and_resumed_with_a_larger_one(api: Api) -> None:
    job_id = api.start("stuck", budget={"slices": 3, "active": "PT1H"})
    api.run()
    found = api.get(f"/v1/jobs/{job_id}").json()
    assert (found["status"], found["error"]["code"]) == ("paused", "budget_exceeded")
    assert found["cost"]["slices"] == 3
    problem(api.post(f"/v1/jobs/{job_id}/resume", {}), 409, "budget_exceeded")
    problem(api.post(f"/v1/jobs/{job_id}/resume", {"budget": {"slices": 2}}), 409, "budget_exceeded")
    assert api.post(f"/v1/jobs/{job_id}/resume", {"budget": {"slices": 5}}).status_code == 202
    api.run()
    assert api.get(f"/v1/jobs/{job_id}").json()["cost"]["slices"] == 5


def test_a_budget_is_not_negative(api: Api) -> None:
    body = {"workflow": "keep", "payload": {}, "options": {"budget": {"rows_written": 0}}}
    problem(api.post("/v1/jobs", body), 422, "invalid_request")


def test_attempts_count_how_often_the_workflow_was_begun(api: Api) -> None:
    job_id = api.start("broken")
    api.run()
    assert api.get(f"/v1/jobs/{job_id}").json()["attempts"] == 1
    api.post(f"/v1/jobs/{job_id}/retry", {})
    api.run()
    assert api.get(f"/v1/jobs/{job_id}").json()["attempts"] == 2
