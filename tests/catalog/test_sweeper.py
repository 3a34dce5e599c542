"""The sweeper: a job whose alarm was lost comes back, and nothing stops the tick."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from durable.catalog import Catalog
from durable.catalog_model import CountsQuery, JobQuery, OverdueQuery
from durable.expected import PATIENCE_MS
from durable.sweeper import GRACE_MS, SWEEP_LIMIT, sweep
from orchestrator.control import look_after
from orchestrator.errors import RetryableError, UnknownJobError
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import ALARM_LEAD_MS
from orchestrator.model import JobOptions, JobSummary
from orchestrator.testing import MemorySql, World
from orchestrator.views import summary
from steps.diagnostics import diagnostic_echo

#: The grace period, and the moment an alarm is set ahead.
LATE_MS = GRACE_MS + ALARM_LEAD_MS


class Port:
    """A world of jobs with a real catalog."""

    def __init__(self) -> None:
        self.world = World(diagnostic_echo)
        self.catalog = Catalog(MemorySql())
        self.failing: set[str] = set()
        self.silent: list[str] = []
        self.failures: list[Exception] = []
        self.seen: list[str] = []
        self.logs: list[str] = []

    async def overdue(self, query: OverdueQuery) -> tuple[list[str], list[str]]:
        if self.failures:
            raise self.failures.pop(0)
        return self.catalog.overdue(query), self.silent

    async def summary(self, job_id: str) -> JobSummary:
        self.seen.append(job_id)
        if job_id in self.failing:
            raise RetryableError("away", code="object_unreachable")
        return await self.world.wait_for(None, "summary", self.world.object(job_id), look_after)

    async def publish(self, summary: JobSummary) -> None:
        self.catalog.publish(summary)

    async def looked_for(self, job_id: str) -> None:
        self.catalog.looked_for(job_id)

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        self.logs.append(event)

    def unknown(self, job_id: str, call: object) -> JobSummary:
        raise UnknownJobError

    def start(self, **payload: object) -> str:
        """Create a job that never gets to its first slice: its alarm is lost."""
        job_id = self.world.start("diagnostic-echo", payload, JobOptions(mode="direct"))
        found = self.world.objects[job_id]
        self.catalog.publish(summary(found.engine.known(), found.engine.journal, found.alarm_ms))
        found.alarm_ms = None
        return job_id

    def sweep(self) -> int:
        return asyncio.run(sweep(self, self.world.clock))


@pytest.fixture
def port() -> Port:
    return Port()


def test_a_lost_alarm_is_healed(port: Port) -> None:
    job_id = port.start(steps=3)
    assert not asyncio.run(port.world.step())
    assert port.sweep() == 0
    port.world.clock.time_ms += LATE_MS
    assert port.sweep() == 1
    asyncio.run(port.world.run())
    assert port.world.view(job_id).status is JobStatus.COMPLETED


def test_a_job_that_never_told_of_itself_is_looked_for(port: Port) -> None:
    """Its object died before it could, and its alarm was lost."""
    job_id = port.world.start("diagnostic-echo", {"steps": 1}, JobOptions(mode="direct"))
    port.catalog.expect(job_id, port.world.clock.now_ms())
    port.world.objects[job_id].alarm_ms = None
    port.world.objects[job_id].crash()
    port.world.clock.time_ms += PATIENCE_MS
    assert port.sweep() == 1
    asyncio.run(port.world.run())
    assert port.world.view(job_id).status is JobStatus.COMPLETED
    assert port.catalog.list_jobs(JobQuery()).jobs[0].id == job_id
    port.catalog.publish(port.world.catalog[job_id])
    port.world.clock.time_ms += PATIENCE_MS
    assert port.sweep() == 0


def test_what_was_expected_and_never_recorded_is_forgotten(port: Port) -> None:
    port.catalog.expect("run_nobody", port.world.clock.now_ms())
    port.world.clock.time_ms += PATIENCE_MS
    port.world.call = port.unknown  # type: ignore[method-assign]
    assert (port.sweep(), port.seen) == (1, ["run_nobody"])
    assert (port.sweep(), port.seen) == (0, ["run_nobody"])


def test_a_job_that_acts_again_is_looked_at_whatever_it_tells(port: Port) -> None:
    """It had ended; what it tells first may be of before, and its alarm may be lost."""
    job_id = port.world.start("diagnostic-echo", {"steps": 1}, JobOptions(mode="direct"))
    asyncio.run(port.world.run())
    port.catalog.expect(job_id, port.world.clock.now_ms(), firm=True)
    port.catalog.publish(port.world.catalog[job_id])
    port.world.clock.time_ms += PATIENCE_MS
    port.sweep()
    assert port.seen == [job_id]
    port.catalog.expect(job_id, port.world.clock.now_ms(), firm=True)
    port.catalog.looked_for(job_id)  # of the look before
    port.world.clock.time_ms += PATIENCE_MS
    port.sweep()
    assert port.seen == [job_id] * 2


def test_a_job_that_rests_is_left_alone(port: Port) -> None:
    job_id = port.start(steps=1)
    port.world.clock.time_ms += LATE_MS
    port.sweep()
    asyncio.run(port.world.run())
    port.catalog.publish(port.world.catalog[job_id])
    port.world.clock.time_ms += 100 * GRACE_MS
    assert port.sweep() == 0


def test_a_look_brings_the_catalog_up_to_date(port: Port) -> None:
    job_id = port.start(steps=2, sleep_ms=86_400_000)
    port.world.clock.time_ms += LATE_MS
    port.sweep()
    asyncio.run(port.world.run(until_ms=port.world.clock.now_ms() + 2 * GRACE_MS))
    assert port.sweep() == 1
    (job,) = port.catalog.list_jobs(JobQuery()).jobs
    assert (job.id, job.status) == (job_id, JobStatus.SUSPENDED)


def test_one_job_that_does_not_answer_leaves_the_others(port: Port) -> None:
    ids = [port.start(steps=1) for _ in range(5)]
    port.failing = {ids[0], ids[3]}
    port.world.clock.time_ms += LATE_MS
    assert port.sweep() == 3
    assert sorted(port.seen) == sorted(ids)
    assert port.logs.count("sweep.job_failed") == 2


def test_a_tick_is_bounded_and_the_next_one_goes_on(port: Port) -> None:
    ids = [port.start(steps=1) for _ in range(SWEEP_LIMIT + 5)]
    port.world.clock.time_ms += LATE_MS
    assert port.sweep() == SWEEP_LIMIT
    assert port.sweep() == 5
    assert sorted(port.seen) == sorted(ids)


def test_a_catalog_that_does_not_answer_is_no_failure_of_the_tick(port: Port) -> None:
    port.failures = [RetryableError("away")]
    assert port.sweep() == 0
    assert port.logs == ["sweep.failed"]


def test_the_jobs_of_shards_that_answer_are_looked_after_though_others_are_silent(port: Port) -> None:
    port.start(steps=1)
    port.silent = ["catalog-4-2"]
    port.world.clock.time_ms += LATE_MS
    assert port.sweep() == 1
    assert "sweep.shards_silent" in port.logs


def test_a_job_that_nothing_moves_is_stuck_after_a_while_and_one_that_runs_is_not(port: Port) -> None:
    job_id = port.start(steps=1)
    for _ in range(20):
        port.world.clock.time_ms += LATE_MS
        port.world.objects[job_id].alarm_ms = None
        port.sweep()
    now_ms = port.world.clock.now_ms()
    counts = CountsQuery(now_ms=now_ms, grace_ms=GRACE_MS, window_ms=0)
    assert port.catalog.counts(counts).stuck == 1
    port.world.call(job_id, lambda engine: engine.wake())
    asyncio.run(port.world.run())
    port.catalog.publish(port.world.catalog[job_id])
    assert port.catalog.counts(counts).stuck == 0
