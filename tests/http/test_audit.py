"""The audit log: no control action without an entry, and every entry says who, what, when and how it was answered."""

from __future__ import annotations

from typing import Any

import pytest

from durable.audit import KEPT_MS, AuditEntry, AuditLog, AuditQuery, entry_id
from durable.http.access import access_named
from durable.http.trail import is_audited
from orchestrator.errors import RetryableError
from orchestrator.testing import MemorySql
from tests.http.support import Api, problem
from tests.http.test_access import CALLS, NOBODYS_JOB, Operation, body_about, filled


def entries(api: Api, query: str = "") -> list[dict[str, Any]]:
    return api.get(f"/v1/audit?{query}").json()["entries"]


@pytest.mark.parametrize(("method", "path", "operation"), CALLS)
def test_every_control_action_has_an_entry(api: Api, method: str, path: str, operation: Operation) -> None:
    job_id = api.start("stuck")
    headers = {"accept": "application/json"}
    answer = api.request(method, filled(path, operation, job_id), json=body_about(operation, job_id), headers=headers)
    name = operation["operationId"]
    found = [entry for entry in entries(api) if entry["operation"] == name]
    if not is_audited(access_named(name), method):
        assert entries(api) == []
        return
    (entry,) = found
    assert entry["request_id"] == answer.headers["x-request-id"]
    assert (entry["key_id"], entry["status"]) == ("root", answer.status_code)
    if "{job_id}" in path:
        assert entry["target"] == job_id


def test_who_did_what_to_a_job(api: Api) -> None:
    key_id, key = api.make_key("operate")
    job_id = api.start("stuck")
    api.request("POST", f"/v1/jobs/{job_id}/pause", key=key)
    api.world.clock.time_ms += 5
    api.post(f"/v1/jobs/{job_id}/resume", None)
    api.post(f"/v1/jobs/{job_id}/resume", None)
    found = entries(api, f"target={job_id}")
    assert [(entry["operation"], entry["status"]) for entry in found][-1] == ("pause_job", 202)
    assert sorted((entry["operation"], entry["status"], entry["key_id"]) for entry in found) == [
        ("pause_job", 202, key_id),
        ("resume_job", 202, "root"),
        ("resume_job", 409, "root"),
    ]
    assert entries(api, f"key_id={key_id}") == [entry for entry in found if entry["key_id"] == key_id]


def test_many_jobs_at_once_have_an_entry_each(api: Api) -> None:
    ids = [api.start("stuck") for _ in range(3)]
    answer = api.post("/v1/jobs/bulk", {"action": "pause", "ids": [*ids, NOBODYS_JOB]})
    found = [entry for entry in entries(api) if entry["request_id"] == answer.headers["x-request-id"]]
    assert sorted((entry["operation"], entry["target"], entry["status"]) for entry in found) == sorted(
        [("control_jobs", "", 200), ("pause_job", NOBODYS_JOB, 404), *(("pause_job", job_id, 200) for job_id in ids)]
    )


def test_what_was_made_is_named(api: Api) -> None:
    key_id, _ = api.make_key("read")
    schedule = {"id": "nightly", "workflow": "keep", "cron": "0 0 * * *"}
    api.post("/v1/schedules", schedule)
    assert [(entry["operation"], entry["target"]) for entry in entries(api, f"target={key_id}")] == [
        ("create_key", key_id)
    ]
    assert [entry["operation"] for entry in entries(api, "target=nightly")] == ["create_schedule"]


def test_no_action_without_an_entry(api: Api) -> None:
    job_id = api.start("stuck")
    api.audit.failures["add"] = [RetryableError("away", code="object_unreachable")]
    problem(api.post(f"/v1/jobs/{job_id}/cancel", {}), 503, "object_unreachable")
    assert api.get(f"/v1/jobs/{job_id}").json()["status"] == "queued"


def test_an_entry_whose_answer_got_lost_says_so(api: Api) -> None:
    job_id = api.start("stuck")
    api.audit.failures["settle"] = [RetryableError("away", code="object_unreachable")]
    assert api.post(f"/v1/jobs/{job_id}/pause", None).status_code == 202
    (entry,) = entries(api)
    assert (entry["operation"], entry["status"]) == ("pause_job", None)
    assert ("warning", "audit.unsettled", {"entries": 1, "error": "object_unreachable"}) in api.logs


@pytest.mark.parametrize(
    ("error", "statuses"),
    [
        # What nobody foresaw may have done the thing or not.
        (RuntimeError("bug"), {"control_jobs": 500, "pause_job": None}),
        (RetryableError("away", code="object_unreachable"), {"control_jobs": 200, "pause_job": 503}),
    ],
)
def test_a_failed_action_has_its_status(api: Api, error: Exception, statuses: dict[str, int | None]) -> None:
    job_id = api.start("stuck")
    api.backend.failures["control"] = [error]
    api.post("/v1/jobs/bulk", {"action": "pause", "ids": [job_id]})
    assert {entry["operation"]: entry["status"] for entry in entries(api)} == statuses


def test_a_request_that_does_not_fit_is_no_secret(api: Api) -> None:
    job_id = api.start("stuck")
    problem(api.post(f"/v1/jobs/{job_id}/cancel", {"nonsense": 1}), 422, "invalid_request")
    assert [entry["status"] for entry in entries(api)] == [422]


def test_the_log_in_pages_and_by_time(api: Api) -> None:
    job_id = api.start("stuck")
    for _ in range(5):
        api.post(f"/v1/jobs/{job_id}/pause", None)
        api.world.clock.time_ms += 1_000
    everything = entries(api)
    seen: list[dict[str, Any]] = []
    query = ""
    for expected in (2, 2, 1):
        page = api.get(f"/v1/audit?limit=2{query}").json()
        assert len(page["entries"]) == expected
        seen += page["entries"]
        query = f"&cursor={page['next_cursor']}"
    assert seen == everything
    assert sorted(everything, key=lambda entry: entry["at"], reverse=True) == everything
    second, fourth = everything[3]["at"], everything[1]["at"]
    assert entries(api, f"created_after={second}&created_before={fourth}") == everything[2:4]
    problem(api.get("/v1/audit?cursor=x"), 400, "invalid_cursor")


def entry(at_ms: int, number: int) -> AuditEntry:
    random = number.to_bytes(10, "big")
    return AuditEntry(
        id=entry_id(at_ms, random), at_ms=at_ms, key_id="k", operation="o", target="t", request_id="r", status=200
    )


def test_old_entries_go() -> None:
    log = AuditLog(MemorySql())
    log.add([entry(1_000, 1)])
    log.add([entry(1_000 + KEPT_MS, 2)])
    assert len(log.list(AuditQuery())) == 2
    log.add([entry(1_001 + KEPT_MS, 3)])
    assert [found.at_ms for found in log.list(AuditQuery())] == [1_001 + KEPT_MS, 1_000 + KEPT_MS]


def test_the_log_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("durable.audit.MAX_ENTRIES", 20)
    log = AuditLog(MemorySql())
    for number in range(3_000):
        log.add([entry(number, number)])
    kept = log.list(AuditQuery(limit=5_000))
    assert 20 <= len(kept) <= 20 + 1_000
    assert kept[0].at_ms == 2_999


def test_adding_again_changes_nothing() -> None:
    log = AuditLog(MemorySql())
    for _ in range(2):
        log.add([entry(1, 1)])
    assert len(log.list(AuditQuery())) == 1
