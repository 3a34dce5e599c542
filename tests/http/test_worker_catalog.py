"""Bulk operations, retention, idempotency policies and export in the real workerd."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import pytest

from local.process import LocalStack, StackError, wait_until
from tests.http.support import problem

WAIT_S = 60.0


@pytest.fixture
def client(stack: LocalStack) -> Iterator[httpx.Client]:
    with stack.client() as client:
        yield client


def start(client: httpx.Client, payload: dict[str, object] | None = None, **options: object) -> httpx.Response:
    options = {"mode": "direct", **options}
    return client.post("/v1/jobs", json={"workflow": "diagnostic-echo", "payload": payload or {}, "options": options})


def started(client: httpx.Client, payload: dict[str, object] | None = None, **options: object) -> str:
    answer = start(client, payload, **options)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def status(client: httpx.Client, job_id: str) -> str:
    answer = client.get(f"/v1/jobs/{job_id}")
    return answer.json().get("code") if answer.is_error else answer.json()["status"]


def until(client: httpx.Client, job_id: str, expected: str) -> None:
    wait_until(lambda: status(client, job_id) == expected, timeout_s=WAIT_S)


def listed(client: httpx.Client, tag: str) -> dict[str, str]:
    return {job["id"]: job["status"] for job in client.get("/v1/jobs", params={"tag": tag}).json()["jobs"]}


def test_many_jobs_are_cancelled_retried_and_deleted(client: httpx.Client) -> None:
    tag = str(uuid.uuid4())
    ids = [started(client, {"steps": 1}, delay=3600, tags=[tag]) for _ in range(30)]
    wait_until(lambda: len(listed(client, tag)) == 30, timeout_s=WAIT_S)
    found = {"tag": tag}
    first = client.post("/v1/jobs/bulk", json={"action": "cancel", "filter": found, "limit": 20}).json()
    assert (first["done"], first["refused"]) == (20, 0)
    body = {"action": "cancel", "filter": found, "limit": 20, "cursor": first["next_cursor"]}
    assert client.post("/v1/jobs/bulk", json=body).json()["done"] == 10
    assert {status(client, job_id) for job_id in ids} == {"cancelled"}
    again = client.post("/v1/jobs/bulk", json={"action": "pause", "ids": ids[:2]}).json()
    assert {item["error"]["code"] for item in again["results"]} == {"conflict"}
    assert client.post("/v1/jobs/bulk", json={"action": "retry", "ids": ids[:3]}).json()["done"] == 3
    for job_id in ids[:3]:
        until(client, job_id, "completed")
    assert client.post("/v1/jobs/bulk", json={"action": "delete", "ids": ids}).json()["done"] == 30
    wait_until(lambda: listed(client, tag) == {}, timeout_s=WAIT_S)
    assert status(client, ids[0]) == "unknown_job"


def test_a_dead_letter_is_redriven(client: httpx.Client) -> None:
    job_id = started(client, {"steps": 2, "fail_at": 2})

    def letters() -> list[dict[str, object]]:
        found = client.get("/v1/dead-letters", params={"kind": "job", "redriven": False}).json()["dead_letters"]
        return [letter for letter in found if letter["job_id"] == job_id]

    wait_until(lambda: len(letters()) == 1, timeout_s=WAIT_S)
    before = letters()
    assert client.post(f"/v1/dead-letters/job:{job_id}/redrive").status_code == 202
    wait_until(lambda: len(letters()) == 1 and letters() != before, timeout_s=WAIT_S)
    many = client.post("/v1/dead-letters/redrive", json={"ids": [f"job:{job_id}", "job:nothing"]}).json()
    assert [(item.get("status"), "error" in item) for item in many["results"]] == [("running", False), (None, True)]


def test_a_deleted_job_leaves_nothing_and_frees_its_id(stack: LocalStack, client: httpx.Client) -> None:
    key = str(uuid.uuid4())
    job_id = started(client, {"steps": 1}, idempotency_key=key)
    until(client, job_id, "completed")
    stack.put_blob(f"jobs/{job_id}/values/x", b"large")
    stack.put_blob(f"jobs/{job_id}-not/values/x", b"another's")
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert status(client, job_id) == "unknown_job"

    def blob_is_gone() -> bool:
        try:
            stack.get_blob(f"jobs/{job_id}/values/x")
        except StackError:
            return True
        return False

    wait_until(blob_is_gone, timeout_s=WAIT_S)
    assert stack.get_blob(f"jobs/{job_id}-not/values/x") == b"another's"
    wait_until(lambda: start(client, {"steps": 2}, idempotency_key=key).status_code == 202, timeout_s=WAIT_S)
    until(client, job_id, "completed")
    assert client.get(f"/v1/jobs/{job_id}").json()["result"] == {"steps": 2, "total": 3}
    late = started(client, {"steps": 3, "sleep_ms": 60_000})
    problem(client.delete(f"/v1/jobs/{late}"), 409, "conflict")


def test_retention_deletes_by_itself(client: httpx.Client) -> None:
    tag = str(uuid.uuid4())
    job_id = started(client, {"steps": 1}, retention=2, tags=[tag])
    until(client, job_id, "unknown_job")
    wait_until(lambda: listed(client, tag) == {}, timeout_s=WAIT_S)


def test_idempotency_policies(client: httpx.Client) -> None:
    policy = {"idempotency": {"key": str(uuid.uuid4()), "on_ended": "new"}}
    ids: list[str] = []
    for steps in (1, 2, 3):
        ids.append(started(client, {"steps": steps, "sleep_ms": 200}, **policy))
        same = start(client, {"steps": 9}, **policy).json()
        assert (same["id"], same["deduplicated"]) == (ids[-1], True)
        until(client, ids[-1], "completed")
    assert len(set(ids)) == 3
    key = {"idempotency_key": str(uuid.uuid4())}
    first = started(client, {"steps": 1}, **key)
    assert started(client, {"steps": 1}, **key) == first
    problem(start(client, {"steps": 2}, **key), 409, "idempotency_conflict")


def test_an_export_is_one_file(client: httpx.Client) -> None:
    job_id = started(client, {"steps": 300}, tags=["exported"])
    until(client, job_id, "completed")
    document = client.get(f"/v1/jobs/{job_id}/export").raise_for_status().json()
    assert document["job"]["result"] == {"steps": 300, "total": 45_150}
    assert [step["seq"] for step in document["steps"]] == list(range(1, 301))
    listed_events = client.get(f"/v1/jobs/{job_id}/events", headers={"accept": "application/json"}).json()["events"]
    assert [event["seq"] for event in document["events"]][: len(listed_events)] == [
        event["id"] for event in listed_events
    ]
    problem(client.get("/v1/jobs/run_00000000000000000000000000/export"), 404, "unknown_job")
