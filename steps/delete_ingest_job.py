"""``delete-ingest-job``: removes an ingest job and its documents, however many there are (domain.md §2.5).

Documents are walked by a cursor, some at a time in this job itself: a job of its own for each would cost a hundred
times more (docs/decisions/0025-documents-deleted-in-batches.md). Where the store limits deletes per second each is a
``delete-document-job``, which waits for its turn.
"""

from __future__ import annotations

from functools import partial

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from orchestrator import (
    Batch,
    BatchSize,
    ChildOutcome,
    ChildRequest,
    JobContext,
    LanePolicy,
    Page,
    WorkflowOptions,
    current_step,
    workflow,
)
from steps.contents import remove_contents
from steps.deletion import DELETE_RETRY, INGESTION, PROCESSING, delete_downwards, stop_runs
from steps.patience import ROW_RETRY
from steps.platform import deletion, document_deletion
from steps.platform.deletion import DoomedIngestJob
from steps.platform.document_deletion import Contents
from steps.services import services
from steps.walks import DocumentsOf

#: Documents deleted at a time where each is a job of its own (domain.md §2.5).
WINDOW = 30
#: Documents whose rows are marked, or whose contents are removed, at a time.
MARK_BATCH = BatchSize(initial=500, minimum=1, maximum=2_000)
DELETE_BATCH = BatchSize(initial=60, minimum=1, maximum=500)


class DeleteIngestJobPayload(BaseModel):
    """Which ingest job. ``skip_webhooks``: customers are told of the namespace's end, if of anything."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        frozen=True,
        json_schema_extra={"examples": [{"jobId": "cjob0000000000000000000002"}]},
    )

    job_id: str = Field(min_length=1)
    skip_webhooks: bool = False


class Runs(msgspec.Struct, frozen=True):
    """Jobs found so far that may be processing documents: at most a fan-out's window for each run of the ingest job."""

    ids: tuple[str, ...] = ()


async def give_up(job: JobContext, payload: BaseModel, error: str) -> None:
    """Let the deletion be requested again, of the ingest job and of each document that is left (W-01)."""
    if not isinstance(payload, DeleteIngestJobPayload):
        raise TypeError(type(payload).__name__)
    documents = DocumentsOf(payload.job_id)
    fail = partial(_fail_documents, error)
    await job.each("fail documents", documents, fail, state=None, batch=MARK_BATCH, retry=ROW_RETRY)
    await job.options(retry=ROW_RETRY).step("fail", _fail, payload.job_id, error)


@workflow(
    "delete-ingest-job",
    options=WorkflowOptions(
        retry=DELETE_RETRY,
        queue="agentset-delete-ingest-job-queue",
        lane=LanePolicy(name="delete-ingest-job", concurrency=50),
        tags=("job_{job_id}",),
        on_failure=give_up,
        on_cancel=give_up,
        retried_from="scratch",
    ),
)
async def delete_ingest_job(job: JobContext, payload: DeleteIngestJobPayload) -> dict[str, object]:
    """Stop what ingests, delete every document, and then the ingest job's row."""
    ingest_job_id, announce = payload.job_id, not payload.skip_webhooks
    doomed = await job.step("begin", _begin, ingest_job_id)
    if doomed is None:
        return {"jobId": ingest_job_id, "deleted": False, "reason": "Ingest job not found"}
    await stop_runs(job, "stop ingestion", doomed.runs, INGESTION)
    documents = DocumentsOf(ingest_job_id)
    marked = await job.each("mark documents", documents, mark, state=Runs(), batch=MARK_BATCH, unit="documents")
    await stop_runs(job, "stop processing", marked.state.ids, PROCESSING)

    async def in_batches(strict: bool) -> int:
        delete = partial(delete_batch, doomed.namespace_id, announce, strict)
        name, total = "delete documents", marked.items
        loop = await job.each(name, documents, delete, state=0, batch=DELETE_BATCH, unit="documents", total=total)
        return loop.state

    async def one_by_one(strict: bool) -> int:
        children = await job.map_children(
            "documents",
            "delete-document-job",
            DeletionsOf(ingest_job_id, announce),
            reduce=uncounted,
            state=0,
            window=WINDOW,
            on_failure="fail_fast" if strict else "collect",
            unit="documents",
            total=marked.items,
        )
        return children.failed

    await delete_downwards(
        job, one_by_one if doomed.on_pinecone else in_batches, partial(_remove, ingest_job_id, announce)
    )
    return {"jobId": ingest_job_id, "deleted": True}


class DeletionsOf:
    """The documents of an ingest job, each as a ``delete-document-job``. Implements ``Source``."""

    def __init__(self, ingest_job_id: str, announce: bool) -> None:
        self._documents = DocumentsOf(ingest_job_id)
        self._announce = announce

    async def read(self, cursor: object, limit: int, /) -> Page[ChildRequest]:
        """Return the next documents."""
        page = await self._documents.read(cursor, limit)
        options = {"updateCounters": True, "skipWebhooks": not self._announce}
        requests = [ChildRequest(key=found.id, payload={"documentId": found.id, **options}) for found in page.items]
        return Page(requests, page.cursor, page.done)


def uncounted(state: int, _outcome: ChildOutcome) -> int:
    """Fold nothing: a child has counted what it deleted, and rows tell what is left."""
    return state


async def mark(batch: Batch[Contents, Runs]) -> Runs:
    """Turn documents to DELETING; return the runs found on them, too."""
    found = await document_deletion.mark(services().database(), [document.id for document in batch.items])
    return Runs((*batch.state.ids, *found))


async def delete_batch(namespace_id: str, announce: bool, strict: bool, batch: Batch[Contents, int]) -> int:
    """Delete documents with all that belongs to them; return how many had to be left so far.

    Raises:
        Exception: none of them could be deleted, so that what is wrong is not wrong with one document; or ``strict``,
            and one could not.
    """
    failed = await remove_contents(namespace_id, batch.items)
    gone = [document.id for document in batch.items if document.id not in failed]
    current = services()
    async with current.database().transaction() as connection:
        await document_deletion.remove(
            connection,
            current_step().job_id,
            gone,
            announce=announce,
            count=True,
            exact=current.settings.platform.counts_exactly,
        )
    if failed and (strict or not gone):
        raise next(iter(failed.values()))
    return batch.state + len(failed)


async def _begin(ingest_job_id: str) -> DoomedIngestJob | None:
    return await deletion.begin_ingest_job(services().database(), ingest_job_id)


async def _remove(ingest_job_id: str, announce: bool) -> bool:
    run_id = current_step().job_id
    async with services().database().transaction() as connection:
        return await deletion.remove_ingest_job(connection, run_id, ingest_job_id, announce=announce)


async def _fail_documents(message: str, batch: Batch[Contents, None]) -> None:
    await document_deletion.fail(services().database(), [document.id for document in batch.items], message)


async def _fail(ingest_job_id: str, message: str) -> None:
    """Not once per job but whenever the run fails: it may be tried again and fail again."""
    await deletion.fail_ingest_job(services().database(), ingest_job_id, message)
