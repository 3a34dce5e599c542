"""What a tick measures, with the API, the catalog and the lanes of a world of jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from durable.alerts.model import Observation
from durable.alerts.round import look, measure, readings_of
from durable.alerts.settings import AlertPolicy
from durable.catalog_model import CatalogCounts, CountsQuery, JobCount
from durable.tallies import Tally, WorkflowTally
from orchestrator.errors import RetryableError
from orchestrator.lane import LaneView
from orchestrator.lifecycle import JobStatus
from tests.http.support import Api

POLICY = AlertPolicy()


def read(counts: CatalogCounts) -> dict[str, float]:
    registry = Api().world.registry
    return {reading.key: reading.value for reading in readings_of(counts, registry, POLICY)}


def lately(**failed_of: tuple[int, int]) -> CatalogCounts:
    """Counts in which ``failed`` of ``all`` jobs of each workflow failed lately."""
    tallies = [
        WorkflowTally(name, Tally(failed=failed, completed=number - failed))
        for name, (failed, number) in failed_of.items()
    ]
    return CatalogCounts(ended_lately=tallies)


def test_depths_are_by_queue_and_a_queue_without_jobs_is_read_too() -> None:
    counts = CatalogCounts(
        jobs=[
            JobCount("keep", JobStatus.QUEUED, 700),
            JobCount("broken", JobStatus.QUEUED, 500),
            JobCount("keep", JobStatus.RUNNING, 9_000),
            JobCount("of an older release", JobStatus.QUEUED, 3),
        ]
    )
    found = read(counts)
    assert found["queue_depth/orchestrator-default-queue"] == 1_200
    assert found["queue_depth/agentset-ingest-queue"] == 0
    assert found["queue_depth/unknown"] == 3


@pytest.mark.parametrize(
    ("counts", "rate"),
    [
        (lately(a=(1, 19)), 0),
        (lately(a=(1, 20)), 0.05),
        (lately(a=(2, 15), b=(0, 25)), 0.05),
        (lately(a=(20, 20)), 1),
        (lately(), 0),
    ],
)
def test_a_rate_needs_enough_jobs(counts: CatalogCounts, rate: float) -> None:
    assert read(counts)["error_rate/all"] == rate


def test_the_workflows_that_fail_most_are_named() -> None:
    counts = lately(a=(1, 20), b=(7, 20), c=(0, 20), d=(2, 20), e=(3, 20), f=(4, 20), g=(5, 20))
    (reading,) = [item for item in readings_of(counts, Api().world.registry, POLICY) if item.rule == "error_rate"]
    assert reading.detail == {"b": 7, "g": 5, "f": 4, "e": 3, "d": 2}


def test_a_world_is_measured(api: Api) -> None:
    for _ in range(3):
        api.start("broken")
    api.run()
    for _ in range(4):
        api.start("keep")
    found = asyncio.run(measure(api.backend, api.world.clock, api.world.registry, POLICY))
    values = {reading.key: reading.value for reading in found.readings}
    assert (values["dead_letters/all"], values["stuck_jobs/all"], found.missing) == (3, 0, [])
    assert values["queue_depth/orchestrator-default-queue"] == 0  # the catalog has not heard of them yet
    assert any(key.startswith("queue_depth/lane ") for key in values)


def test_what_does_not_answer_is_named_and_hides_nothing_else(api: Api) -> None:
    api.start("broken")
    api.run()
    api.get("/v1/jobs")
    api.backend.feeds_catalog = False
    quiet = api.backend.catalog.layout.names()[0]
    api.backend.catalog.silent = {quiet}
    found = asyncio.run(measure(api.backend, api.world.clock, api.world.registry, POLICY))
    assert found.missing == [quiet]
    api.backend.catalog.silent = set(api.backend.catalog.layout.names())
    found = asyncio.run(measure(api.backend, api.world.clock, api.world.registry, POLICY))
    assert found.missing == ["catalog"]
    assert all(reading.subject.startswith("lane ") for reading in found.readings)


def test_alerts_are_shown_by_the_api(api: Api) -> None:
    shown = api.get("/v1/alerts").json()
    assert (shown["evaluated_at"], shown["alerts"]) == (None, [])
    api.start("broken")
    api.run()
    asyncio.run(look(api.backend, api.world.clock, api.world.registry, {}))
    shown = api.get("/v1/alerts").json()
    (alert,) = shown["alerts"]
    assert (alert["alert"], alert["status"], alert["value"], alert["threshold"]) == ("dead_letters", "firing", 1, 0)
    assert shown["silent_because"] == "ALERT_WEBHOOK_URL is not set"
    assert shown["evaluated_at"] is not None


class Broken:
    """A port that has nothing to say."""

    def __init__(self) -> None:
        self.logs: list[tuple[str, str, dict[str, object]]] = []

    async def counts(self, query: CountsQuery) -> CatalogCounts:
        return CatalogCounts()

    async def lane(self, name: str) -> LaneView:
        raise RetryableError("away")

    async def observe(self, observation: Observation) -> None:
        raise RetryableError("away", code="object_unreachable")

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        self.logs.append((level, event, dict(fields)))


@pytest.mark.parametrize(
    ("settings", "error"),
    [({}, "object_unreachable"), ({"ALERT_ERROR_RATE": "5"}, "ALERT_ERROR_RATE is a number from 0 to 1")],
)
def test_a_round_never_fails_and_says_why_it_did_nothing(settings: dict[str, str], error: str) -> None:
    port, api = Broken(), Api()
    asyncio.run(look(port, api.world.clock, api.world.registry, settings))
    assert port.logs == [("error", "alerts.round_failed", {"error": error})]
