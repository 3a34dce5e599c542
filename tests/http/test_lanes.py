"""Lanes over HTTP."""

from __future__ import annotations

import pytest

from tests.http.support import Api, problem


def test_lanes_are_listed_with_limits_and_use(api: Api) -> None:
    lanes = api.get("/v1/lanes").json()["lanes"]
    assert lanes == [
        {
            "name": "diagnostic",
            "workflows": ["diagnostic-lane"],
            "concurrency": 3,
            "rate": None,
            "fair": True,
            "limits": [{"name": "key", "concurrency": 2, "rate": None}],
            "paused": False,
            "running": 0,
            "waiting": 0,
            "keys": {},
            "reasons": [],
            "next_due_at": None,
        }
    ]
    assert api.get("/v1/lanes/diagnostic").json() == lanes[0]
    assert api.world.lanes.by_name["diagnostic"].sql.rows_written == 0, "looking stores nothing"


def test_pause_holds_jobs_with_the_reason_in_their_status(api: Api) -> None:
    assert api.request("POST", "/v1/lanes/diagnostic/pause").json()["paused"] is True
    job_id = api.start("diagnostic-lane", {}, lane_key="ns_1", priority=3, mode="direct")
    api.run(for_ms=1_000)
    job = api.get(f"/v1/jobs/{job_id}").json()
    assert job["status"] == "waiting"
    assert job["waits"] == [{"kind": "lane", "key": "diagnostic", "reason": "lane paused", "due_at": None}]
    lane = api.get("/v1/lanes/diagnostic").json()
    assert (lane["running"], lane["waiting"], lane["reasons"]) == (0, 1, ["lane paused"])
    assert api.request("POST", "/v1/lanes/diagnostic/resume").json()["paused"] is False
    api.run()
    assert api.get(f"/v1/jobs/{job_id}").json()["status"] == "completed"


def test_lane_keys_reach_the_job(api: Api) -> None:
    api.start("diagnostic-lane", {}, lane_keys={"organization": "o1", "namespace": "n1"}, lane_key="x")
    assert api.backend.requests[-1].options.lane_keys == {"key": "x", "organization": "o1", "namespace": "n1"}


@pytest.mark.parametrize(
    "options",
    [
        {"lane_key": ""},
        {"lane_key": "a\x00b"},
        {"lane_key": 1},
        {"lane_keys": {"a": ""}},
        {"lane_keys": {"": "a"}},
        {"lane_keys": {str(n): "x" for n in range(9)}},
        {"lane_key": "a", "lane_keys": {"key": "b"}},
    ],
)
def test_impossible_keys_are_refused(api: Api, options: dict[str, object]) -> None:
    body = {"workflow": "diagnostic-lane", "payload": {}, "options": options}
    problem(api.post("/v1/jobs", body), 422, "invalid_request")


@pytest.mark.parametrize("path", ["nope", "rate", "diagnostic/x", "rate/a%00b"])
def test_unknown_lanes(api: Api, path: str) -> None:
    problem(api.get(f"/v1/lanes/{path}"), 404, "unknown_lane")
    problem(api.request("POST", f"/v1/lanes/{path}/pause"), 404, "unknown_lane")


def test_a_bucket_is_held_by_its_name(api: Api) -> None:
    assert api.request("POST", "/v1/lanes/rate/pinecone/ns_1/pause").json()["paused"] is True
    assert api.get("/v1/lanes/rate/pinecone/ns_1").json()["paused"] is True
    assert api.request("POST", "/v1/lanes/rate/pinecone/ns_1/resume").json()["paused"] is False
