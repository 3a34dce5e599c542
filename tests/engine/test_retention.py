"""The end of a job's storage: everything goes, nothing is stranded, wherever the object stops on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from pydantic import BaseModel

from orchestrator import JobContext, NonRetryableError, large, workflow
from orchestrator.control import control
from orchestrator.engine import JobEngine
from orchestrator.errors import ConflictError, RetryableError, UnknownJobError, UnknownTokenError
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import MAX_VALUE_BYTES, RETENTION_MS, RETENTION_SPREAD_MS, STUB_IDLE_MS, STUB_POLL_MS
from orchestrator.model import ControlJob, CreateJob, JobOptions, RetryJob
from orchestrator.reuse import keyed_job_id
from orchestrator.testing import World


class Nothing(BaseModel):
    """No payload."""

    fail: bool = False


async def bulky() -> str:
    return "x" * (MAX_VALUE_BYTES + 10)


async def fail() -> None:
    raise NonRetryableError("no", code="no")


@workflow("bulky")
async def bulky_job(job: JobContext, payload: Nothing) -> int:
    text = await job.step("big", bulky)
    if payload.fail:
        await job.step("fail", fail)
    return len(text)


@workflow("parent")
async def parent(job: JobContext, payload: Nothing) -> object:
    return await job.run_child("one", "bulky", {})


def ended(options: JobOptions | None = None, **payload: object) -> tuple[World, str]:
    world = World(bulky_job, parent)
    job_id = world.start("bulky", payload, options or JobOptions(mode="direct"))
    asyncio.run(world.run())
    return world, job_id


def later(world: World, by_ms: int) -> None:
    asyncio.run(world.run(until_ms=world.clock.now_ms() + by_ms))


def values(world: World, job_id: str) -> Sequence[str]:
    return asyncio.run(world.blobs.list(large.prefix(job_id)))


def is_gone(world: World, job_id: str) -> bool:
    item = world.objects[job_id]
    tables = item.sql.execute("select name from sqlite_master")
    return not tables and item.alarm_ms is None and not values(world, job_id) and job_id not in world.catalog


def test_an_ended_job_is_deleted_when_its_time_is_over() -> None:
    world, job_id = ended()
    assert len(values(world, job_id)) == 1
    later(world, RETENTION_MS - 1_000)
    assert world.view(job_id).status is JobStatus.COMPLETED
    later(world, 1_000 + RETENTION_SPREAD_MS)
    assert is_gone(world, job_id)
    with pytest.raises(UnknownJobError):
        world.view(job_id)


def test_jobs_that_ended_together_are_not_deleted_together() -> None:
    world = World(bulky_job)
    job_ids = [world.start("bulky", {}, JobOptions(mode="direct")) for _ in range(20)]
    asyncio.run(world.run())
    ended_ms = world.clock.now_ms()
    alarms = [(world.objects[job_id].alarm_ms or 0) - ended_ms for job_id in job_ids]
    assert all(RETENTION_MS - 60_000 <= alarm <= RETENTION_MS + RETENTION_SPREAD_MS for alarm in alarms), alarms
    assert max(alarms) - min(alarms) > RETENTION_SPREAD_MS / 2


@pytest.mark.parametrize(("retention_ms", "gone"), [(0, False), (5_000, True)])
def test_retention_is_an_option(retention_ms: int, gone: bool) -> None:
    world, job_id = ended(JobOptions(mode="direct", retention_ms=retention_ms))
    later(world, 10 * RETENTION_MS)
    assert is_gone(world, job_id) == gone


def test_a_retried_job_is_not_deleted_until_it_has_ended_again() -> None:
    world, job_id = ended(JobOptions(mode="direct", retention_ms=60_000), fail=True)
    later(world, 50_000)
    world.call(job_id, lambda engine: engine.retry(RetryJob()))
    later(world, 30_000)
    assert world.view(job_id).status is JobStatus.FAILED
    later(world, 60_000)
    assert is_gone(world, job_id)


def test_a_job_is_deleted_on_demand_and_unknown_at_once() -> None:
    world, job_id = ended()
    assert world.call(job_id, lambda engine: engine.delete()) is JobStatus.COMPLETED
    calls: list[Callable[[JobEngine], object]] = [
        lambda engine: engine.delete(),
        lambda engine: engine.retry(RetryJob()),
        lambda engine: engine.deliver_event("x", None, 1),
    ]
    for call in calls:
        with pytest.raises(UnknownJobError):
            world.call(job_id, call)
    with pytest.raises(UnknownTokenError):
        world.call(job_id, lambda engine: engine.complete_token("big", 1))
    request = CreateJob(job_id=job_id, workflow="bulky", payload={})
    with pytest.raises(RetryableError, match="being deleted"):
        world.call(job_id, lambda engine: engine.create(request))
    asyncio.run(world.run())
    assert is_gone(world, job_id)
    assert not world.call(job_id, lambda engine: engine.create(request)).deduplicated
    world.queued.append(job_id)
    asyncio.run(world.run())
    assert world.view(job_id).status is JobStatus.COMPLETED


def test_only_an_ended_job_is_deleted() -> None:
    world = World(bulky_job)
    job_id = world.start("bulky", {})
    with pytest.raises(ConflictError, match="only a job that has ended"):
        world.call(job_id, lambda engine: engine.delete())
    asyncio.run(world.run())
    with pytest.raises(ConflictError) as caught:
        world.call(job_id, lambda engine: control(engine, ControlJob(action="delete", only_in=(JobStatus.FAILED,))))
    assert caught.value.error_code == "status_changed"


def test_a_parent_hears_of_its_child_before_the_child_goes() -> None:
    world = World(bulky_job, parent)
    job_id = world.start("parent", {})
    world.unreachable = {job_id}
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 20_000))
    (child_id,) = world.objects.keys() - {job_id}
    assert world.call(child_id, lambda engine: engine.delete()) is JobStatus.COMPLETED
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 20_000))
    assert not is_gone(world, child_id)
    world.unreachable = set()
    asyncio.run(world.run())
    assert world.view(job_id).result == MAX_VALUE_BYTES + 10
    assert is_gone(world, child_id)


def test_a_crash_at_every_write_of_a_deletion_leaves_nothing_behind() -> None:
    world, job_id = ended()
    before = world.writes
    world.call(job_id, lambda engine: engine.delete())
    asyncio.run(world.run())
    total = world.writes
    assert total - before >= 3
    for write in range(before + 1, total + 1):
        for second in (write + 1, write + 3, None):
            world, job_id = ended()
            world.crash_at(write, *([] if second is None else [second]))
            world.call(job_id, lambda engine: engine.delete())
            asyncio.run(world.run())
            assert world.crashes >= 1
            assert is_gone(world, job_id), f"crashed before writes {write} and {second}"


def test_many_large_values_go_in_several_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    world, job_id = ended()

    async def fill() -> None:
        for number in range(25_000):
            await world.blobs.put(f"{large.prefix(job_id)}{number:05}", b"")
        await world.blobs.put("jobs/other/values/x", b"")

    asyncio.run(fill())
    world.call(job_id, lambda engine: engine.delete())
    asyncio.run(world.run())
    assert is_gone(world, job_id)
    assert values(world, "other") == ["jobs/other/values/x"]


def test_what_leads_to_a_later_job_of_the_key_stays_while_that_job_does() -> None:
    world = World(bulky_job)
    first_id, second_id = (keyed_job_id("bulky", "k", number) for number in (0, 1))
    options = JobOptions(mode="direct", idempotency_key="k", idempotency_on_ended="new", retention_ms=60_000)

    def create(generation: int, job_id: str, *, retention_ms: int) -> int | None:
        kept = JobOptions(mode="direct", idempotency_key="k", idempotency_on_ended="new", retention_ms=retention_ms)
        request = CreateJob(job_id=job_id, workflow="bulky", payload={}, options=kept, generation=generation)
        return world.call(job_id, lambda engine: engine.create(request)).successor

    assert create(0, first_id, retention_ms=options.retention_ms) is None
    asyncio.run(world.run())
    assert create(0, first_id, retention_ms=60_000) == 1
    assert create(1, second_id, retention_ms=5 * STUB_POLL_MS) is None
    asyncio.run(world.run())
    later(world, 3 * STUB_POLL_MS)
    with pytest.raises(UnknownJobError):
        world.view(first_id)
    assert values(world, first_id) == []
    assert first_id not in world.catalog
    assert create(0, first_id, retention_ms=60_000) == 1
    assert world.view(second_id).status is JobStatus.COMPLETED
    later(world, 3 * STUB_POLL_MS + 2 * STUB_IDLE_MS)
    assert is_gone(world, second_id)
    later(world, 2 * STUB_POLL_MS)
    assert is_gone(world, first_id)
    assert create(0, first_id, retention_ms=60_000) is None
