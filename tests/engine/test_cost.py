"""What a job costs is in its status and costs nothing itself; a job that has used up its budget rests."""

from __future__ import annotations

import asyncio
import gc
import sqlite3

import pytest
from pydantic import BaseModel

from orchestrator import Batch, JobBudget, JobContext, Page, WorkflowOptions, workflow
from orchestrator.control import control
from orchestrator.errors import ConflictError
from orchestrator.journal import Journal
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import MAX_JOB_USD
from orchestrator.meter import Meter, Usage
from orchestrator.model import ControlJob, JobOptions
from orchestrator.prices import estimate_usd
from orchestrator.testing import MemorySql, World


class Nothing(BaseModel):
    pass


async def nothing(batch: Batch[int, int]) -> int:
    return batch.state + len(batch.items)


class Endless:
    """A source that never ends: a runaway loop."""

    async def read(self, cursor: object, limit: int, /) -> Page[int]:
        at = cursor if isinstance(cursor, int) else 0
        return Page([at] * limit, at + 1, done=False)


async def clean(job: JobContext, payload: BaseModel, error: str) -> None:
    await job.sleep(1_000)


@workflow("runaway", options=WorkflowOptions(budget=JobBudget(slices=7), on_cancel=clean))
async def runaway(job: JobContext, payload: Nothing) -> None:
    await job.each("walk", Endless(), nothing, state=0)


@workflow("restless", options=WorkflowOptions(budget=JobBudget(slices=7)))
async def restless(job: JobContext, payload: Nothing) -> None:
    while True:
        await job.sleep(1_000)


@workflow("walking")
async def walking(job: JobContext, payload: Nothing) -> int:
    result = await job.each("walk", range(100_000), nothing, state=0, batch=1)
    await job.sleep(1_000)
    return result.items


def test_usage_is_added_up_over_slices() -> None:
    world = World(walking)
    job_id = world.start("walking", {})
    asyncio.run(world.run())
    view = world.view(job_id)
    cost = view.cost
    assert view.result == 100_000
    assert cost.slices == view.slices
    assert cost.alarms_fired >= view.slices
    assert cost.alarms_set == world.objects[job_id].alarm_writes
    assert cost.rows_written == view.rows_written
    assert cost.rows_read > cost.slices
    assert cost.calls >= 2  # the catalog
    assert cost.active_ms == 0  # time stands still in a slice of this world
    assert cost.storage_bytes > 4_096
    assert 0 < cost.estimated_usd < 0.01


def test_time_at_work_is_counted_and_time_of_waits_is_not() -> None:
    @workflow("slow")
    async def slow(job: JobContext, payload: Nothing) -> None:
        await job.step("work", work)
        await job.sleep(3_600_000)

    async def work() -> None:
        world.clock.time_ms += 2_500

    world = World(slow)
    job_id = world.start("slow", {})
    asyncio.run(world.run())
    assert world.view(job_id).cost.active_ms == 2_500


def test_the_meter_writes_no_row() -> None:
    """A meter that counts and one that does not: the same statements."""
    world = World(walking)
    job_id = world.start("walking", {})
    asyncio.run(world.run())
    found = world.view(job_id)
    for _ in range(5):
        world.view(job_id)
    assert world.view(job_id).rows_written == found.rows_written
    assert world.view(job_id).cost.alarms_set == found.cost.alarms_set


def test_a_runaway_loop_rests_and_says_why() -> None:
    world = World(runaway)
    job_id = world.start("runaway", {})
    asyncio.run(world.run())
    view = world.view(job_id)
    assert (view.status, view.slices) == (JobStatus.PAUSED, 7)
    assert view.error is not None
    assert view.error.code == "budget_exceeded"
    assert "slices 7 of 7" in view.error.message
    assert world.catalog[job_id].error == f"budget_exceeded: {view.error.message}"


