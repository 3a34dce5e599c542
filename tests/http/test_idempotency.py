"""Idempotency keys: one job per key, and when a key means a new one."""

from __future__ import annotations

import asyncio
import itertools

import httpx
import pytest

from durable.http import enqueue
from orchestrator.errors import RetryableError
from orchestrator.lifecycle import JobStatus
from orchestrator.model import CreateJob, JobOptions
from orchestrator.reuse import keyed_job_id
from orchestrator.testing.world import WorldObject
from tests.http.support import Api, problem


def ask(api: Api, workflow: str = "keep", payload: object = None, **policy: object) -> httpx.Response:
    options = {"idempotency": {"key": "k", **policy}, "mode": "direct"}
    return api.post("/v1/jobs", {"workflow": workflow, "payload": payload or {}, "options": options})


def job(api: Api, workflow: str = "keep", payload: object = None, **policy: object) -> tuple[str, bool]:
    answer = ask(api, workflow, payload, **policy)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"], answer.json()["deduplicated"]


def test_the_same_key_with_another_payload_is_a_conflict(api: Api) -> None:
    first, _ = job(api, payload={"value": {"a": 1, "b": [2]}})
    assert job(api, payload={"value": {"b": [2], "a": 1}}) == (first, True)
    document = problem(ask(api, payload={"value": {"a": 1, "b": [3]}}), 409, "idempotency_conflict")
    assert document["job_id"] == first


def test_a_window_ends_what_a_key_means(api: Api) -> None:
    first, _ = job(api, "stuck", window=60)
    api.run(for_ms=50_000)
    assert job(api, "stuck", window=60) == (first, True)
    api.run(for_ms=20_000)
    second, deduplicated = job(api, "stuck", {"value": "new"}, window=60)
    assert (second != first, deduplicated) == (True, False)
    assert job(api, "stuck", {"value": "new"}, window=60) == (second, True)
    # Without a window the key means its latest job for as long as that one is kept.
    assert job(api, "stuck", {"value": "new"}) == (second, True)


@pytest.mark.parametrize(
    ("workflow", "on_ended", "is_new"),
    [
        ("keep", "return", False),
        ("keep", "new_if_failed", False),
        ("keep", "new", True),
        ("broken", "return", False),
        ("broken", "new_if_failed", True),
        ("broken", "new", True),
    ],
)
def test_an_ended_job_releases_its_key_by_policy(api: Api, workflow: str, on_ended: str, is_new: bool) -> None:
    first, _ = job(api, workflow, on_ended=on_ended)
    assert job(api, workflow, on_ended=on_ended) == (first, True)
    api.run()
    second, deduplicated = job(api, workflow, on_ended=on_ended)
    assert (second != first, not deduplicated) == (is_new, is_new)


def test_one_job_at_a_time_whatever_its_payload(api: Api) -> None:
    first, _ = job(api, payload={"value": 1}, on_ended="new")
    assert job(api, payload={"value": 2}, on_ended="new") == (first, True)
    api.run()
    second, _ = job(api, payload={"value": 2}, on_ended="new")
    api.run()
    assert [api.world.view(job_id).result for job_id in (first, second)] == [1, 2]


def test_the_hundredth_job_of_a_key_is_found_as_quickly_as_the_third(api: Api) -> None:
    ids: list[str] = []
    for _ in range(120):
        job_id, deduplicated = job(api, on_ended="new")
        assert not deduplicated
        ids.append(job_id)
        api.run()
    assert len(set(ids)) == 120
    asked = len(api.backend.requests)
    assert job(api) == (ids[-1], True)
    assert len(api.backend.requests) - asked == 2


def test_the_way_to_the_latest_job_need_not_be_short(api: Api) -> None:
    api.backend.failures["supersede"] = [RetryableError("away", code="object_unreachable")] * 100
    ids: list[str] = []
    for _ in range(5):
        ids.append(job(api, on_ended="new")[0])
        api.run()
    assert len(set(ids)) == 5
    assert job(api) == (ids[-1], True)
    assert any(event == "supersede.failed" for _, event, _ in api.logs)


def test_requests_at_the_same_moment_are_one_job(api: Api) -> None:
    """Whatever the order in which two requests' calls arrive."""
    for order in set(itertools.permutations("aabb")):
        api = Api()
        first, _ = job(api, on_ended="new")
        api.run()
        requests = {name: _request() for name in "ab"}
        created: dict[str, str] = {}
        for name in order:
            if name in created:
                continue
            request = requests[name]
            answer = api.world.call(request.job_id, lambda engine, asked=request: engine.create(asked))  # type: ignore[misc]
            if answer.successor is None:
                created[name] = answer.id
            else:
                requests[name] = _request(answer.successor)
        assert set(created) == {"a", "b"}
        assert len(set(created.values()) - {first}) == 1, order


def _request(generation: int = 0) -> CreateJob:
    options = JobOptions(mode="direct", idempotency_key="k", idempotency_on_ended="new")
    job_id = keyed_job_id("keep", "k", generation)
    return CreateJob(job_id=job_id, workflow="keep", payload={}, options=options, generation=generation)


def test_a_crash_at_every_write_still_gives_one_job(api: Api) -> None:
    job(api, on_ended="new")
    api.run()
    before = api.world.writes
    asyncio.run(enqueue.record(api.host, _request()))
    total = api.world.writes - before
    for write in range(1, total + 1):
        api = Api()
        first, _ = job(api, on_ended="new")
        api.run()
        api.world.crash_at(api.world.writes + write)
        created = asyncio.run(enqueue.record(api.host, _request()))
        again = asyncio.run(enqueue.record(api.host, _request()))
        assert (created.id != first, again.id) == (True, created.id)
        assert api.world.crashes == 1
        assert len(_jobs(api)) == 2


def _jobs(api: Api) -> list[WorldObject]:
    return [item for item in api.world.objects.values() if item.engine.exists()]


def test_a_deleted_job_frees_its_key(api: Api) -> None:
    first, _ = job(api)
    api.run()
    assert api.request("DELETE", f"/v1/jobs/{first}").status_code == 204
    document = problem(ask(api), 503, "job_being_deleted")
    assert "again" in str(document["detail"]) or document["detail"]
    api.run()
    problem(api.get(f"/v1/jobs/{first}"), 404, "unknown_job")
    assert api.get("/v1/jobs").json()["jobs"] == []
    assert job(api) == (first, False)
    api.run()
    assert api.world.view(first).status is JobStatus.COMPLETED
    assert [item["id"] for item in api.get("/v1/jobs").json()["jobs"]] == [first]


def test_a_job_under_way_is_not_deleted(api: Api) -> None:
    job_id = api.start("stuck")
    problem(api.request("DELETE", f"/v1/jobs/{job_id}"), 409, "conflict")
    problem(api.request("DELETE", "/v1/jobs/nonsense"), 404, "unknown_job")


def test_keys_that_contradict_each_other(api: Api) -> None:
    options = {"idempotency": {"key": "a"}, "idempotency_key": "b"}
    problem(
        api.post("/v1/jobs", {"workflow": "keep", "payload": {}, "options": options}), 400, "idempotency_keys_differ"
    )
    same = {"idempotency": {"key": "a"}, "idempotency_key": "a"}
    answer = api.post("/v1/jobs", {"workflow": "keep", "payload": {}, "options": same}, idempotency_key="a")
    assert answer.status_code == 202
    problem(ask(api, on_ended="maybe"), 422, "invalid_request")
    problem(ask(api, window=-1), 422, "invalid_request")
