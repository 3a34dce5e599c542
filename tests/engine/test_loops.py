"""A cursor loop's attempts belong to its batches."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from orchestrator import Batch, JobContext, RetryableError, RetryPolicy, current_step, workflow
from orchestrator.lifecycle import JobStatus
from orchestrator.testing import World


class Nothing(BaseModel):
    pass


async def fail_once(batch: Batch[int, int]) -> int:
    failed = current_step().services
    assert isinstance(failed, set)
    if batch.index not in failed:
        failed.add(batch.index)  # pyright: ignore[reportUnknownMemberType]
        raise RetryableError("not yet")
    return batch.state + len(batch.items)


@workflow("stumbling")
async def stumbling(job: JobContext, payload: Nothing) -> int:
    policy = RetryPolicy(max_attempts=2, initial_interval_ms=1, max_interval_ms=1)
    return (await job.each("walk", range(40), fail_once, state=0, batch=4, retry=policy)).state


def test_each_batch_has_all_attempts() -> None:
    failed: set[int] = set()
    world = World(stumbling, services=failed)
    job_id = world.start("stumbling", {})
    asyncio.run(world.run())
    view = world.view(job_id)
    assert (view.status, view.result) == (JobStatus.COMPLETED, 40)
    assert len(failed) > 2
