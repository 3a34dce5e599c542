"""Has a document parsed by the parser service, and stores what came of it (domain.md §2.2 step 5)."""

from __future__ import annotations

from functools import partial
from typing import TypeVar

import msgspec

from orchestrator import JobContext, StepFailedError, current_step
from orchestrator.operations import StepOp
from steps.chunks import EMBEDDING_RETRY
from steps.content.batches import BatchedContent
from steps.deletion import limit_pinecone_deletes
from steps.document_chunks import CHUNK_BATCH, DocumentChunks, Stored, remove_vectors
from steps.outbound import checked_url
from steps.parser_service.leftovers import drop_keys
from steps.parser_service.requests import Callback, ingest_body
from steps.parser_service.results import ParsedFile, parsed_file
from steps.parser_service.waiting import Requested, parsed, start_parse
from steps.platform import documents
from steps.platform.document_input import DocumentInput, FileSource, ManagedFileSource, load_document_input
from steps.platform.documents import Started, Totals
from steps.platform.parser_results import forget_parse, note_result
from steps.presigned import presigned_get
from steps.services import services

T = TypeVar("T")

#: How long the service may read a stored file (domain.md §3.1).
FILE_URL_EXPIRES_S = 24 * 3_600


class Noted(msgspec.Struct, frozen=True):
    """The result that counts.

    Attributes:
        result: what the service said.
        replaces: the document was made of another result before.
    """

    result: ParsedFile
    replaces: bool


class Served(msgspec.Struct, frozen=True):
    """What came of a document.

    Attributes:
        totals: of the document.
        again: another parse of it may be under way.
    """

    totals: Totals
    again: bool = False


async def process_by_service(job: JobContext, document_id: str, started: Started) -> Served:
    """Parse, embed and store one document; a run that gives way returns what it had.

    Raises:
        StepFailedError: see :func:`steps.parser_service.waiting.parsed`; or a step gave up.
    """
    ended = await parsed(job, "ingest", partial(request_parse, document_id))
    if ended is None:
        return Served(Totals())
    noted = await job.step("note result", note_parse, document_id, ended.data)
    result = noted.result
    if noted.replaces:
        # Ids of chunks are random: those of another result would stay beside the new ones.
        if started.on_pinecone:
            await limit_pinecone_deletes(job, started.namespace_id, started.tenant_id)
        await job.step("remove replaced vectors", remove_vectors, document_id, started.namespace_id, started.tenant_id)
    content = BatchedContent(document_id, result)
    chunks = DocumentChunks(document_id, content)
    loop = await job.each(
        "chunks",
        chunks,
        chunks.store,
        state=Stored(),
        batch=CHUNK_BATCH,
        retry=EMBEDDING_RETRY,
        unit="chunks",
        total=result.total_chunks,
    )
    if loop.state.totals.chunks:
        await tolerated(job, job.step("tie chunk file", content.tie_file))
    # A paged file without any text has pages all the same.
    return Served(msgspec.structs.replace(loop.state.totals, paper_pages=result.total_pages), ended.again)


async def tolerated(job: JobContext, step: StepOp[T]) -> None:
    """Run a step whose failure changes nothing of the document."""
    try:
        await step
    except StepFailedError as error:
        job.log(f"{step.name} failed, which changes nothing of the document", error=error.record.message)


async def request_parse(document_id: str, token_id: str, access_token: str) -> Requested | None:
    """Have the service parse the document, unless it is not to be processed any more."""
    database = services().database()
    if not await documents.note_parsing(database, current_step().job_id, document_id):
        return None
    found = await load_document_input(database, document_id)
    if found is None:
        return None
    body = ingest_body(Callback(token_id, access_token), found, _file_url(found))
    return await start_parse("ingest", body)


async def note_parse(document_id: str, data: object) -> Noted:
    """Write down the result that counts.

    Raises:
        NonRetryableError: code ``partition_error``: the service could not parse the document.
    """
    result = parsed_file(data)
    metadata = result.metadata
    async with services().database().transaction() as connection:
        await documents.note_remote_result(
            connection,
            current_step().job_id,
            document_id,
            metadata.size_in_bytes,
            metadata.filetype,
            result.total_characters,
            result.total_chunks,
        )
        before = await note_result(connection, document_id, result.keys)
        await forget_parse(connection, current_step().job_id)
    if before is not None:
        await drop_keys(before)
    return Noted(result, before is not None)


def _file_url(found: DocumentInput) -> str | None:
    """Return where the service reads the document; None for a text."""
    current, source = services(), found.source
    if isinstance(source, FileSource):
        return checked_url(source.file_url, current.settings.outbound)
    if isinstance(source, ManagedFileSource):
        now_ms = current_step().now_ms
        return presigned_get(current.settings.s3, source.key, now_ms=now_ms, expires_s=FILE_URL_EXPIRES_S)
    return None
