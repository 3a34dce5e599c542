"""The ledger of database effects: its rows live as long as their job, and no longer."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from orchestrator import Connection, JobContext, JobOptions, RetryableError, current_step, workflow
from orchestrator.lifecycle import JobStatus
from orchestrator.model import CreateJob
from orchestrator.reuse import keyed_job_id
from orchestrator.testing import World
from orchestrator.testing.database import MemoryDatabase


class Nothing(BaseModel):
    pass


async def deposit(connection: Connection) -> None:
    await connection.execute("update account set balance = balance + 10")


@workflow("depositing")
async def depositing(job: JobContext, payload: Nothing) -> None:
    await job.transaction("deposit", deposit)


async def deposit_at_last(connection: Connection) -> None:
    await deposit(connection)
    if current_step().attempt == 1:
        raise RetryableError("not yet")


@workflow("stumbling")
async def stumbling(job: JobContext, payload: Nothing) -> None:
    await job.transaction("deposit", deposit_at_last)


@workflow("idle")
async def idle(job: JobContext, payload: Nothing) -> None:
    await job.sleep(1)


def new_world(*crash_at: int) -> tuple[World, MemoryDatabase]:
    database = MemoryDatabase("create table account (balance integer)", "insert into account values (0)")
    world = World(depositing, stumbling, idle, database=database.connect)
    world.crash_at(*crash_at)
    return world, database


def start(world: World, name: str = "depositing") -> str:
    job_id = keyed_job_id(name, "k")
    options = JobOptions(idempotency_key="k", mode="direct")
    request = CreateJob(job_id=job_id, workflow=name, payload={}, options=options)
    world.call(job_id, lambda engine: engine.create(request))
    asyncio.run(world.run())
    return job_id


def delete(world: World, job_id: str) -> None:
    world.call(job_id, lambda engine: engine.delete())
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 60_000))
    assert not world.call(job_id, lambda engine: engine.exists())


def balance(database: MemoryDatabase) -> int:
    return int(database.db.execute("select balance from account").fetchone()[0])


def test_the_key_of_a_deleted_job_means_a_new_job_whose_effects_happen() -> None:
    world, database = new_world()
    job_id = start(world)
    assert (balance(database), database.effects()) == (10, [f"{job_id}:deposit"])
    delete(world, job_id)
    assert database.effects() == []
    assert start(world) == job_id
    assert world.view(job_id).status is JobStatus.COMPLETED
    assert balance(database) == 20


def test_a_crash_at_every_write_leaves_no_row_of_the_ledger_and_applies_each_effect_once() -> None:
    undisturbed, _ = new_world()
    delete(undisturbed, start(undisturbed))
    for write in range(1, undisturbed.writes + 1):
        world, database = new_world(write)
        job_id = start(world)
        assert balance(database) == 10, f"crashed before write {write}"
        delete(world, job_id)
        assert database.effects() == [], f"crashed before write {write}"


def test_an_attempt_that_failed_leaves_nothing_and_the_next_one_takes_effect() -> None:
    world, database = new_world()
    start(world, "stumbling")
    assert balance(database) == 10


def test_other_jobs_rows_stay() -> None:
    world, database = new_world()
    database.db.execute("insert into wf.effect (key) values ('run_other:deposit'), ('meter:doc:2026-11')")
    delete(world, start(world))
    assert sorted(database.effects()) == ["meter:doc:2026-11", "run_other:deposit"]


def test_a_job_without_effects_opens_no_database() -> None:
    world, _ = new_world()
    world.database = None  # asking for it would fail
    delete(world, start(world, "idle"))
