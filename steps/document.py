"""``trigger-document-job``: parses, embeds and stores one document (domain.md §2.2).

Its payload names the row; texts, configs and credentials are loaded inside steps and never checkpointed (W-31). Chunks
are read, embedded and stored by a cursor loop, so a document of any size takes one checkpoint row and little memory.

Left out so far: ``chunks.json`` beside the object (it would have to be built in memory, since the object store port has
no multipart upload), the external parser service, and reporting to Stripe.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from orchestrator import BatchSize, JobContext, RetryPolicy, WorkflowOptions, current_step, workflow
from orchestrator.ports import Connection
from steps.chunks import EMBEDDING_RETRY
from steps.document_content import DocumentContent
from steps.platform import documents
from steps.platform.document_input import load_vector_store_config
from steps.platform.documents import Failed, Started, Totals
from steps.services import services
from steps.vectors.factory import vector_store_for

COMPLETED = "COMPLETED"
#: A database that restarts or fails over is waited for: about six minutes in all.
DATABASE_RETRY = RetryPolicy(max_attempts=12, max_interval_ms=60_000)
#: Two embedding calls at first, sixteen at most, four of them at a time.
CHUNK_BATCH = BatchSize(initial=60, minimum=1, maximum=480)


class DocumentPayload(BaseModel):
    """Which document. ``cleanup``: its vectors and pages of an earlier run are to be replaced."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)

    document_id: str = Field(min_length=1)
    ingest_job_id: str = Field(min_length=1)
    cleanup: bool = False


async def fail_document(job: JobContext, payload: BaseModel, error: str) -> None:
    """Write why the document failed, and take back what it stored: half a document must not be found (W-09)."""
    if not isinstance(payload, DocumentPayload):
        raise TypeError(type(payload).__name__)
    failed = await job.step("fail", _fail, payload.document_id, payload.ingest_job_id, error)
    if failed.written and failed.namespace_id is not None:
        await job.step("remove vectors", remove_vectors, payload.document_id, failed.namespace_id, failed.tenant_id)


@workflow(
    "trigger-document-job",
    options=WorkflowOptions(retry=DATABASE_RETRY, on_failure=fail_document, on_cancel=fail_document),
)
async def process_document(job: JobContext, payload: DocumentPayload) -> dict[str, object]:
    """Parse, embed and store one document."""
    document_id = payload.document_id
    started = await job.transaction("start", _start, document_id, payload.cleanup)
    if started.stopped is not None:
        return _stopped(document_id, started.stopped)
    where = (document_id, started.namespace_id, started.tenant_id)
    content = DocumentContent(document_id)
    if payload.cleanup or started.processed_before:
        # Chunks are numbered from 0, so an earlier run's would stay beyond the last one of a shorter document.
        await job.step("remove old vectors", remove_vectors, *where)
    await job.options(retry=EMBEDDING_RETRY).step("open", open_document, content, document_id)
    loop = await job.each(
        "chunks", content, content.store, state=Totals(), batch=CHUNK_BATCH, retry=EMBEDDING_RETRY, unit="chunks"
    )
    totals = loop.state
    delta = totals.pages - (started.pages if payload.cleanup else 0.0)
    stopped = await job.transaction("complete", _complete, document_id, totals, delta)
    if stopped is not None:
        if stopped != COMPLETED:
            await job.step("take back vectors", remove_vectors, *where)
        return _stopped(document_id, stopped)
    return {
        "documentId": document_id,
        "totalPages": totals.pages,
        "totalTokens": totals.tokens,
        "totalChunks": totals.chunks,
        "meterSuccess": None,
        "pagesDelta": delta,
    }


async def open_document(content: DocumentContent, document_id: str) -> None:
    """Look at the document: it exists, and is of a kind that can be parsed."""
    database = services().database()
    if await documents.note_parsing(database, document_id):
        properties = await content.properties()
        await documents.note_parsed(database, document_id, properties.size_bytes, properties.mime_type)


async def remove_vectors(document_id: str, namespace_id: str, tenant_id: str | None) -> None:
    """Remove every vector of the document."""
    current = services()
    database = current.database()
    config = await load_vector_store_config(database, namespace_id)
    store = vector_store_for(config, current.settings.vectors, namespace_id, tenant_id, current.http, database)
    await store.delete_document(document_id)


async def _start(connection: Connection, document_id: str, cleanup: bool) -> Started:
    return await documents.start(connection, current_step().job_id, document_id, cleanup=cleanup)


async def _complete(connection: Connection, document_id: str, totals: Totals, pages_delta: float) -> str | None:
    return await documents.complete(connection, current_step().job_id, document_id, totals, pages_delta)


async def _fail(document_id: str, ingest_job_id: str, message: str) -> Failed:
    """Not once per job but whenever the run fails: it may be tried again and fail again."""
    async with services().database().transaction() as connection:
        return await documents.fail(connection, current_step().job_id, document_id, ingest_job_id, message)


def _stopped(document_id: str, status: str) -> dict[str, object]:
    """Return the result of a run that gave way: its document is being deleted, gone, or was finished by another run."""
    return {"documentId": document_id, "stopped": status, "pagesDelta": 0.0}
