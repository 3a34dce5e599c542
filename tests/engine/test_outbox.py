"""What a job has to say arrives, whatever happens to the first attempts at it."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from orchestrator import JobContext, workflow
from orchestrator.lifecycle import JobStatus
from orchestrator.model import JobSummary
from orchestrator.testing import World
from orchestrator.testing.host import Copy


class Nothing(BaseModel):
    pass


@workflow("nap")
async def nap(job: JobContext, payload: Nothing) -> None:
    await job.sleep(1_000)


class Deaf(World):
    """Its catalog takes no news of an end, for three times."""

    refused = 0

    async def publish(self, sender: Copy, summary: JobSummary) -> None:
        if summary.status is JobStatus.COMPLETED and self.refused < 3:
            self.refused += 1
            raise ConnectionError("the catalog is away")
        await super().publish(sender, summary)


def test_news_that_the_catalog_does_not_take_come_again() -> None:
    world = Deaf(nap)
    job_id = world.start("nap", {})
    began_ms = world.clock.now_ms()
    asyncio.run(world.run(max_ticks=100))
    assert world.catalog[job_id].status is JobStatus.COMPLETED
    assert 8_000 <= world.clock.now_ms() - began_ms < 10_000, "after one, two and four seconds"
