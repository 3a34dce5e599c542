"""What the deletes share: stopping what runs, one bucket for the provider's limit, and coming back to what failed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from orchestrator import JobContext, NonRetryableError, RetryPolicy
from orchestrator.ids import is_job_id
from orchestrator.lifecycle import JobStatus

#: Trouble of a store or of the database is waited for: about three minutes per step.
DELETE_RETRY = RetryPolicy(max_attempts=8, max_interval_ms=60_000)
#: What a stopped job is told, so that whoever waits for it knows that nothing has gone wrong.
STOPPED_BY_DELETE = "what it works on is being deleted"
#: Jobs that make or process documents. Runs of the deletes are in the same column, and are left alone.
INGESTION = ("trigger-ingestion-job", "re-ingest-job", "seed-demo-namespace")
PROCESSING = ("trigger-document-job",)
#: Jobs stopped at the same time.
STOPS_AT_A_TIME = 20
#: A request that a stopped job has sent may still be on its way to the vector store.
SETTLE_MS = 2_000
#: Pauses before what could not be deleted is tried again; then the job fails.
PAUSES_MS = (10_000, 60_000)
#: Pinecone's limit of deletes by metadata, per second and namespace (domain.md §3.5).
PINECONE_DELETES_PER_S = 5


async def stop_runs(job: JobContext, name: str, run_ids: Sequence[str], workflows: Sequence[str]) -> None:
    """Stop jobs, and go on when none of them can change anything any more (W-04).

    Args:
        job: the delete.
        name: identifies this use.
        run_ids: as they stand in rows: ids of other systems and of deletes may be among them.
        workflows: the workflows of the jobs to stop.
    """
    found = [run_id for run_id in dict.fromkeys(run_ids) if is_job_id(run_id) and run_id != job.id]
    stops = [
        job.stop_job(run_id, reason=STOPPED_BY_DELETE, workflows=workflows, name=name, key=run_id) for run_id in found
    ]
    if JobStatus.CANCELLED in await job.gather(*stops, limit=STOPS_AT_A_TIME):
        await job.sleep(SETTLE_MS, name=f"settle after {name}")


async def limit_pinecone_deletes(job: JobContext, namespace_id: str, tenant_id: str | None) -> None:
    """Wait until a delete by metadata may be sent: one bucket for all that send them (W-19).

    Nothing is saved up for a burst: it would come on top of the limit in its first second.
    """
    key = f"pinecone-delete/{namespace_id}" + (f":{tenant_id}" if tenant_id else "")
    await job.rate_limit(key, count=PINECONE_DELETES_PER_S, burst=1)


async def delete_downwards(
    job: JobContext, below: Callable[[bool], Awaitable[int]], row: Callable[[], Awaitable[bool]]
) -> None:
    """Delete what is below a row, and then the row; come back to what could not be deleted (W-07).

    Args:
        job: the delete.
        below: deletes everything below that is left, and returns how much of it failed; told True, the first failure is
            its own, so that the job fails with it, and goes on from there when it is retried.
        row: deletes the row unless something is left below it; tells whether it is gone.

    Raises:
        StepFailedError: something could not be deleted.
        NonRetryableError: code ``delete_incomplete``: the row has got something new below it again and again.
    """
    for pause_ms in PAUSES_MS:
        failed = await below(False)
        # What failed may be gone by now, by somebody else's hand; what belongs to its end is seen to in a pass without.
        if not failed and await job.step("delete row", row):
            return
        job.log("Not everything could be deleted, and will be tried again", failed=failed)
        await job.sleep(pause_ms, name="before another try")
    await below(True)
    if not await job.step("delete row", row):
        raise NonRetryableError("Something new was added while it was being deleted", code="delete_incomplete")
