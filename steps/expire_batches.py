"""``expire-parser-batches``: gives what the parser service has left in Redis a time to live, every night (W-09).

Batches are removed with their document's run, if that knows them. A parse whose answer was lost in a crash, or that
ended after its document was gone, leaves batches that nobody knows; the service itself gives them no end.
"""

from __future__ import annotations

from pydantic import BaseModel

from orchestrator import Batch, BatchSize, JobContext, Page, Schedule, WorkflowOptions, workflow
from steps.patience import CLEANUP_RETRY
from steps.redis import redis_for
from steps.services import services

#: What the service calls its batches (domain.md §3.2).
PATTERN = "results_*"
#: Longer than any run reads its batches; without them it reads ``chunks.json``.
LIFETIME_S = 7 * 86_400
#: Keys that Redis looks at per request.
BATCH = BatchSize(initial=500, minimum=10, maximum=1_000)

expire_batches_schedule = Schedule(
    id="expire-parser-batches", workflow="expire-parser-batches", cron="30 3 * * *", catch_up="latest"
)


class ExpireBatchesPayload(BaseModel):
    """Nothing to choose."""


@workflow("expire-parser-batches", options=WorkflowOptions(retry=CLEANUP_RETRY))
async def expire_batches(job: JobContext, payload: ExpireBatchesPayload) -> dict[str, object]:
    """Walk the parser service's keys, and give those an end that have none."""
    del payload
    loop = await job.each("batches", BatchKeys(), expire, state=0, batch=BATCH, unit="keys")
    return {"batches": loop.state}


class BatchKeys:
    """The keys of all batches in Redis, in its own order; some come twice. Implements ``Source``."""

    async def read(self, cursor: object, limit: int, /) -> Page[str]:
        """Return the keys among the next ``limit`` keys of the database; the cursor is Redis's own."""
        current = services()
        redis = redis_for(current.settings.redis, current.http)
        if redis is None:
            return Page([], None, done=True)
        found = await redis.scan(cursor if isinstance(cursor, str) else None, PATTERN, limit)
        return Page(found.keys, found.cursor, done=found.cursor is None)


async def expire(batch: Batch[str, int]) -> int:
    """Give keys without an end one; return how many keys were found so far."""
    current = services()
    redis = redis_for(current.settings.redis, current.http)
    if redis is not None:
        await redis.expire(batch.items, LIFETIME_S)
    return batch.state + len(batch.items)