def test_a_larger_budget_lets_it_go_on() -> None:
    world = World(runaway)
    job_id = world.start("runaway", {})
    asyncio.run(world.run())
    with pytest.raises(ConflictError) as refused:
        world.call(job_id, lambda engine: engine.resume())
    assert refused.value.error_code == "budget_exceeded"
    assert world.view(job_id).status is JobStatus.PAUSED
    wish = ControlJob(action="resume", budget=JobBudget(slices=9))
    world.call(job_id, lambda engine: control(engine, wish))
    asyncio.run(world.run())
    view = world.view(job_id)
    assert (view.status, view.slices) == (JobStatus.PAUSED, 9)
    world.call(job_id, lambda engine: engine.cancel("enough"))
    asyncio.run(world.run())
    assert world.view(job_id).status is JobStatus.CANCELLED  # its hook runs, whatever it costs


@pytest.mark.parametrize(
    "budget",
    [JobBudget(rows_written=60), JobBudget(rows_read=10), JobBudget(calls=1), JobBudget(estimated_usd=0.0001)],
)
def test_each_limit_stops_a_job(budget: JobBudget) -> None:
    world = World(walking)
    job_id = world.start("walking", {}, JobOptions(mode="direct", budget=budget))
    asyncio.run(world.run())
    view = world.view(job_id)
    assert view.status is JobStatus.PAUSED
    assert view.error is not None
    (name,) = (name for name in JobBudget.__struct_fields__ if getattr(budget, name) is not None)
    assert name in view.error.message


def test_every_workflow_has_a_limit_of_money() -> None:
    assert runaway.options.budget.estimated_usd is None
    assert walking.options.budget.estimated_usd == MAX_JOB_USD


def test_a_crash_at_every_write_stops_it_at_the_same_place() -> None:
    undisturbed = World(restless)
    undisturbed.start("restless", {})
    asyncio.run(undisturbed.run())
    for write in range(1, undisturbed.writes + 1):
        world = World(restless)
        world.crash_at(write)
        job_id = world.start("restless", {})
        asyncio.run(world.run())
        view = world.view(job_id)
        assert (view.status, view.slices) == (JobStatus.PAUSED, 7), f"crashed before write {write}"


def test_a_journal_of_an_earlier_release_gets_the_new_columns() -> None:
    sql = MemorySql()
    Journal(sql).migrate()
    for column in ("account", "pause_error"):
        sql.execute(f"alter table job drop column {column}")  # type: ignore[arg-type]
    sql.execute("drop trigger step_completed")
    sql.execute("update schema_version set version = 1")
    journal = Journal(sql)
    journal.migrate()
    assert journal.load_job() is None
    assert sql.execute("select version from schema_version") == [(4,)]
    assert sql.execute("select 1 from sqlite_master where name = 'step_completed'")


def test_prices() -> None:
    """The worked example of the pricing page: a job of 60 s, 56 requests and 250 rows."""
    usage = Usage(requests=6, alarms_fired=50, active_ms=60_000, queue_operations=3)
    found = estimate_usd(usage, rows_written=250, storage_bytes=200_000, kept_ms=30 * 86_400_000)
    parts = 56 * 0.15e-6 + 60 * 0.128 * 12.5e-6 + 250e-6 + 3 * 0.4e-6 + 0.0002 * 0.20
    assert found == pytest.approx(parts)


def test_a_meter_gives_each_count_once() -> None:
    meter = Meter()
    meter.begin(1_000)
    meter.calls += 2
    first = meter.take(1_400, rows_read=10)
    meter.end(1_500)
    second = meter.take(9_000, rows_read=15)
    assert (first.calls, first.active_ms, first.rows_read, first.alarms_fired) == (2, 400, 10, 1)
    assert (second.calls, second.active_ms, second.rows_read, second.alarms_fired) == (0, 100, 5, 0)


def test_a_database_in_memory_goes_with_its_owner() -> None:
    def connections() -> int:
        gc.collect()
        return sum(isinstance(found, sqlite3.Connection) for found in gc.get_objects())

    before = connections()
    for _ in range(3):
        Journal(MemorySql()).migrate()
    assert connections() <= before
