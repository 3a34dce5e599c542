"""Lanes in the real workerd."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from local.process import LocalStack, wait_until
from tests.http.support import problem

WAIT_S = 60.0


@pytest.fixture
def client(stack: LocalStack) -> Iterator[httpx.Client]:
    with stack.client() as client:
        yield client


def start(client: httpx.Client, workflow: str, payload: dict[str, object], count: int, **options: object) -> list[str]:
    items = [{"workflow": workflow, "payload": payload, "options": options}] * count
    answer = client.post("/v1/jobs/batch", json={"items": items}).raise_for_status().json()
    assert answer["rejected"] == 0
    return [item["id"] for item in answer["results"]]


def view(client: httpx.Client, job_id: str) -> dict[str, Any]:
    return client.get(f"/v1/jobs/{job_id}").raise_for_status().json()


def results(client: httpx.Client, job_ids: list[str]) -> list[Any]:
    for job_id in job_ids:
        wait_until(lambda j=job_id: view(client, j)["finished_at"] is not None, timeout_s=WAIT_S)  # type: ignore[misc]
    views = [view(client, job_id) for job_id in job_ids]
    assert {item["status"] for item in views} == {"completed"}, views
    return [item["result"] for item in views]


def most_at_once(spans: list[tuple[int, int]]) -> int:
    return max(sum(1 for begin, end in spans if begin <= at < end) for at, _ in spans)


@pytest.mark.parametrize(("options", "allowed"), [({}, 3), ({"lane_key": "one"}, 2)])
def test_a_lane_holds_its_limits_and_everybody_gets_a_turn(
    client: httpx.Client, options: dict[str, object], allowed: int
) -> None:
    job_ids = start(client, "diagnostic-lane", {"hold_ms": 60}, 20, mode="direct", **options)
    lane = client.get("/v1/lanes/diagnostic").json()
    assert lane["running"] <= allowed
    spans = [(item["from_ms"], item["until_ms"]) for item in results(client, job_ids)]
    assert 1 <= most_at_once(spans) <= allowed
    wait_until(lambda: client.get("/v1/lanes/diagnostic").json()["running"] == 0, timeout_s=WAIT_S)


def test_a_paused_lane_holds_its_jobs_and_says_so(client: httpx.Client) -> None:
    assert client.post("/v1/lanes/diagnostic/pause").raise_for_status().json()["paused"]
    job_ids = start(client, "diagnostic-lane", {}, 3)
    for job_id in job_ids:
        wait_until(lambda j=job_id: view(client, j)["status"] == "waiting", timeout_s=WAIT_S)  # type: ignore[misc]
        assert view(client, job_id)["waits"] == [
            {"kind": "lane", "key": "diagnostic", "reason": "lane paused", "due_at": None}
        ]
    lane = next(item for item in client.get("/v1/lanes").json()["lanes"] if item["name"] == "diagnostic")
    assert (lane["paused"], lane["running"], lane["waiting"], lane["reasons"]) == (True, 0, 3, ["lane paused"])
    assert lane["workflows"] == ["diagnostic-lane"]
    assert client.post(f"/v1/jobs/{job_ids[0]}/cancel").json()["status"] == "cancelled"
    assert not client.post("/v1/lanes/diagnostic/resume").raise_for_status().json()["paused"]
    results(client, job_ids[1:])


def test_a_shared_rate_in_the_real_worker(client: httpx.Client) -> None:
    # A bucket of 5 and 50 more per second: the 25th token comes 400 ms after the first.
    job_ids = start(client, "diagnostic-rate", {"bucket": "real", "count": 5, "per_ms": 100}, 25, mode="direct")
    times = sorted(results(client, job_ids))
    assert times[-1] - times[0] >= 300


def test_unknown_lanes_and_contradictory_keys_are_problems(client: httpx.Client) -> None:
    for method, path in (("GET", "/v1/lanes/nope"), ("POST", "/v1/lanes/nope/pause"), ("POST", "/v1/lanes/a/b/resume")):
        problem(client.request(method, path), 404, "unknown_lane")
    body = {"workflow": "diagnostic-lane", "payload": {}, "options": {"lane_key": "a", "lane_keys": {"key": "b"}}}
    problem(client.post("/v1/jobs", json=body), 422, "invalid_request")
