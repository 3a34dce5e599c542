"""``trigger-document-job``: parses, embeds and stores one document (domain.md §2.2).

Its payload names the row; texts, configs and credentials are loaded inside steps and never checkpointed (W-31). Chunks
are read, embedded and stored by a cursor loop, so a document of any size takes one checkpoint row and little memory.
"""

from __future__ import annotations

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from orchestrator import JobContext, LanePolicy, RetryPolicy, WorkflowOptions, current_step, workflow
from orchestrator.ports import Connection
from steps.chunks import EMBEDDING_RETRY
from steps.content.builtin import ParsedContent
from steps.content.stored import StoredContent
from steps.deletion import limit_pinecone_deletes
from steps.document_chunks import (
    CHUNK_BATCH,
    DocumentChunks,
    Stored,
    drop_chunk_pieces,
    remove_vectors,
    take_back,
)
from steps.document_service import Served, process_by_service, tolerated
from steps.meter_document import meter_document
from steps.parser_service.leftovers import drop_batches
from steps.patience import CLEANUP_RETRY, ROW_RETRY
from steps.platform import documents
from steps.platform.documents import Completed, Failed, Started, Totals
from steps.platform.parser_results import Parse, parse_of
from steps.services import services
from steps.settle_parse import settle_later, settle_left

COMPLETED = "COMPLETED"
#: Sources whose chunks are in ``chunks.json`` from the beginning.
STORED_KINDS = frozenset({"CRAWLED_PAGE", "YOUTUBE_VIDEO"})
#: Three hours at work, whatever it waits for between (domain.md §2.2).
MAX_ACTIVE_MS = 3 * 3_600_000
#: A database that restarts or fails over is waited for: about six minutes in all.
DATABASE_RETRY = RetryPolicy(max_attempts=12, max_interval_ms=60_000)


class DocumentPayload(BaseModel):
    """Which document. ``cleanup``: its vectors and pages of an earlier run are to be replaced."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        frozen=True,
        json_schema_extra={
            "examples": [{"documentId": "cg6uwvhxc1400000064rxmhwt", "ingestJobId": "cjob0000000000000000000005"}]
        },
    )

    document_id: str = Field(min_length=1)
    ingest_job_id: str = Field(min_length=1)
    cleanup: bool = False


async def fail_document(job: JobContext, payload: BaseModel, error: str) -> None:
    """Write why the document failed, and take back what it stored: half a document must not be found (W-09)."""
    if not isinstance(payload, DocumentPayload):
        raise TypeError(type(payload).__name__)
    document_id, retry = payload.document_id, job.options(retry=CLEANUP_RETRY)
    failed = await job.options(retry=ROW_RETRY).step("fail", _fail, document_id, payload.ingest_job_id, error)
    await job.gather(
        retry.step("drop batches", drop_batches, [document_id]),
        retry.step("drop pieces", drop_chunk_pieces),
        _remove_vectors_of_failed(job, document_id, failed),
    )
    if failed.parse is not None:
        await settle_later(job, failed.parse)


@workflow(
    "trigger-document-job",
    options=WorkflowOptions(
        retry=DATABASE_RETRY,
        lane=LanePolicy(name="documents", concurrency=90),
        max_active_ms=MAX_ACTIVE_MS,
        tags=("doc_{document_id}",),
        on_failure=fail_document,
        on_cancel=fail_document,
    ),
)
async def process_document(job: JobContext, payload: DocumentPayload) -> dict[str, object]:
    """Parse, embed and store one document."""
    document_id = payload.document_id
    started = await job.transaction("start", _start, document_id, payload.cleanup)
    if started.stopped is not None:
        return _stopped(document_id, started.stopped)
    where = (document_id, started.namespace_id, started.tenant_id)
    if payload.cleanup or started.processed_before:
        # Chunks are numbered from 0, so an earlier run's would stay beyond the last one of a shorter document.
        if started.on_pinecone:
            await limit_pinecone_deletes(job, started.namespace_id, started.tenant_id)
        await job.step("remove old vectors", remove_vectors, *where)
    served: Served | None = None
    if started.by_service and started.kind not in STORED_KINDS:
        served = await process_by_service(job, document_id, started)
        totals = served.totals
    elif started.kind in STORED_KINDS:
        totals = await _process_stored(job, document_id, started)
    else:
        totals = await _process_here(job, document_id)
    pages_before = started.pages if payload.cleanup else 0.0
    completed = await job.transaction("complete", _complete, document_id, totals, pages_before)
    if served is not None and not served.again:
        await tolerated(job, job.step("drop batches", drop_batches, [document_id]))
    elif served is not None:
        await settle_later(job, Parse(kind="ingest", namespace_id=started.namespace_id, document_id=document_id))
    if completed.stopped is not None:
        if completed.stopped != COMPLETED:
            if started.on_pinecone:
                await limit_pinecone_deletes(job, started.namespace_id, started.tenant_id)
            await job.step("take back", take_back, *where)
        if served is not None:
            await settle_left(job)
        return _stopped(document_id, completed.stopped)
    metered = None if payload.cleanup else await meter_document(job, document_id, started.namespace_id, totals.pages)
    return {
        "documentId": document_id,
        "totalPages": totals.pages,
        "totalTokens": totals.tokens,
        "totalChunks": totals.chunks,
        "meterSuccess": metered,
        "pagesDelta": completed.pages_delta,
    }


async def _remove_vectors_of_failed(job: JobContext, document_id: str, failed: Failed) -> None:
    if not failed.written or failed.namespace_id is None:
        return
    if failed.on_pinecone:
        await limit_pinecone_deletes(job, failed.namespace_id, failed.tenant_id)
    retry = job.options(retry=CLEANUP_RETRY)
    await retry.step("remove vectors", remove_vectors, document_id, failed.namespace_id, failed.tenant_id)


async def open_document(content: ParsedContent, document_id: str) -> None:
    """Look at the document: it exists, and is of a kind that can be parsed."""
    database = services().database()
    if await documents.note_parsing(database, current_step().job_id, document_id):
        properties = await content.properties()
        await documents.note_parsed(database, document_id, properties.size_bytes, properties.mime_type)


async def open_stored(content: StoredContent, document_id: str) -> None:
    """Look at the document's ``chunks.json``, which knows more of its source."""
    fields = await content.source_fields()
    await documents.note_source(services().database(), current_step().job_id, document_id, fields)


