"""``trigger-ingestion-job``: makes an ingest job's documents and processes each (domain.md §2.1)."""

from __future__ import annotations

from functools import partial

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from orchestrator import (
    Batch,
    BatchSize,
    ChildRequest,
    JobContext,
    LanePolicy,
    NonRetryableError,
    Page,
    WorkflowOptions,
    current_step,
    workflow,
)
from orchestrator.ports import Connection
from orchestrator.sources import Source
from steps import ingest_status
from steps.document import DATABASE_RETRY
from steps.ingest_remote import FoundDocuments, find_documents
from steps.ingest_status import Processed
from steps.patience import ROW_RETRY
from steps.platform import documents, ingest_jobs
from steps.platform.ids import MAX_DOCUMENTS
from steps.platform.ingest_jobs import Begun, Created, Outcome
from steps.platform.parser_results import Parse, parse_of
from steps.services import services
from steps.settle_parse import settle_later

#: Documents processed at a time (domain.md §2.1).
WINDOW = 30
#: Twelve hours at work, whatever it waits for between (domain.md §2.1).
MAX_ACTIVE_MS = 12 * 3_600_000
#: Documents inserted per transaction. The platform's own constant is 20; their texts stay in the database.
INSERT_BATCH = BatchSize(initial=60, minimum=1, maximum=480)
KINDS = frozenset({"TEXT", "FILE", "MANAGED_FILE", "BATCH", "CRAWL", "YOUTUBE"})


class IngestionPayload(BaseModel):
    """Which ingest job. ``organization_id`` is not needed, and absent from some producers' messages."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        frozen=True,
        json_schema_extra={"examples": [{"jobId": "cjob0000000000000000000001", "organizationId": "org1"}]},
    )

    job_id: str = Field(min_length=1)
    organization_id: str | None = None


async def fail_ingestion(job: JobContext, payload: BaseModel, error: str) -> None:
    """Write why the ingest job failed; its documents stay as they are."""
    if not isinstance(payload, IngestionPayload):
        raise TypeError(type(payload).__name__)
    parse = await job.options(retry=ROW_RETRY).step("fail", _fail, payload.job_id, error)
    if parse is not None:
        await settle_later(job, parse)


@workflow(
    "trigger-ingestion-job",
    options=WorkflowOptions(
        retry=DATABASE_RETRY,
        queue="agentset-ingest-queue",
        lane=LanePolicy(name="ingestion", concurrency=90),
        max_active_ms=MAX_ACTIVE_MS,
        tags=("job_{job_id}",),
        on_failure=fail_ingestion,
        on_cancel=fail_ingestion,
    ),
)
async def ingest(job: JobContext, payload: IngestionPayload) -> dict[str, object]:
    """Make the ingest job's documents, process each, and say how it went."""
    ingest_job_id = payload.job_id
    begun = await job.transaction("begin", _begin, ingest_job_id)
    if begun.stopped is not None:
        return _result(ingest_job_id, 0, begun.stopped)
    if refusal := _refusal(begun):
        raise refusal
    made = await _make_documents(job, ingest_job_id, begun)
    processing = await job.transaction("start processing", _start_processing, ingest_job_id)
    if processing.stopped is not None:
        return _result(ingest_job_id, processing.documents, processing.stopped)
    children = await job.map_children(
        "documents",
        "trigger-document-job",
        made.source,
        reduce=ingest_status.fold,
        state=Processed(),
        window=WINDOW,
        on_failure="collect",
        unit="documents",
        total=made.total,
        show=ingest_status.shown(made.total, WINDOW),
    )
    if made.over_limit:
        job.set_metadata("over_limit_documents", made.over_limit)
    over = f"{made.over_limit} document(s) exceeded pages limit" if made.over_limit else None
    error = "Failed to process documents" if children.state.failed else over
    finished = await job.transaction("finish", _finish, ingest_job_id, error)
    return _result(ingest_job_id, processing.documents, finished.stopped)


class Made(msgspec.Struct, frozen=True):
    """Documents to be processed.

    Attributes:
        source: where they are.
        total: how many there are.
        over_limit: those that exist and are not processed: the quota does not allow them.
    """

    source: Source[ChildRequest]
    total: int
    over_limit: int = 0


async def _make_documents(job: JobContext, ingest_job_id: str, begun: Begun) -> Made:
    if begun.kind == "CRAWL" or begun.kind == "YOUTUBE":
        created = await find_documents(job, ingest_job_id, begun.kind)
        return Made(FoundDocuments(ingest_job_id, created.ids), len(created.ids), created.over_limit)
    await job.each(
        "create documents",
        range(begun.items),
        partial(_create, ingest_job_id),
        state=Created(),
        batch=INSERT_BATCH,
        unit="documents",
        total=begun.items,
    )
    return Made(QueuedDocuments(ingest_job_id), begun.items)


class QueuedDocuments:
    """The documents of an ingest job that wait to be processed, by keyset. Implements ``Source``.

    Args:
        ingest_job_id: the ``ingest_job`` row.
    """

    def __init__(self, ingest_job_id: str) -> None:
        self._ingest_job_id = ingest_job_id

    async def read(self, cursor: object, limit: int, /) -> Page[ChildRequest]:
        """Return the next documents; the cursor is the last one's id."""
        after = cursor if isinstance(cursor, str) else None
        ids = await documents.queued_after(services().database(), self._ingest_job_id, after, limit)
        requests = [
            ChildRequest(key=document_id, payload={"documentId": document_id, "ingestJobId": self._ingest_job_id})
            for document_id in ids
        ]
        return Page(requests, ids[-1] if ids else after, done=len(ids) < limit)


async def _begin(connection: Connection, ingest_job_id: str) -> Begun:
    return await ingest_jobs.begin(connection, current_step().job_id, ingest_job_id)


def _refusal(begun: Begun) -> NonRetryableError | None:
    if begun.kind not in KINDS:
        return NonRetryableError("Invalid ingest payload: unknown type", code="invalid_ingest_payload")
    if not 0 <= begun.items <= MAX_DOCUMENTS:
        return NonRetryableError("Invalid ingest payload: items is no list", code="invalid_ingest_payload")
    return None


async def _create(ingest_job_id: str, batch: Batch[int, Created]) -> Created:
    if batch.state.stopped:
        return batch.state
    run_id = current_step().job_id
    async with services().database().transaction() as connection:
        first, count = batch.items[0], len(batch.items)
        return await ingest_jobs.create_documents(connection, run_id, ingest_job_id, first, count)


async def _start_processing(connection: Connection, ingest_job_id: str) -> Outcome:
    return await ingest_jobs.start_processing(connection, current_step().job_id, ingest_job_id)


async def _finish(connection: Connection, ingest_job_id: str, error: str | None) -> Outcome:
    return await ingest_jobs.finish(connection, current_step().job_id, ingest_job_id, error)


async def _fail(ingest_job_id: str, message: str) -> Parse | None:
    """Not once per job but whenever the run fails: it may be tried again and fail again.

    Returns what the parser service is doing for the run still.
    """
    run_id = current_step().job_id
    async with services().database().transaction() as connection:
        await ingest_jobs.fail(connection, run_id, ingest_job_id, message)
        return await parse_of(connection, run_id)


def _result(ingest_job_id: str, created: int, stopped: str | None) -> dict[str, object]:
    result: dict[str, object] = {"ingestionJobId": ingest_job_id, "documentsCreated": created}
    return result if stopped is None else {**result, "stopped": stopped}
