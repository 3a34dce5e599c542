"""Metrics."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from durable.catalog_model import CatalogCounts, CountsQuery
from durable.http.access import Scope, needs
from durable.http.host import host_of
from durable.http.strict import StrictRoute
from durable.sweeper import GRACE_MS

#: The content type of Prometheus' text format, version 0.0.4.
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: What "lately" means in the metrics.
WINDOW_MS = 900_000

router = APIRouter(tags=["operations"], route_class=StrictRoute)


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
@needs(Scope.READ, "catalog_incomplete", shared=True)
async def get_metrics(request: Request) -> Response:
    """Counts of jobs in Prometheus' text format."""
    host = host_of(request)
    now_ms = host.clock.now_ms()
    counts = await host.backend.counts(CountsQuery(now_ms=now_ms, grace_ms=GRACE_MS, window_ms=WINDOW_MS))
    text = metrics_text(counts, now_ms)
    return Response(text, headers={"content-type": METRICS_TYPE})


def metrics_text(counts: CatalogCounts, now_ms: int) -> str:
    """Return counts in Prometheus' text format."""
    oldest_ms = counts.oldest_queued_at_ms
    age_s = 0.0 if oldest_ms is None else max(0, now_ms - oldest_ms) / 1000
    lines = ["# HELP orchestrator_jobs Jobs by workflow and status.", "# TYPE orchestrator_jobs gauge"]
    lines += [
        f'orchestrator_jobs{{workflow="{_label(item.workflow)}",status="{item.status}"}} {item.count}'
        for item in counts.jobs
    ]
    lines += _gauge("dead_letters", "Jobs and messages that gave up.", counts.dead_letters)
    lines += _gauge("jobs_overdue", "Jobs that are late beyond the sweeper's grace period.", counts.overdue)
    lines += _gauge("oldest_queued_job_age_seconds", "Age of the oldest job that waits in a queue.", age_s)
    return "\n".join(lines) + "\n"


def _gauge(name: str, text: str, value: float) -> list[str]:
    return [f"# HELP orchestrator_{name} {text}", f"# TYPE orchestrator_{name} gauge", f"orchestrator_{name} {value}"]


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
