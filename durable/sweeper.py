"""The sweeper: every minute it looks after late jobs, so that a lost alarm is healed (design.md §4.4 rule 7)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from durable.catalog_model import OverdueQuery
from orchestrator.errors import OrchestratorError
from orchestrator.model import JobSummary, JobView
from orchestrator.ports import Clock

#: A job is late when it did not act this long after it meant to: six times the watchdog.
GRACE_MS = 60_000
#: Jobs looked after per tick; the next tick goes on with the others.
SWEEP_LIMIT = 200
CONCURRENCY = 10


class SweeperPort(Protocol):
    """What the sweeper does to the outside."""

    async def overdue(self, query: OverdueQuery) -> list[str]:
        """Return jobs that are late."""
        ...

    async def view(self, job_id: str) -> JobView:
        """Look at a job, which makes its object arm its alarm again."""
        ...

    async def publish(self, summary: JobSummary) -> None:
        """Bring the catalog up to date."""
        ...

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Write one structured log line."""
        ...


async def sweep(port: SweeperPort, clock: Clock) -> int:
    """Look after jobs that are late; return how many answered. Never raises: the next tick comes in a minute."""
    now_ms = clock.now_ms()
    try:
        job_ids = await port.overdue(OverdueQuery(now_ms=now_ms, grace_ms=GRACE_MS, limit=SWEEP_LIMIT))
    except Exception as error:
        port.log("error", "sweep.failed", {"error": _code(error)})
        return 0
    turn = asyncio.Semaphore(CONCURRENCY)

    async def one(job_id: str) -> bool:
        async with turn:
            try:
                await port.publish(summary_of(await port.view(job_id), now_ms))
            except Exception as error:
                port.log("warning", "sweep.job_failed", {"job_id": job_id, "error": _code(error)})
                return False
            return True

    answered = sum(await asyncio.gather(*(one(job_id) for job_id in job_ids)))
    if job_ids:
        port.log("info", "sweep.done", {"late": len(job_ids), "answered": answered})
    return answered


def summary_of(view: JobView, now_ms: int) -> JobSummary:
    """Return what the catalog may learn from a look at a job, which is due again now as far as it knows."""
    return JobSummary(
        id=view.id,
        workflow=view.workflow,
        status=view.status,
        tags=view.tags,
        parent_id=view.parent_id,
        created_at_ms=view.created_at_ms,
        updated_at_ms=now_ms,
        finished_at_ms=view.finished_at_ms,
        due_at_ms=now_ms,
        revision=view.revision,
        error=None if view.error is None else f"{view.error.code}: {view.error.message}"[:300],
        tenant=view.tenant,
    )


def _code(error: Exception) -> str:
    return error.error_code if isinstance(error, OrchestratorError) else type(error).__name__
