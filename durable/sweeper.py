"""The sweeper: every minute it looks after late jobs, so that a lost alarm is healed (design.md §4.4 rule 7)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Protocol

from durable.catalog_model import OverdueQuery
from durable.turns import in_turns
from orchestrator.errors import UnknownJobError
from orchestrator.logs import describe
from orchestrator.model import JobSummary
from orchestrator.ports import Clock

#: A job is late when it did not act this long after it meant to: six times the watchdog.
GRACE_MS = 60_000
#: Jobs of a shard looked after per tick; the next tick goes on with the others.
SWEEP_LIMIT = 200
CONCURRENCY = 10


class SweeperPort(Protocol):
    """What the sweeper does to the outside."""

    async def overdue(self, query: OverdueQuery) -> tuple[list[str], list[str]]:
        """Return jobs that are late, of the shards that answer, and the names of those that do not."""
        ...

    async def summary(self, job_id: str) -> JobSummary:
        """Look at a job, which makes its object arm its alarm again."""
        ...

    async def publish(self, summary: JobSummary) -> None:
        """Bring the catalog up to date."""
        ...

    async def looked_for(self, job_id: str) -> None:
        """Take note that a job was looked for."""
        ...

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Write one structured log line."""
        ...


async def sweep(port: SweeperPort, clock: Clock) -> int:
    """Look after jobs that are late; return how many answered. Never raises: the next tick comes in a minute."""
    now_ms = clock.now_ms()
    try:
        job_ids, silent = await port.overdue(OverdueQuery(now_ms=now_ms, grace_ms=GRACE_MS, limit=SWEEP_LIMIT))
    except Exception as error:
        port.log("error", "sweep.failed", {"error": describe(error)})
        return 0
    if silent:
        port.log("error", "sweep.shards_silent", {"shards": silent})

    async def one(job_id: str) -> bool:
        try:
            await _look(port, job_id)
        except Exception as error:
            port.log("warning", "sweep.job_failed", {"job_id": job_id, "error": describe(error)})
            return False
        return True

    answered = sum(await in_turns(job_ids, one, at_once=CONCURRENCY))
    if job_ids:
        port.log("info", "sweep.done", {"late": len(job_ids), "answered": answered})
    return answered


async def _look(port: SweeperPort, job_id: str) -> None:
    # There is none where one was expected and never recorded, or is being deleted and goes on with that now.
    with contextlib.suppress(UnknownJobError):
        await port.publish(await port.summary(job_id))
    await port.looked_for(job_id)
