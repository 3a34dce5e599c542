"""``delete-document-job``: removes one document and everything that belongs to it (domain.md §2.4)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from orchestrator import JobContext, LanePolicy, WorkflowOptions, current_step, workflow
from orchestrator.ports import Connection
from steps.contents import remove_objects, store_of
from steps.deletion import DELETE_RETRY, PROCESSING, limit_pinecone_deletes, stop_runs
from steps.patience import ROW_RETRY
from steps.platform import document_deletion
from steps.platform.document_deletion import Contents, DoomedDocument, Removed
from steps.services import services


class DeleteDocumentPayload(BaseModel):
    """Which document, and what is to be said of it.

    ``update_counters``: take it off the counters, as every caller but the platform's old parents wants.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        frozen=True,
        json_schema_extra={"examples": [{"documentId": "czdvofaim88000000qx5d43f6", "updateCounters": True}]},
    )

    document_id: str = Field(min_length=1)
    skip_webhooks: bool = False
    update_counters: bool = False


async def give_up(job: JobContext, payload: BaseModel, error: str) -> None:
    """Let the deletion be requested again (W-01)."""
    if not isinstance(payload, DeleteDocumentPayload):
        raise TypeError(type(payload).__name__)
    await job.options(retry=ROW_RETRY).step("fail", _fail, payload.document_id, error)


@workflow(
    "delete-document-job",
    options=WorkflowOptions(
        retry=DELETE_RETRY,
        queue="agentset-delete-document-queue",
        lane=LanePolicy(name="delete-document", concurrency=90),
        tags=("doc_{document_id}",),
        on_failure=give_up,
        on_cancel=give_up,
        retried_from="scratch",
    ),
)
async def delete_document(job: JobContext, payload: DeleteDocumentPayload) -> dict[str, object]:
    """Stop what processes the document, remove what it has, and delete its row."""
    document_id = payload.document_id
    doomed = await job.step("begin", _begin, document_id)
    if doomed is None:
        return {"documentId": document_id, "deleted": False, "reason": "Document not found"}
    await stop_runs(job, "stop processing", doomed.runs, PROCESSING)
    if doomed.on_pinecone:
        await limit_pinecone_deletes(job, doomed.namespace_id, doomed.tenant_id)
    chunks = await job.step("remove vectors", remove_vectors, doomed)
    await job.step("remove objects", remove_objects, doomed.namespace_id, [_contents(doomed)])
    removed = await job.transaction(
        "delete row", _remove, document_id, not payload.skip_webhooks, payload.update_counters
    )
    result: dict[str, object] = {"documentId": document_id, "deleted": True, "pagesDeleted": removed.pages}
    return result if chunks is None else {**result, "vectorChunksDeleted": chunks}


async def remove_vectors(doomed: DoomedDocument) -> int | None:
    """Remove the document's vectors; return how many, where the store says."""
    return await (await store_of(doomed.namespace_id, doomed.tenant_id)).delete_document(doomed.id)


async def _begin(document_id: str) -> DoomedDocument | None:
    return await document_deletion.begin(services().database(), document_id)


def _contents(doomed: DoomedDocument) -> Contents:
    return Contents(doomed.id, doomed.tenant_id, doomed.key, "")


async def _remove(connection: Connection, document_id: str, announce: bool, count: bool) -> Removed:
    return await document_deletion.remove(
        connection,
        current_step().job_id,
        [document_id],
        announce=announce,
        count=count,
        exact=services().settings.platform.counts_exactly,
    )


async def _fail(document_id: str, message: str) -> None:
    """Not once per job but whenever the run fails: it may be tried again and fail again."""
    await document_deletion.fail(services().database(), [document_id], message)
