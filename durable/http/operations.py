"""``/metrics``: the numbers of the catalog, the lanes and the alerts, for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import TypeVar

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from durable.alerts.model import AlertsView
from durable.alerts.round import queue_depths
from durable.catalog_model import CatalogCounts, CountsQuery
from durable.http.access import Scope, needs
from durable.http.host import Host, host_of
from durable.http.prometheus import CONTENT_TYPE, Metric, counter, exposition, gauge, gauges, histogram
from durable.http.strict import StrictRoute
from durable.sweeper import GRACE_MS
from durable.tallies import Tally, error_rate, total
from orchestrator.errors import OrchestratorError
from orchestrator.lane import LaneView

T = TypeVar("T")

#: What "lately" means in the metrics.
WINDOW_MS = 900_000

router = APIRouter(tags=["operations"], route_class=StrictRoute)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What one scrape has found. Parts that did not answer are None, or missing among the lanes."""

    now_ms: int
    counts: CatalogCounts
    queues: Mapping[str, str]
    lanes: Sequence[LaneView]
    silent_lanes: int
    alerts: AlertsView | None


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
@needs(Scope.READ, "catalog_incomplete", shared=True)
async def get_metrics(request: Request) -> Response:
    """Jobs, queues, durations, failures, lanes and alerts, in Prometheus' text format."""
    text = exposition(metrics_of(await _measure(host_of(request))))
    return Response(text, headers={"content-type": CONTENT_TYPE})


def metrics_of(found: Measured) -> list[Metric]:
    """Return what was found as metrics."""
    return [*_jobs(found), *_ended(found.counts), *_lanes(found), *_health(found)]


def _jobs(found: Measured) -> list[Metric]:
    counts = found.counts
    oldest_ms = counts.oldest_queued_at_ms
    age_s = 0.0 if oldest_ms is None else max(0, found.now_ms - oldest_ms) / 1000
    jobs = [({"workflow": item.workflow, "status": item.status.value}, item.count) for item in counts.jobs]
    depths = [({"queue": queue}, depth) for queue, depth in queue_depths(counts, found.queues).items()]
    return [
        gauges("jobs", "Jobs by workflow and status.", jobs),
        gauges("queue_depth", "Jobs that wait in a queue.", depths),
        gauge("oldest_queued_job_age_seconds", "Age of the oldest job that waits in a queue.", age_s),
        gauge("dead_letters", "Jobs and messages that gave up, and nobody has tried again.", counts.dead_letters),
        gauge("jobs_overdue", "Jobs that are late beyond the sweeper's grace period.", counts.overdue),
        gauge("jobs_stuck", "Late jobs that did not change although they were looked after.", counts.stuck),
    ]


def _ended(counts: CatalogCounts) -> list[Metric]:
    ended = [({"workflow": item.workflow}, item.tally) for item in counts.ended]
    outcomes = [
        ({**labels, "outcome": outcome}, number)
        for labels, tally in ended
        for outcome, number in _outcomes(tally).items()
    ]
    rate = error_rate(total(item.tally for item in counts.ended_lately))
    waits = [(labels, tally.wait) for labels, tally in ended]
    runs = [(labels, tally.run) for labels, tally in ended]
    slices = [(labels, tally.slices) for labels, tally in ended]
    crashes = [(labels, tally.crashes) for labels, tally in ended]
    rows = [(labels, tally.rows_written) for labels, tally in ended]
    return [
        counter("jobs_ended_total", "Jobs that ended, by how.", outcomes),
        histogram("job_wait_seconds", "From when a job could start until it did.", waits),
        histogram("job_run_seconds", "From a job's start to its end.", runs),
        counter("slices_total", "Slices of jobs that ended.", slices),
        counter("slice_crashes_total", "Slices that died and were resumed, of jobs that ended.", crashes),
        counter("rows_written_total", "Rows that jobs which ended have written.", rows),
        gauge("error_ratio", "Failed among the jobs that completed or failed in the last 15 minutes.", rate or 0.0),
    ]


def _outcomes(tally: Tally) -> dict[str, int]:
    return {
        "completed": tally.completed,
        "failed": tally.failed,
        "cancelled": tally.cancelled,
        "expired": tally.expired,
    }


def _lanes(found: Measured) -> list[Metric]:
    by_name = [({"lane": view.name}, view) for view in found.lanes]
    limits = [(labels, view.policy.concurrency) for labels, view in by_name if view.policy is not None]
    return [
        gauges("lane_running", "Permits that a lane has out.", [(labels, view.running) for labels, view in by_name]),
        gauges("lane_waiting", "Jobs that wait for a lane.", [(labels, view.waiting) for labels, view in by_name]),
        gauges("lane_limit", "Permits that a lane may have out.", [(at, most) for at, most in limits if most]),
        gauges("lane_paused", "Whether a lane is paused.", [(labels, view.paused) for labels, view in by_name]),
    ]


def _health(found: Measured) -> list[Metric]:
    counts, alerts = found.counts, found.alerts
    shards = [
        ({"state": "unreachable"}, len(counts.unreachable)),
        ({"state": "recovering"}, len(counts.incomplete)),
    ]
    health = [
        gauges("catalog_shards_incomplete", "Shards of the catalog whose jobs may not be counted here.", shards),
        gauge("lanes_unreachable", "Lanes that did not answer.", found.silent_lanes),
        gauge("alerts_unreachable", "Whether the alerts did not answer.", alerts is None),
    ]
    if alerts is None:
        return health
    firing = [
        ({"alert": alert.rule, "subject": alert.subject}, 1) for alert in alerts.alerts if alert.status == "firing"
    ]
    health += [
        gauges("alert_firing", "Alerts that fire.", firing),
        gauge("alert_notices_undelivered", "Notices that have not arrived.", len(alerts.undelivered)),
    ]
    if alerts.evaluated_at_ms is not None:
        tick_s = alerts.evaluated_at_ms / 1000
        health.append(gauge("last_tick_timestamp_seconds", "When the platform's tick came last.", tick_s))
    return health


async def _measure(host: Host) -> Measured:
    now_ms = host.clock.now_ms()
    query = CountsQuery(now_ms=now_ms, grace_ms=GRACE_MS, window_ms=WINDOW_MS)
    counts, alerts, lanes = await asyncio.gather(
        host.backend.counts(query),
        _or_none(host.backend.alerts()),
        asyncio.gather(*(_or_none(host.backend.lane(name)) for name in sorted(host.registry.lanes))),
    )
    answered = [lane for lane in lanes if lane is not None]
    return Measured(
        now_ms=now_ms,
        counts=counts,
        queues={item.name: item.options.queue for item in host.registry},
        lanes=answered,
        silent_lanes=len(lanes) - len(answered),
        alerts=alerts,
    )


async def _or_none(asked: Awaitable[T]) -> T | None:
    try:
        return await asked
    except OrchestratorError:
        return None