async def _process_here(job: JobContext, document_id: str) -> Totals:
    """Parse a document with the built-in parser, and write its ``chunks.json``."""
    content = ParsedContent(document_id)
    await job.options(retry=EMBEDDING_RETRY).step("open", open_document, content, document_id)
    chunks = DocumentChunks(document_id, content)
    stored = await _store(job, chunks)
    if stored.pieces.count:
        await job.step("write chunk file", chunks.write_file, stored)
        await job.step("drop pieces", drop_chunk_pieces)
    return stored.totals


async def _process_stored(job: JobContext, document_id: str, started: Started) -> Totals:
    """Embed a crawled page or a video: its pages and characters are those that it was made with."""
    content = StoredContent(document_id, started.chunks)
    await job.options(retry=EMBEDDING_RETRY).step("open", open_stored, content, document_id)
    stored = await _store(job, DocumentChunks(document_id, content))
    return msgspec.structs.replace(stored.totals, characters=started.characters, paper_pages=started.pages)


async def _store(job: JobContext, chunks: DocumentChunks) -> Stored:
    loop = await job.each(
        "chunks", chunks, chunks.store, state=Stored(), batch=CHUNK_BATCH, retry=EMBEDDING_RETRY, unit="chunks"
    )
    return loop.state


async def _start(connection: Connection, document_id: str, cleanup: bool) -> Started:
    settings = services().settings
    started = await documents.start(connection, current_step().job_id, document_id, cleanup=cleanup)
    if settings.ingest.pages_quota == "every_document" and started.stopped is None and not cleanup:
        await documents.check_quota(connection, document_id)
    return msgspec.structs.replace(started, by_service=settings.parser_service.url is not None)


async def _complete(connection: Connection, document_id: str, totals: Totals, pages_before: float) -> Completed:
    exact = services().settings.platform.counts_exactly
    return await documents.complete(connection, current_step().job_id, document_id, totals, pages_before, exact=exact)


async def _fail(document_id: str, ingest_job_id: str, message: str) -> Failed:
    """Not once per job but whenever the run fails: it may be tried again and fail again."""
    run_id = current_step().job_id
    async with services().database().transaction() as connection:
        failed = await documents.fail(connection, run_id, document_id, ingest_job_id, message)
        return msgspec.structs.replace(failed, parse=await parse_of(connection, run_id))


def _stopped(document_id: str, status: str) -> dict[str, object]:
    """Return the result of a run that gave way: its document is being deleted, gone, or was finished by another run."""
    return {"documentId": document_id, "stopped": status, "pagesDelta": 0.0}
