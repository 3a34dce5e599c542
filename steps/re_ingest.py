"""``re-ingest-job``: processes the documents of an ingest job again (domain.md §2.3).

Runs of one ingest job take turns: each waits for those that were there before it, so that two never work on the same
documents (W-05).
"""

from __future__ import annotations

from functools import partial

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from orchestrator import (
    Batch,
    BatchSize,
    ChildHandle,
    ChildRequest,
    JobContext,
    LanePolicy,
    NonRetryableError,
    Page,
    StepFailedError,
    WorkflowOptions,
    current_step,
    workflow,
)
from orchestrator.ids import is_job_id
from steps import ingest_status
from steps.document import DATABASE_RETRY
from steps.ingest import MAX_ACTIVE_MS, WINDOW
from steps.ingest_status import Processed
from steps.patience import ROW_RETRY
from steps.platform import resync
from steps.platform.document_deletion import Contents
from steps.platform.resync import Entered, Outcome
from steps.services import services
from steps.walks import DocumentsOf

#: Documents queued again per transaction.
QUEUE_BATCH = BatchSize(initial=60, minimum=1, maximum=480)
#: The platform writes QUEUED_FOR_RESYNC after it has started the run. It is waited for a little while, since it would
#: overwrite what the run has written by then (W-05); who starts a run otherwise loses these three seconds.
REQUEST_PAUSES_MS = (100, 200, 400, 800, 1_500)


class ReIngestPayload(BaseModel):
    """Which ingest job."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        frozen=True,
        json_schema_extra={"examples": [{"jobId": "cjob0000000000000000000002"}]},
    )

    job_id: str = Field(min_length=1)


async def fail_re_ingestion(job: JobContext, payload: BaseModel, error: str) -> None:
    """Write why the ingest job failed; its documents stay as they are."""
    if not isinstance(payload, ReIngestPayload):
        raise TypeError(type(payload).__name__)
    await job.options(retry=ROW_RETRY).step("fail", _fail, payload.job_id, error)


@workflow(
    "re-ingest-job",
    options=WorkflowOptions(
        retry=DATABASE_RETRY,
        queue="agentset-re-ingest-queue",
        lane=LanePolicy(name="re-ingestion", concurrency=90),
        max_active_ms=MAX_ACTIVE_MS,
        tags=("job_{job_id}",),
        on_failure=fail_re_ingestion,
        on_cancel=fail_re_ingestion,
    ),
)
async def re_ingest(job: JobContext, payload: ReIngestPayload) -> dict[str, object]:
    """Queue every document again, process each, and say how it went."""
    ingest_job_id = payload.job_id
    await _wait_for_request(job, ingest_job_id)
    await _wait_for_earlier_runs(job, ingest_job_id)
    begun = await job.step("begin", _begin, ingest_job_id)
    if begun.stopped == "gone":
        raise _not_found()
    if begun.stopped is not None:
        return _result(ingest_job_id, 0, begun.stopped)
    queued = await job.each(
        "queue documents",
        DocumentsOf(ingest_job_id),
        partial(_queue, ingest_job_id),
        state=0,
        batch=QUEUE_BATCH,
        unit="documents",
    )
    children = await job.map_children(
        "documents",
        "trigger-document-job",
        QueuedAgain(ingest_job_id),
        reduce=ingest_status.fold,
        state=Processed(),
        window=WINDOW,
        on_failure="collect",
        unit="documents",
        total=queued.items,
        show=ingest_status.shown(queued.items, WINDOW),
    )
    error = "Failed to process documents" if children.state.failed else None
    finished = await job.transaction("finish", resync.finish, ingest_job_id, error)
    return _result(ingest_job_id, queued.state, finished.stopped)


class QueuedAgain:
    """The documents that wait to be processed again, each as a job. Implements ``Source``.

    Args:
        ingest_job_id: the ``ingest_job`` row.
    """

    def __init__(self, ingest_job_id: str) -> None:
        self._ingest_job_id = ingest_job_id
        self._documents = DocumentsOf(ingest_job_id, resync.queued_after)

    async def read(self, cursor: object, limit: int, /) -> Page[ChildRequest]:
        """Return the next documents."""
        page = await self._documents.read(cursor, limit)
        shared = {"ingestJobId": self._ingest_job_id, "cleanup": True}
        requests = [ChildRequest(key=found.id, payload={"documentId": found.id, **shared}) for found in page.items]
        return Page(requests, page.cursor, page.done)


async def _wait_for_request(job: JobContext, ingest_job_id: str) -> None:
    for pause_ms in REQUEST_PAUSES_MS:
        requested = await job.step("look for the request", _is_requested, ingest_job_id)
        if requested is None:
            raise _not_found()
        if requested:
            return
        await job.sleep(pause_ms, name="wait for the request")


async def _wait_for_earlier_runs(job: JobContext, ingest_job_id: str) -> None:
    entered = await job.step("enter", _enter, ingest_job_id)
    for run_id in dict.fromkeys(entered.before):
        if is_job_id(run_id):
            earlier = ChildHandle(id=run_id, operation="")
            try:
                await job.wait_for_child(earlier, name="wait for an earlier run", key=run_id)
            except StepFailedError as error:
                job.log("An earlier run is over", run=run_id, how=error.record.code)


async def _is_requested(ingest_job_id: str) -> bool | None:
    return await resync.is_requested(services().database(), current_step().job_id, ingest_job_id)


async def _enter(ingest_job_id: str) -> Entered:
    return await resync.enter(services().database(), current_step().job_id, ingest_job_id)


async def _begin(ingest_job_id: str) -> Outcome:
    async with services().database().transaction() as connection:
        return await resync.begin(connection, ingest_job_id)


async def _queue(ingest_job_id: str, batch: Batch[Contents, int]) -> int:
    run_id, ids = current_step().job_id, [document.id for document in batch.items]
    async with services().database().transaction() as connection:
        queued = await resync.queue_documents(connection, run_id, ingest_job_id, ids)
    return batch.state + (queued or 0)


async def _fail(ingest_job_id: str, message: str) -> None:
    """Not once per job but whenever the run fails: it may be tried again and fail again."""
    await resync.fail(services().database(), ingest_job_id, message)


def _not_found() -> NonRetryableError:
    return NonRetryableError("Ingest job not found", code="ingest_job_not_found")


def _result(ingest_job_id: str, reprocessed: int, stopped: str | None) -> dict[str, object]:
    result: dict[str, object] = {"ingestJobId": ingest_job_id, "documentsReprocessed": reprocessed}
    return result if stopped is None else {**result, "stopped": stopped}
