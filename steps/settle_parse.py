"""``settle-parse``: sees to what a parse leaves that ends when nobody waits for it any more (W-04, W-09, W-12).

The parser service cannot be stopped: up to two hours later it writes the chunks and images of a document that was
deleted meanwhile, or a second ``chunks.json`` over the one that the document was made of. So a run that ends before its
parse, or may have begun two, starts this job for when the service has surely ended.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from orchestrator import (
    Batch,
    BatchSize,
    JobContext,
    JobOptions,
    RetryableError,
    StepFailedError,
    WorkflowOptions,
    current_step,
    workflow,
)
from steps.content.batches import BatchedContent
from steps.contents import remove_objects
from steps.parser_service.client import ParserService
from steps.parser_service.leftovers import drop_batches
from steps.parser_service.results import found_documents
from steps.parser_service.waiting import PARSE_TIMEOUT_MS
from steps.patience import CLEANUP_RETRY
from steps.platform.document_deletion import Contents
from steps.platform.parser_results import Parse, finished_result, parse_of, unwanted
from steps.services import services
from steps.unclaimed_documents import find_unclaimed

#: When the service has surely ended.
SETTLE_AFTER_MS = PARSE_TIMEOUT_MS + 600_000
BATCH = BatchSize(initial=50, minimum=1, maximum=200)


class SettlePayload(BaseModel):
    """Which parse. Without a document, those that it has found are asked of the service.

    Without a ``call_id``, or with one that was ``lost`` beside it, nobody knows them.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        frozen=True,
        json_schema_extra={
            "examples": [
                {"kind": "ingest", "callId": "fc-1", "namespaceId": "nsone", "documentId": "cgone00000000000000000001"}
            ]
        },
    )

    kind: Literal["ingest", "crawl", "youtube"]
    call_id: str
    namespace_id: str = Field(min_length=1)
    document_id: str | None = None
    lost: bool = False


async def settle_left(job: JobContext) -> None:
    """Have the parse settled that a run leaves which gives way, if it has one under way."""
    parse = await job.step("look for a parse", parse_left)
    if parse is not None:
        await settle_later(job, parse)


async def settle_later(job: JobContext, parse: Parse) -> None:
    """Have a parse settled when the service has surely ended with it, whatever becomes of the job."""
    payload = {
        "kind": parse.kind,
        "callId": parse.call_id,
        "namespaceId": parse.namespace_id,
        "documentId": parse.document_id,
        "lost": parse.lost,
    }
    options = JobOptions(delay_ms=SETTLE_AFTER_MS)
    await job.start_child("settle parse", "settle-parse", payload, options=options, on_parent_end="keep")


@workflow("settle-parse", options=WorkflowOptions(retry=CLEANUP_RETRY))
async def settle_parse(job: JobContext, payload: SettlePayload) -> dict[str, object]:
    """Remove what was written for documents that are gone; tie the file of one that is there to its result."""
    settle = partial(settle_documents, payload.namespace_id)
    ids, unknown = await _written(job, payload)
    loop = await job.each("documents", ids, settle, state=0, batch=BATCH, unit="documents")
    if not unknown:
        return {"removed": loop.state}
    unclaimed = await find_unclaimed(job, payload.namespace_id)
    rest = await job.each("unclaimed documents", unclaimed, settle, state=0, batch=BATCH, unit="documents")
    return {"removed": loop.state + rest.state}


async def _written(job: JobContext, payload: SettlePayload) -> tuple[list[str], bool]:
    """Return the documents that a parse has written, and whether it, or another, may have written more."""
    if payload.document_id is not None:
        return [payload.document_id], False
    if not payload.call_id:
        return [], True
    try:
        return await job.step("ask", ask, payload.kind, payload.call_id), payload.lost
    except StepFailedError as error:
        job.log("The parser service does not know what it has found", error=error.record.message)
        return [], True


async def parse_left() -> Parse | None:
    """Return the parse that the running job has under way."""
    return await parse_of(services().database(), current_step().job_id)


async def ask(kind: Literal["ingest", "crawl", "youtube"], call_id: str) -> list[str]:
    """Return the documents that a call has found; none when it failed.

    Raises:
        RetryableError: the service cannot say now.
    """
    current = services()
    if current.settings.parser_service.url is None:
        return []
    found = await ParserService(current.http, current.settings.parser_service).poll(kind, call_id)
    if found.data is None:
        raise RetryableError(found.trouble or "The parser service is at it still", code="parser_service_unavailable")
    return found_documents(found.data)


async def settle_documents(namespace_id: str, batch: Batch[str, int]) -> int:
    """Settle some documents; return how many are gone so far."""
    database = services().database()
    gone = await unwanted(database, batch.items)
    await remove_objects(namespace_id, [Contents(document_id, None, None, "") for document_id in gone])
    for document_id in batch.items:
        if document_id not in gone:
            await _tie(document_id)
    return batch.state + len(gone)


async def _tie(document_id: str) -> None:
    """Write the file of the result that a finished document was made of once more, if another was written over it."""
    keys = await finished_result(services().database(), document_id)
    if keys is not None:
        if await BatchedContent.of_keys(document_id, keys).tie_file():
            current_step().log("The chunk file was another parse's", document=document_id)
        await drop_batches([document_id])
