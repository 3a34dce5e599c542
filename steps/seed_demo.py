"""``seed-demo-namespace``: fills a new namespace with documents whose embeddings are ready (domain.md §2.10).

Ids are functions of namespace and template, so a second run changes nothing of what the first has done.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from orchestrator import (
    Batch,
    BatchSize,
    JobContext,
    LanePolicy,
    NonRetryableError,
    Page,
    WorkflowOptions,
    current_step,
    workflow,
)
from orchestrator.ports import Connection
from orchestrator.sources import PageLike
from steps.chunk_file import (
    ChunkFile,
    Pieces,
    chunk_file_key,
    encode_piece,
    join_pieces,
    put_piece,
    text_chunk,
)
from steps.chunks import EMBEDDING_RETRY, vector_row
from steps.content import PAGE_CHARS
from steps.content.current import CurrentHttp
from steps.demo_templates import TEMPLATES, chunks_url
from steps.document import COMPLETED, DATABASE_RETRY
from steps.document_chunks import drop_chunk_pieces, take_back
from steps.parsing import HttpReader
from steps.parsing.json_elements import ArrayPosition, Elements
from steps.patience import CLEANUP_RETRY, ROW_RETRY
from steps.platform import demo, documents
from steps.platform.demo import DemoDocument
from steps.platform.document_input import load_vector_store_config
from steps.platform.documents import Completed
from steps.platform.ids import demo_job_id, document_id
from steps.services import services
from steps.vectors import MetadataValue, VectorStore
from steps.vectors.factory import vector_store_for
from steps.vectors.metadata import plain_metadata

T = TypeVar("T", bound=msgspec.Struct)

#: Rows per upsert, and how many upserts a batch may make (domain.md §2.10).
UPSERT_ROWS = 30
ROWS_BATCH = BatchSize(initial=30, minimum=1, maximum=120)


class SeedPayload(BaseModel):
    """Which demo, and where. The caller's idempotency key is ``seed_demo_<namespaceId>``."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        frozen=True,
        json_schema_extra={
            "examples": [{"namespaceId": "nsone", "organizationId": "org1", "templateId": "academic-research"}]
        },
    )

    namespace_id: str = Field(min_length=1)
    organization_id: str = Field(min_length=1)
    template_id: str


class Seeded(msgspec.Struct, frozen=True):
    """How far a document is seeded; the carried state of its loop."""

    chunks: int = 0
    characters: int = 0
    pieces: Pieces = Pieces()


async def fail_seeding(job: JobContext, payload: BaseModel, error: str) -> None:
    """Write why seeding failed; of documents that it has not completed nothing stays to be found."""
    if not isinstance(payload, SeedPayload):
        raise TypeError(type(payload).__name__)
    ingest_job_id = demo_job_id(payload.namespace_id, payload.template_id)
    unfinished = await job.options(retry=ROW_RETRY).step("fail", _fail, ingest_job_id, payload.template_id, error)
    await job.options(retry=CLEANUP_RETRY).step("drop pieces", drop_chunk_pieces)
    for each in unfinished:
        retry = job.options(key=each, retry=CLEANUP_RETRY)
        await retry.step("take back", take_back, each, payload.namespace_id, None)


@workflow(
    "seed-demo-namespace",
    options=WorkflowOptions(
        retry=DATABASE_RETRY,
        lane=LanePolicy(name="demo", concurrency=90),
        tags=("ns_{namespace_id}", "org_{organization_id}", "template_{template_id}"),
        on_failure=fail_seeding,
        on_cancel=fail_seeding,
        # What was stored of a document was removed when its job failed.
        retried_from="scratch",
    ),
)
async def seed_demo(job: JobContext, payload: SeedPayload) -> dict[str, object]:
    """Make the demo's ingest job and documents, and store their chunks."""
    template = TEMPLATES.get(payload.template_id)
    if template is None:
        raise NonRetryableError("Template not found", code="template_not_found")
    namespace_id = payload.namespace_id
    ingest_job_id = demo_job_id(namespace_id, payload.template_id)
    items = await job.transaction("begin", _begin, payload)
    pages = 0.0
    for index, item in enumerate(items):
        job.progress(index, len(items), "documents")
        seeded = await _seed(job, namespace_id, ingest_job_id, index, item)
        pages += seeded.pages
    await job.transaction("finish", _finish, ingest_job_id)
    job.progress(len(items), len(items), "documents")
    return {
        "namespaceId": namespace_id,
        "organizationId": payload.organization_id,
        "templateId": payload.template_id,
        "ingestJobId": ingest_job_id,
        "totalDocuments": len(items),
        "totalPages": pages,
    }


async def _seed(
    job: JobContext, namespace_id: str, ingest_job_id: str, index: int, item: Mapping[str, str]
) -> DemoDocument:
    """Make one document; return what its file says of it."""
    each = document_id(ingest_job_id, index)
    content = DemoContent(namespace_id, each, chunks_url(item["fileUrl"]))
    one = job.options(key=str(index))
    found = await job.options(key=str(index), retry=EMBEDDING_RETRY).step("open", content.describe)
    if not await one.transaction("create document", _begin_document, ingest_job_id, each, item, found):
        return found
    loop = await job.each(
        "chunks",
        content,
        partial(content.store, found),
        state=Seeded(),
        batch=ROWS_BATCH,
        key=str(index),
        retry=EMBEDDING_RETRY,
        unit="chunks",
    )
    await one.step("write chunk file", content.write_file, found, loop.state)
    await one.step("drop pieces", drop_chunk_pieces)
    completed = await one.transaction("complete", _complete_document, each)
    if completed.stopped not in (None, COMPLETED):
        await one.step("take back", take_back, each, namespace_id, None)
    return found


