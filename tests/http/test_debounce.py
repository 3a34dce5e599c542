"""Debounce and other options of a start, through the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.lifecycle import JobStatus
from tests.http.support import Api, problem


def job(value: object, **options: object) -> dict[str, object]:
    return {"workflow": "keep", "payload": {"value": value}, "options": {"mode": "direct", **options}}


def test_calls_one_by_one_and_in_a_batch_are_one_job(api: Api) -> None:
    first = api.post("/v1/jobs", job(1, idempotency_key="k", debounce=5)).json()
    assert (first["status"], first["deduplicated"]) == ("waiting", False)
    items = [job(number, idempotency_key="k", debounce=5) for number in (2, 3)]
    batch = api.post("/v1/jobs/batch", {"items": items}).json()
    assert {item["id"] for item in batch["results"]} == {first["id"]}
    api.run()
    assert api.world.view(first["id"]).result == 3


def test_a_job_runs_at_a_time(api: Api) -> None:
    now_ms = api.world.clock.now_ms()
    at = datetime.fromtimestamp(now_ms / 1000, UTC) + timedelta(days=300)
    job_id = api.post("/v1/jobs", job(1, run_at=at.isoformat())).json()["id"]
    api.run(for_ms=299 * 86_400_000)
    assert api.world.view(job_id).status is JobStatus.WAITING
    api.run()
    assert (api.world.view(job_id).started_at_ms or 0) - now_ms >= 300 * 86_400_000


@pytest.mark.parametrize(
    "options",
    [
        {"debounce": 5},
        {"debounce": 5, "idempotency_key": "k", "delay": 5},
        {"debounce_max": 5, "idempotency_key": "k"},
        {"debounce": 5, "idempotency": {"key": "k", "on_ended": "new"}},
        {"delay": 60, "ttl": 30},
        {"delay": 60, "run_at": "2030-01-01T00:00:00Z"},
    ],
)
def test_options_that_contradict_each_other(api: Api, options: dict[str, object]) -> None:
    problem(api.post("/v1/jobs", job(1, **options)), 422, "contradictory_options")
    batch = api.post("/v1/jobs/batch", {"items": [job(1, **options), job(2)]}).json()
    assert (batch["accepted"], batch["results"][0]["error"]["code"]) == (1, "contradictory_options")
    assert len(api.world.objects) == 1
