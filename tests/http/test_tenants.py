"""A tenant's jobs: recorded with the job, inherited by its children, found in the catalog, and apart by key."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from orchestrator import JobContext, workflow
from orchestrator.model import JobOptions
from orchestrator.testing import World
from tests.engine import workflows
from tests.engine.test_start_job import Letters, letter, letters
from tests.http.support import Api

KEEP: dict[str, object] = {"workflow": "keep", "payload": {}}


def test_a_job_says_whose_it_is(api: Api) -> None:
    job_id = api.start("keep", tenant="t1")
    api.run()
    assert api.get(f"/v1/jobs/{job_id}").json()["tenant"] == "t1"
    assert [job["tenant"] for job in api.get("/v1/jobs").json()["jobs"]] == ["t1"]


def test_children_are_their_parents_tenants() -> None:
    world = World(*workflows.ALL, services=workflows.World())
    parent = world.start("fan", {"n": 3}, JobOptions(tenant="t1", mode="direct"))
    asyncio.run(world.run())
    tenants = {job.workflow: job.tenant for job in world.catalog.values()}
    assert len(world.catalog) == 4
    assert world.view(parent).status == "completed"
    assert set(tenants.values()) == {"t1"}


async def begin(job: JobContext, payload: Letters) -> str:
    child = await job.start_child("one", "letter", {"text": "a"}, options=JobOptions(idempotency_key="k"))
    again = await job.start_child("two", "letter", {"text": "b"})
    return f"{child.id} {again.id}"


def test_started_jobs_are_their_starters_tenants() -> None:
    world = World(letters, letter, workflow("begin")(begin))
    ids = {
        tenant: [world.start(name, {}, JobOptions(tenant=tenant, mode="direct")) for name in ("letters", "begin")]
        for tenant in ("t1", "t2", None)
    }
    asyncio.run(world.run())
    assert all(world.view(job_id).status == "completed" for made in ids.values() for job_id in made)
    assert Counter(job.tenant for job in world.catalog.values()) == {"t1": 7, "t2": 7, None: 7}


def test_lists_by_tenant(api: Api) -> None:
    mine = [api.start("keep", tenant="t1", tags=["x"]) for _ in range(3)]
    api.start("keep", tenant="t2", tags=["x"])
    api.start("keep")
    api.run()

    def listed(query: str) -> list[str]:
        return sorted(job["id"] for job in api.get(f"/v1/jobs?{query}").json()["jobs"])

    assert listed("tenant=t1") == listed("tenant=t1&tag=x") == sorted(mine)
    assert listed("tenant=nobody") == []


def test_one_key_of_two_tenants_is_two_jobs(api: Api) -> None:
    options = [{"idempotency_key": "k"}, {"idempotency_key": "k", "tenant": "t1"}]
    options += [{"idempotency_key": "k", "tenant": "t2"}, {"idempotency_key": "t1\x1fk"}]
    ids = [api.post("/v1/jobs", {**KEEP, "options": item}).json()["id"] for item in options]
    again = [api.post("/v1/jobs", {**KEEP, "options": item}).json() for item in options]
    assert len(set(ids)) == len(options)
    assert [(item["id"], item["deduplicated"]) for item in again] == [(job_id, True) for job_id in ids]


def test_a_tenants_key_goes_through_its_generations(api: Api) -> None:
    options = {"idempotency": {"key": "k", "on_ended": "new"}, "tenant": "t1"}
    ids: list[str] = []
    for _ in range(4):
        ids.append(api.post("/v1/jobs", {**KEEP, "options": options}).json()["id"])
        api.run()
    assert len(set(ids)) == 4
    assert all(api.get(f"/v1/jobs/{job_id}").json()["tenant"] == "t1" for job_id in ids)


@pytest.mark.parametrize("tenant", ["", "a\nb", "x" * 300, 3])
def test_a_tenant_has_a_name(api: Api, tenant: object) -> None:
    assert api.post("/v1/jobs", {**KEEP, "options": {"tenant": tenant}}).status_code == 422


def test_a_trigger_takes_a_tenant(api: Api) -> None:
    api.post("/trigger/ingest", {"body": {}, "plan": "pro", "tenant": "t1"})
    assert [request.options.tenant for request in api.backend.requests] == ["t1"]
