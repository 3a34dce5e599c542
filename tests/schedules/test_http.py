"""``/v1/schedules`` over the real engine, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from orchestrator import Schedule
from orchestrator.lifecycle import JobStatus
from tests.http.support import Api, problem

BODY: dict[str, object] = {"id": "s", "workflow": "keep", "cron": "0 * * * *", "payload": {"value": 7}}


@pytest.fixture
def api() -> Api:
    return Api()


def make(api: Api, **members: object) -> dict[str, Any]:
    answer = api.post("/v1/schedules", {**BODY, **members})
    assert answer.status_code == 201, answer.text
    return answer.json()


def patch(api: Api, changes: object, name: str = "s") -> httpx.Response:
    return api.request("PATCH", f"/v1/schedules/{name}", json=changes)


def test_a_schedule_from_its_making_to_its_end(api: Api) -> None:
    made = make(api, tenant="t1", tags=["org_1", "org_1"], time_zone="Asia/Kolkata", cron="30 16 * * *")
    assert made["upcoming"][:2] == ["2026-11-24T11:00:00.000Z", "2026-11-25T11:00:00.000Z"]
    assert (made["description"], made["tags"], made["origin"]) == ("At 16:30 every day", ["org_1"], "api")
    asyncio.run(api.schedules.world.until("2026-11-24 11:01"))
    seen = api.get("/v1/schedules/s").json()
    (line,) = seen["history"]
    assert (line["outcome"], line["reason"], line["planned_at"]) == ("started", "scheduled", "2026-11-24T11:00:00.000Z")
    job = api.get(f"/v1/jobs/{line['job_id']}").json()
    assert (job["status"], job["result"], job["tags"]) == ("completed", 7, ["org_1", "schedule:s"])
    assert (made["tenant"], job["tenant"]) == ("t1", "t1")
    assert [item["id"] for item in api.get("/v1/jobs?tag=schedule:s").json()["jobs"]] == [line["job_id"]]
    gone = api.request("DELETE", "/v1/schedules/s")
    assert (gone.status_code, gone.content) == (204, b"")
    for method, path in [
        ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/run"),
    ]:  # fmt: skip
        answer = api.request(method, f"/v1/schedules/s{path}", json={} if method == "PATCH" else None)
        problem(answer, 404, "unknown_schedule")


def test_a_schedule_without_a_name_gets_one(api: Api) -> None:
    first, second = (api.post("/v1/schedules", {"workflow": "keep", "cron": "0 * * * *"}).json() for _ in range(2))
    assert first["id"].startswith("sch_")
    assert first["id"] != second["id"]
    assert api.get(f"/v1/schedules/{first['id']}").json() == first


def test_making_the_same_again_is_no_error(api: Api) -> None:
    made = make(api)
    again = api.post("/v1/schedules", BODY)
    assert (again.status_code, again.json()) == (200, made)
    problem(api.post("/v1/schedules", {**BODY, "overlap": "allow"}), 409, "schedule_exists")


@pytest.mark.parametrize(
    ("members", "status", "code"),
    [
        ({"cron": "61 * * * *"}, 422, "invalid_cron"),
        ({"cron": "0 0 30 2 *"}, 422, "invalid_cron"),
        ({"cron": "@daily"}, 422, "invalid_cron"),
        ({"time_zone": "Mars/Olympus"}, 422, "unknown_time_zone"),
        ({"workflow": "nothing"}, 404, "unknown_workflow"),
        ({"payload": 7}, 422, "invalid_payload"),
        ({"catch_up": "none", "catch_up_ms": 600_000}, 422, "contradictory_options"),
        ({"catch_up": "all", "cron": "* * * * *"}, 422, "contradictory_options"),
        ({"time_field": "value"}, 422, "contradictory_options"),
        ({"overlap": "maybe"}, 422, "invalid_request"),
        ({"catch_up_ms": 5}, 422, "invalid_request"),
        ({"catch_up_ms": True}, 422, "invalid_request"),
        ({"id": "../x"}, 422, "invalid_request"),
        ({"id": ""}, 422, "invalid_request"),
        ({"tags": ["x"] * 16}, 422, "invalid_request"),
        ({"tags": ["\u0000"]}, 422, "invalid_request"),
        ({"surprise": 1}, 422, "invalid_request"),
        ({"cron": None}, 422, "invalid_request"),
    ],
)
def test_what_makes_no_sense_is_refused_and_makes_nothing(
    api: Api, members: dict[str, object], status: int, code: str
) -> None:
    problem(api.post("/v1/schedules", {**BODY, **members}), status, code)
    assert api.schedules.world.hosts == {}
    make(api)
    if "id" not in members:
        problem(patch(api, members), status, code)


def test_a_change_replaces_what_is_sent_and_nothing_else(api: Api) -> None:
    made = make(api, catch_up_ms=600_000, tags=["a"])
    changed = patch(api, {"cron": "5 * * * *", "tags": ["b", "b"]}).json()
    differing = {name for name in made if made[name] != changed[name]}
    assert differing <= {"cron", "description", "tags", "upcoming", "updated_at"}
    assert (changed["cron"], changed["tags"]) == ("5 * * * *", ["b"])
    assert patch(api, {"catch_up": "none", "catch_up_ms": None}).json()["catch_up_ms"] is None
    assert patch(api, {}).status_code == 200
    for member in ("cron", "workflow", "overlap", "time_zone", "tags", "catch_up"):
        problem(patch(api, {member: None}), 422, "invalid_request")
    problem(patch(api, {"paused": True}), 422, "invalid_request")


def test_pause_and_resume(api: Api) -> None:
    make(api)
    for _ in range(2):
        paused = api.request("POST", "/v1/schedules/s/pause").json()
        assert (paused["paused"], paused["upcoming"]) == (True, [])
    assert api.get("/v1/schedules").json()["schedules"][0]["next_at"] is None
    asyncio.run(api.schedules.world.until("2026-11-24 12:30"))
    resumed = api.request("POST", "/v1/schedules/s/resume").json()
    assert (resumed["paused"], resumed["upcoming"][0], resumed["history"]) == (False, "2026-11-24T13:00:00.000Z", [])


def test_run_now(api: Api) -> None:
    make(api)
    key = {"idempotency-key": "a key"}
    first, again = (api.request("POST", "/v1/schedules/s/run", headers=key) for _ in range(2))
    other = api.request("POST", "/v1/schedules/s/run")
    assert {answer.status_code for answer in (first, again, other)} == {202}
    assert (first.json()["deduplicated"], again.json()["deduplicated"]) == (False, True)
    assert first.json()["id"] == again.json()["id"] != other.json()["id"]
    api.run(for_ms=60_000)
    assert api.get(f"/v1/jobs/{first.json()['id']}").json()["status"] == JobStatus.COMPLETED


def test_backfill(api: Api) -> None:
    make(api, overlap="allow")
    answer = api.post("/v1/schedules/s/backfill", {"from": "2026-11-24T08:00:00+02:00", "to": "2026-11-24T08:59:00Z"})
    assert answer.status_code == 202
    assert answer.json() == {
        "times": 3, "first_at": "2026-11-24T06:00:00.000Z", "last_at": "2026-11-24T08:00:00.000Z",
    }  # fmt: skip
    api.run(for_ms=60_000)
    assert api.get("/v1/schedules/s").json()["waiting"] == 0
    assert len(api.schedules.world.created) == 3


@pytest.mark.parametrize(
    ("start", "end", "status", "code"),
    [
        ("2026-11-24T09:00:00Z", "2026-11-24T08:00:00Z", 422, "contradictory_options"),
        ("2026-11-24T09:00:00Z", "2026-11-24T18:00:00Z", 422, "contradictory_options"),
        ("2020-11-24T09:00:00Z", "2026-11-24T08:00:00Z", 400, "too_many_times"),
        ("2026-11-24T09:00:00", "2026-11-24T09:30:00", 422, "invalid_request"),
        ("0001-01-01T00:00:00+14:00", "2026-11-24T09:30:00Z", 422, "invalid_request"),
        ("2026-11-24T09:00:00Z", "9999-12-31T23:59:59-14:00", 422, "invalid_request"),
        ("yesterday", "today", 422, "invalid_request"),
    ],
)
def test_backfills_that_make_no_sense(api: Api, start: str, end: str, status: int, code: str) -> None:
    make(api)
    problem(api.post("/v1/schedules/s/backfill", {"from": start, "to": end}), status, code)


def test_lists(api: Api) -> None:
    for name, tag in (("b", "org_1"), ("a", "org_2"), ("c", "org_1")):
        make(api, id=name, tags=[tag])
    found = api.get("/v1/schedules").json()
    assert [item["id"] for item in found["schedules"]] == ["a", "b", "c"]
    assert found["schedules"][0]["next_at"] == "2026-11-24T11:00:00.000Z"
    page = api.get("/v1/schedules?tag=org_1&limit=1").json()
    assert [item["id"] for item in page["schedules"]] == ["b"]
    rest = api.get(f"/v1/schedules?tag=org_1&limit=1&cursor={page['next_cursor']}").json()
    assert ([item["id"] for item in rest["schedules"]], rest["next_cursor"]) == (["c"], None)
    assert api.get("/v1/schedules?workflow=other").json()["schedules"] == []
    problem(api.get("/v1/schedules?cursor=*"), 400, "invalid_cursor")


@pytest.mark.parametrize("name", ["x" * 101, ".hidden", "a%20b", "%C3%A4"])
def test_what_cannot_be_a_name_makes_no_object(api: Api, name: str) -> None:
    problem(api.get(f"/v1/schedules/{name}"), 404, "unknown_schedule")
    problem(patch(api, {}, name), 404, "unknown_schedule")
    assert api.schedules.world.hosts == {}


def test_a_schedule_of_the_code_is_not_changed_from_outside(api: Api) -> None:
    asyncio.run(api.schedules.declare(Schedule(id="nightly", workflow="keep", cron="0 3 * * *")))
    assert api.get("/v1/schedules/nightly").json()["origin"] == "code"
    problem(patch(api, {"cron": "5 * * * *"}, "nightly"), 409, "declared_in_code")
    problem(api.request("DELETE", "/v1/schedules/nightly"), 409, "declared_in_code")
    problem(api.post("/v1/schedules", {**BODY, "id": "nightly"}), 409, "schedule_exists")
    assert api.request("POST", "/v1/schedules/nightly/pause").json()["paused"]


def test_every_route_needs_the_key(api: Api) -> None:
    for method, path in [("GET", ""), ("POST", ""), ("GET", "/s"), ("DELETE", "/s"), ("POST", "/s/run")]:
        problem(api.request(method, f"/v1/schedules{path}", key=None), 401, "unauthorized")
