"""The tools for authors: tests of one workflow, in a few lines each."""

from __future__ import annotations

import random
import uuid
from typing import cast

import pytest
from pydantic import BaseModel

from orchestrator import Connection, JobContext, NonRetryableError, WorkflowOptions, current_step, workflow
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import WATCHDOG_MS
from orchestrator.model import JobOptions
from orchestrator.testing import Effects, MemoryDatabase
from orchestrator.testing.plan import KINDS, FaultKind
from orchestrator.testing.plugin import Simulate
from orchestrator.testing.simulate import SimulatedJob

MINUTE_MS = 60_000


class Order(BaseModel):
    id: int = 7
    careful: bool = True


def shop() -> Effects:
    return cast("Effects", current_step().services)


async def charge(order_id: int, careful: bool) -> None:
    key = current_step().idempotency_key if careful else str(uuid.uuid4())
    shop().apply(f"charge order {order_id}", key=key)


async def refund() -> None:
    shop().apply("refund", key=current_step().idempotency_key)


async def give_back(job: JobContext, payload: BaseModel, error: str) -> None:
    await job.step("refund", refund)


@workflow("checkout", options=WorkflowOptions(on_cancel=give_back))
async def checkout(job: JobContext, payload: Order) -> object:
    await job.step("charge", charge, payload.id, payload.careful)
    return await job.wait_for_event("shipped", timeout_ms=60 * MINUTE_MS)


@workflow("signing")
async def signing(job: JobContext, payload: Order) -> list[object]:
    token = await job.create_token(timeout_ms=MINUTE_MS, name="signature")
    return [await job.wait_for_token(token), job.random()]


@workflow("fickle")
async def fickle(job: JobContext, payload: Order) -> None:
    if random.random() < 0.5:
        await job.step("heads", charge, 1, True)
    else:
        await job.step("tails", charge, 2, True)
    await job.sleep(1_000)
    if random.random() < 0.5:
        raise NonRetryableError("unlucky", code="unlucky")


async def book(connection: Connection, order_id: int) -> None:
    await connection.execute("insert into booking (id) values ($1)", order_id)


@workflow("booking")
async def booking(job: JobContext, payload: Order) -> None:
    await job.transaction("book", book, payload.id)


def database() -> MemoryDatabase:
    return MemoryDatabase("create table booking (id integer)")


def test_a_job_runs_until_it_waits_for_somebody_and_goes_on(simulate: Simulate) -> None:
    job = simulate(checkout, {}).run()
    assert job.status is JobStatus.SUSPENDED
    job.deliver_event("shipped", "by train").run().assert_completed("by train").assert_effects_once()
    with pytest.raises(AssertionError, match="written"):
        job.assert_rows_written(at_most=3)
    job.assert_rows_written(at_most=45)  # 16 of them for its tables


def test_an_event_may_come_before_the_wait(simulate: Simulate) -> None:
    simulate(checkout, {}).deliver_event("shipped", 1).run().assert_completed(1)


def test_time_runs_out_when_a_test_lets_it(simulate: Simulate) -> None:
    job = simulate(checkout, {}).run()
    before_ms = job.time.now_ms
    job.time.advance(minutes=59)
    assert job.status is JobStatus.SUSPENDED
    job.time.advance(minutes=2).run().assert_failed("wait_timeout")
    assert job.time.now_ms - before_ms == 61 * MINUTE_MS


def test_a_token_is_completed_as_soon_as_there_is_one(simulate: Simulate) -> None:
    job = simulate(signing, {}).complete_token({"by": "Ada"}, name="signature").run()
    assert cast("list[object]", job.result)[0] == {"by": "Ada"}
    with pytest.raises(AssertionError, match="no open token"):
        job.complete_token(name="signature")


def test_every_write_of_a_careful_workflow(simulate: Simulate) -> None:
    job = simulate(checkout, {}).run().deliver_event("shipped")
    runs = job.crash_at_every_write(SimulatedJob.assert_effects_once)
    assert runs > 25
    assert job.effects.applied == ["charge order 7"]


def test_a_key_made_inside_the_step_is_found_out(simulate: Simulate) -> None:
    """The undisturbed run is fine, and so are most crashes."""
    job = simulate(checkout, {"careful": False}).run().deliver_event("shipped").run().assert_effects_once()
    with pytest.raises(AssertionError, match=r"stopped before write \d+ of \d+: done more than once: .*charge order 7"):
        job.crash_at_every_write(SimulatedJob.assert_effects_once)


def test_a_workflow_that_rolls_dice_is_found_out(simulate: Simulate) -> None:
    random.seed(3)
    job = simulate(fickle, {}).run()
    with pytest.raises(AssertionError, match="replayed in every slice"):
        [job.assert_replays() for _ in range(20)]


def test_one_crash(simulate: Simulate) -> None:
    job = simulate(checkout, {}).crash_at(20).run().deliver_event("shipped").run()
    job.assert_completed().assert_effects_once()
    assert "slice.died" in job.story()
    assert job.time.now_ms - job.view.created_at_ms >= WATCHDOG_MS


def test_a_storm_of_faults_and_a_deployment(simulate: Simulate) -> None:
    # Outages of the database would use the attempts of the transaction up.
    storm: dict[FaultKind, float] = {kind: 0.03 for kind in KINDS if not kind.startswith("database_")}
    for seed in range(10):
        job = simulate(booking, {}, database=database).storm(storm, seed=seed).run().deploy().run()
        job.assert_completed()
        assert job.play.simulation.server.db.execute("select count(*) from booking").fetchone()[0] == 1


def test_cancelling_pausing_and_retrying(simulate: Simulate) -> None:
    job = simulate(checkout, {}).run().cancel().run()
    assert (job.status, job.effects.applied) == (JobStatus.CANCELLED, ["charge order 7", "refund"])
    paused = simulate(checkout, {}).run().pause().time.advance(hours=5)
    assert paused.status is JobStatus.PAUSED
    paused.resume().deliver_event("shipped").run().assert_completed()
    failed = simulate(checkout, {}).run().time.advance(hours=2).run().assert_failed("wait_timeout")
    failed.retry(scratch=True).deliver_event("shipped", "late").run().assert_completed("late")


def test_a_queued_job_and_its_options(simulate: Simulate) -> None:
    job = simulate(booking, {}, database=database, options=JobOptions(delay_ms=MINUTE_MS)).run().assert_completed()
    assert job.time.now_ms - job.view.created_at_ms >= MINUTE_MS


def test_faults_are_chosen_before_the_job_begins(simulate: Simulate) -> None:
    job = simulate(checkout, {}).run()
    with pytest.raises(AssertionError, match="has begun"):
        job.crash_at(3)
