"""Schedules in the real workerd: real objects, alarms, evictions and the platform's tick."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from local.process import LocalStack, wait_until
from tests.http.support import problem

WAIT_S = 60.0
#: A planned minute is at most a minute ahead, and the alarm may be late on a busy machine.
MINUTE_S = 90.0


@pytest.fixture(scope="module")
def client(stack: LocalStack) -> Iterator[httpx.Client]:
    with stack.client() as client:
        yield client


@pytest.fixture(scope="module")
def minutely(client: httpx.Client) -> str:
    """A schedule of every minute, made before the other tests run, so that its minute passes meanwhile."""
    return make(client, cron="* * * * *", time_zone="Asia/Tokyo")


def make(client: httpx.Client, **members: object) -> str:
    body = {"id": f"test:{uuid.uuid4()}", "workflow": "diagnostic-echo", "payload": {"steps": 2}, **members}
    answer = client.post("/v1/schedules", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def see(client: httpx.Client, name: str) -> dict[str, Any]:
    return client.get(f"/v1/schedules/{name}").raise_for_status().json()


def jobs_of(client: httpx.Client, name: str, count: int) -> list[dict[str, Any]]:
    """Wait until a schedule has started so many jobs; return its history, the first first."""
    wait_until(
        lambda: len(see(client, name)["history"]) >= count and see(client, name)["waiting"] == 0, timeout_s=WAIT_S
    )
    return see(client, name)["history"][::-1]


def completed(client: httpx.Client, job_id: str) -> dict[str, Any]:
    def job() -> dict[str, Any]:
        return client.get(f"/v1/jobs/{job_id}").raise_for_status().json()

    wait_until(lambda: job()["finished_at"] is not None, timeout_s=WAIT_S)
    assert job()["status"] == "completed"
    return job()


def test_a_schedule_runs_by_hand_once_per_key(client: httpx.Client, minutely: str) -> None:
    name = make(client, cron="0 3 * * *", paused=True)
    key = {"idempotency-key": str(uuid.uuid4())}
    first, again = (client.post(f"/v1/schedules/{name}/run", headers=key).json() for _ in range(2))
    assert (first["id"], first["deduplicated"], again["deduplicated"]) == (again["id"], False, True)
    job = completed(client, first["id"])
    assert (job["result"], job["tags"]) == ({"steps": 2, "total": 3}, [f"schedule:{name}"])


def test_an_alarm_runs_past_times_one_after_the_other(stack: LocalStack, client: httpx.Client, minutely: str) -> None:
    name = make(client, cron="0 12 * * *", time_zone="Australia/Lord_Howe", payload={"sleep_ms": 50})
    span = {"from": "2026-04-04T00:00:00Z", "to": "2026-04-06T00:00:00Z"}
    for _ in range(2):
        answer = client.post(f"/v1/schedules/{name}/backfill", json=span)
        assert (answer.status_code, answer.json()["times"]) == (202, 2)
    stack.evict("ScheduleObject", name)
    history = jobs_of(client, name, 2)
    # Daylight saving ends on the 5th: noon is half an hour later in UTC.
    assert [line["planned_at"] for line in history] == ["2026-04-04T01:00:00.000Z", "2026-04-05T01:30:00.000Z"]
    first, second = (completed(client, line["job_id"]) for line in history)
    assert first["finished_at"] <= second["created_at"]


def test_a_backlog_survives_sigkill(stack: LocalStack, client: httpx.Client, minutely: str) -> None:
    name = make(client, cron="0 12 * * *", payload={"sleep_ms": 300})
    span = {"from": "2026-04-01T00:00:00Z", "to": "2026-04-05T00:00:00Z"}
    assert client.post(f"/v1/schedules/{name}/backfill", json=span).json()["times"] == 4
    wait_until(lambda: len(see(client, name)["history"]) == 2, timeout_s=WAIT_S)
    stack.kill_workerd()
    stack.wait_ready()
    history = jobs_of(client, name, 4)
    assert [line["planned_at"][:10] for line in history] == ["2026-04-01", "2026-04-02", "2026-04-03", "2026-04-04"]
    for line in history:
        completed(client, line["job_id"])


def test_errors_keep_their_codes_on_the_way(client: httpx.Client, minutely: str) -> None:
    name = make(client, cron="0 3 * * *")
    problem(client.get(f"/v1/schedules/{uuid.uuid4()}"), 404, "unknown_schedule")
    problem(client.patch(f"/v1/schedules/{name}", json={"cron": "0 0 31 2 *"}), 422, "invalid_cron")
    problem(client.patch(f"/v1/schedules/{name}", json={"time_zone": "Mars/Olympus"}), 422, "unknown_time_zone")
    problem(client.patch(f"/v1/schedules/{name}", json={"payload": {"steps": -1}}), 422, "invalid_payload")
    changes = {"catch_up": "none", "catch_up_ms": 600_000}
    problem(client.patch(f"/v1/schedules/{name}", json=changes), 422, "contradictory_options")
    problem(client.post("/v1/schedules", json={"id": name, "workflow": "diagnostic-echo", "cron": "0 4 * * *"}), 409,
            "schedule_exists")  # fmt: skip


def test_the_platforms_tick_makes_the_codes_schedules(stack: LocalStack, client: httpx.Client, minutely: str) -> None:
    for _ in range(2):
        stack.run_scheduled()
        schedule = see(client, "diagnostic-hourly")
        assert (schedule["origin"], schedule["paused"], schedule["tags"]) == ("code", True, ["diagnostic"])
    listed = client.get("/v1/schedules", params={"tag": "diagnostic"}).json()["schedules"]
    assert [(item["id"], item["next_at"]) for item in listed] == [("diagnostic-hourly", None)]
    problem(client.delete("/v1/schedules/diagnostic-hourly"), 409, "declared_in_code")
    completed(client, client.post("/v1/schedules/diagnostic-hourly/run").json()["id"])


def test_a_deleted_schedule_is_gone(client: httpx.Client, minutely: str) -> None:
    name = make(client, cron="0 3 * * *", tags=["short-lived"])
    assert client.delete(f"/v1/schedules/{name}").status_code == 204
    problem(client.get(f"/v1/schedules/{name}"), 404, "unknown_schedule")
    assert client.get("/v1/schedules", params={"tag": "short-lived"}).json()["schedules"] == []


def test_a_minute_comes_and_double_ticks_change_nothing(stack: LocalStack, client: httpx.Client, minutely: str) -> None:
    wait_until(lambda: bool(see(client, minutely)["history"]), timeout_s=MINUTE_S)
    client.post(f"/v1/schedules/{minutely}/pause").raise_for_status()
    before = see(client, minutely)["history"]
    for _ in range(3):
        stack.run_scheduled()
    assert see(client, minutely)["history"] == before
    line = before[-1]
    assert (line["outcome"], line["reason"]) == ("started", "scheduled")
    assert line["planned_at"].endswith(":00.000Z")
    assert completed(client, line["job_id"])["created_at"] >= line["planned_at"]
