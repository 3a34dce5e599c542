"""What the platform's tick does for alerts: it measures, and tells the alerts' object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from durable.alerts.model import Observation, Reading
from durable.alerts.settings import AlertPolicy
from durable.catalog_model import CatalogCounts, CountsQuery
from durable.sweeper import GRACE_MS
from durable.tallies import error_rate, total
from orchestrator.errors import OrchestratorError
from orchestrator.lane import LaneView
from orchestrator.lifecycle import JobStatus
from orchestrator.logs import describe
from orchestrator.ports import Clock
from orchestrator.workflow import Registry

#: Workflows that an error rate's alert names.
_NAMED: Final = 5
#: Where jobs of workflows that this release does not know are counted.
_NO_QUEUE: Final = "unknown"


class AlertPort(Protocol):
    """What a round does to the outside."""

    async def counts(self, query: CountsQuery) -> CatalogCounts:
        """Return the catalog's numbers, and which shards did not answer."""
        ...

    async def lane(self, name: str) -> LaneView:
        """Return a lane as operators see it."""
        ...

    async def observe(self, observation: Observation) -> None:
        """Tell the alerts' object what was measured."""
        ...

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Write one structured log line."""
        ...


async def look(port: AlertPort, clock: Clock, registry: Registry, settings: Mapping[str, str]) -> None:
    """Measure, and have the alerts' object decide. Never raises: the next tick comes in a minute."""
    try:
        policy = AlertPolicy.from_env(settings)
        await port.observe(await measure(port, clock, registry, policy))
    except Exception as error:
        reason = describe(error)
        if reason == "invalid_setting":
            reason = str(error)  # our own words, which say what to mend
        port.log("error", "alerts.round_failed", {"error": reason})


async def measure(port: AlertPort, clock: Clock, registry: Registry, policy: AlertPolicy) -> Observation:
    """Return what can be measured now; what does not answer is named, and hides nothing else."""
    readings: list[Reading] = []
    missing: list[str] = []
    try:
        query = CountsQuery(now_ms=clock.now_ms(), grace_ms=GRACE_MS, window_ms=policy.window_ms)
        counts = await port.counts(query)
    except OrchestratorError:
        missing.append("catalog")
    else:
        readings += readings_of(counts, registry, policy)
        missing += [*counts.unreachable, *counts.incomplete]
    for name in sorted(registry.lanes):
        try:
            lane = await port.lane(name)
        except OrchestratorError:
            missing.append(f"lane {name}")
        else:
            readings.append(Reading(rule="queue_depth", subject=f"lane {name}", value=lane.waiting))
    return Observation(readings=readings, missing=missing)


def readings_of(counts: CatalogCounts, registry: Registry, policy: AlertPolicy) -> list[Reading]:
    """Return what the catalog's numbers mean to the rules."""
    depths = queue_depths(counts, {item.name: item.options.queue for item in registry})
    lately = total(item.tally for item in counts.ended_lately)
    enough = lately.completed + lately.failed >= policy.least_jobs
    failed = sorted(counts.ended_lately, key=lambda item: (-item.tally.failed, item.workflow))
    return [
        *(Reading(rule="queue_depth", subject=queue, value=depth) for queue, depth in depths.items()),
        Reading(
            rule="error_rate",
            value=(error_rate(lately) or 0) if enough else 0,
            detail={item.workflow: float(item.tally.failed) for item in failed[:_NAMED] if item.tally.failed},
        ),
        Reading(rule="stuck_jobs", value=counts.stuck),
        Reading(rule="dead_letters", value=counts.dead_letters),
    ]


def queue_depths(counts: CatalogCounts, queues: Mapping[str, str]) -> dict[str, int]:
    """Return how many jobs wait in each queue; ``queues`` has each workflow's."""
    depths = dict.fromkeys(sorted(set(queues.values())), 0)
    for item in counts.jobs:
        if item.status is JobStatus.QUEUED:
            queue = queues.get(item.workflow, _NO_QUEUE)
            depths[queue] = depths.get(queue, 0) + item.count
    return depths
