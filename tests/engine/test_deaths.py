"""Jobs of one isolate die together; only the one whose step does it is blamed."""

from __future__ import annotations

import asyncio
import itertools

from pydantic import BaseModel

from orchestrator import JobContext, current_step, workflow
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import CRASH_PAUSE_MS, WATCHDOG_MS
from orchestrator.testing import Crash, World


class Nothing(BaseModel):
    pass


def test_jobs_that_die_together_come_back_apart() -> None:
    deaths: dict[str, list[int]] = {}

    async def die() -> None:
        step = current_step()
        deaths.setdefault(step.job_id, []).append(step.now_ms)
        raise Crash

    @workflow("dying")
    async def dying(job: JobContext, payload: Nothing) -> None:
        await job.step("die", die)

    world = World(dying)
    job_ids = [world.start("dying", {}) for _ in range(20)]
    asyncio.run(world.run())
    assert {world.view(job_id).status for job_id in job_ids} == {JobStatus.FAILED}
    assert {len(times) for times in deaths.values()} == {5}
    for times in deaths.values():
        first, *later = (after - before for before, after in itertools.pairwise(times))
        assert first < WATCHDOG_MS + CRASH_PAUSE_MS // 2
        for count, gap in enumerate(later):
            assert gap >= WATCHDOG_MS + CRASH_PAUSE_MS // 2 * 2**count
    last = sorted(times[-1] for times in deaths.values())
    assert last[-1] - last[0] > CRASH_PAUSE_MS