class DemoContent:
    """The chunk file of one demo document, with its embeddings. Implements ``Source`` for the chunk loop.

    Args:
        namespace_id: where it goes.
        document_id: its row.
        url: the file's address.
    """

    def __init__(self, namespace_id: str, document_id: str, url: str) -> None:
        self._namespace_id = namespace_id
        self._document_id = document_id
        self._url = url
        self._file: ChunkFile | None = None

    async def describe(self) -> DemoDocument:
        """Return what the file says of its document.

        Raises:
            DocumentError: there is no such file, or it is malformed.
            RetryableError: the server is overloaded or unreachable.
            NonRetryableError: code ``invalid_demo_file``: something is missing.
        """
        file = await self._open()
        members, at = await file.begin()
        found: Elements | None = None
        while "total_characters" not in members and (found is None or not found.done):
            # Written behind the chunks: those are passed over once, to be stored afterwards.
            found = await file.take(at, 1_000, PAGE_CHARS)
            members, at = {**members, **found.rest}, found.position
        facts = _checked(members, _Facts)
        return DemoDocument(
            characters=facts.total_characters,
            chunks=facts.total_chunks,
            pages=facts.total_pages or facts.total_characters / 1000,
            tokens=facts.total_tokens,
            properties=facts.document_properties,
            metadata=plain_metadata(facts.metadata),
        )

    async def read(self, cursor: object, limit: int, /) -> PageLike[object]:
        """Return the next chunks with their embeddings; none any more once the document is being deleted."""
        run_id, database = current_step().job_id, services().database()
        if not await documents.may_take_chunks(database, run_id, self._document_id, first=cursor is None):
            return Page[object]([], None, done=True)
        file = await self._open()
        if isinstance(cursor, bytes):
            position = msgspec.msgpack.decode(cursor, type=ArrayPosition)
        else:
            _, position = await file.begin()
        found = await file.take(position, limit, PAGE_CHARS)
        return Page(found.items, msgspec.msgpack.encode(found.position), found.done)

    async def store(self, found: DemoDocument, batch: Batch[object, Seeded]) -> Seeded:
        """Store a batch of chunks; return what is stored with it."""
        metadata = self._metadata(found)
        chunks = [text_chunk(item) for item in batch.items]
        vectors = [_checked(item, _Embedded).embedding for item in batch.items]
        rows = [vector_row(chunk, vector, metadata) for chunk, vector in zip(chunks, vectors, strict=True)]
        store = await self._store()
        for at in range(0, len(rows), UPSERT_ROWS):
            await store.upsert(rows[at : at + UPSERT_ROWS])
        before, blobs = batch.state, services().blobs
        pieces = before.pieces
        if chunks:
            pieces = await put_piece(blobs, current_step().job_id, pieces, encode_piece(chunks))
        characters = before.characters + sum(len(chunk.text) for chunk in chunks)
        return Seeded(before.chunks + len(chunks), characters, pieces)

    async def write_file(self, found: DemoDocument, seeded: Seeded) -> None:
        """Write ``chunks.json``: its own, without embeddings; not of a document that is completed or gone."""
        if not await documents.is_processing(services().database(), self._document_id):
            return
        blobs, job_id = services().blobs, current_step().job_id
        key, metadata = chunk_file_key(self._namespace_id, self._document_id), self._metadata(found)
        await join_pieces(blobs, job_id, key, metadata, seeded.pieces, seeded.chunks, seeded.characters)

    def _metadata(self, found: DemoDocument) -> dict[str, MetadataValue]:
        return {**found.metadata, "namespaceId": self._namespace_id, "documentId": self._document_id}

    async def _store(self) -> VectorStore:
        current = services()
        database = current.database()
        config = await load_vector_store_config(database, self._namespace_id)
        return vector_store_for(config, current.settings.vectors, self._namespace_id, None, current.http, database)

    async def _open(self) -> ChunkFile:
        if self._file is None:
            self._file = ChunkFile(await HttpReader.open(CurrentHttp(), self._url))
        return self._file


class _Facts(msgspec.Struct, frozen=True):
    total_characters: int
    total_chunks: int
    total_tokens: int = 0
    total_pages: float | None = None
    document_properties: object = None
    metadata: dict[str, object] = {}


class _Embedded(msgspec.Struct, frozen=True):
    embedding: list[float]


def _checked(value: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise NonRetryableError(f"Invalid demo file: {error}", code="invalid_demo_file") from error


async def _begin(connection: Connection, payload: SeedPayload) -> list[dict[str, str]]:
    template = TEMPLATES[payload.template_id]
    items = template.items(services().settings.demo.base_url)
    await demo.begin(
        connection,
        current_step().job_id,
        demo_job_id(payload.namespace_id, payload.template_id),
        payload.namespace_id,
        payload.organization_id,
        template.name,
        {"type": "BATCH", "items": items},
    )
    return items


async def _begin_document(
    connection: Connection, ingest_job_id: str, each: str, item: Mapping[str, str], found: DemoDocument
) -> bool:
    return await demo.begin_document(connection, ingest_job_id, each, item, found)


async def _complete_document(connection: Connection, each: str) -> Completed:
    return await demo.complete_document(connection, each)


async def _finish(connection: Connection, ingest_job_id: str) -> None:
    await demo.finish(connection, ingest_job_id)


async def _fail(ingest_job_id: str, template_id: str, message: str) -> list[str]:
    """Not once per job but whenever the run fails: it may be tried again and fail again."""
    template = TEMPLATES.get(template_id)
    ids = [document_id(ingest_job_id, index) for index in range(len(template.files))] if template else []
    async with services().database().transaction() as connection:
        return await demo.fail(connection, current_step().job_id, ingest_job_id, ids, message)
