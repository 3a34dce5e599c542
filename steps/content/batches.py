"""A file that the parser service has parsed: its chunks are in Redis, a batch per key, and in ``chunks.json``.

A batch that is missing is no loss: the file has the same chunks under the same ids, and reading goes on there. Only
when it was written by another parse meanwhile does the document begin anew.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NoReturn

import msgspec

from orchestrator import NonRetryableError
from orchestrator.model import Progress
from steps.chunk_file import ChunkFile, chunk_file_key, encode_piece, text_chunk, write_stream
from steps.chunks import TextChunk
from steps.content import PAGE_CHARS, ChunkPage
from steps.content.current import CurrentBlobs
from steps.parser_service.requests import BATCH_SIZE
from steps.parser_service.results import FileMetadata, ParsedFile
from steps.parsing import DocumentError
from steps.parsing.json_elements import ArrayPosition
from steps.platform.document_input import DocumentInput, load_document_input
from steps.platform.parser_results import BatchKeys
from steps.redis import redis_for
from steps.services import services
from steps.vectors import MetadataValue


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where the next chunk is.

    Attributes:
        batch: the next batch, while they come from Redis.
        taken: chunks handed out.
        last_id: the last one's id: the file must have it at the same place.
        file: where in the file; None while chunks come from Redis.
    """

    batch: int = 0
    taken: int = 0
    last_id: str = ""
    file: ArrayPosition | None = None


class BatchedContent:
    """Implements :class:`steps.content.Content` with the parser service's result.

    Args:
        document_id: the ``document`` row.
        result: the one result that counts.
    """

    has_chunk_file = True

    def __init__(self, document_id: str, result: ParsedFile) -> None:
        self._document_id = document_id
        self._result = result
        self._input: DocumentInput | None = None
        self._file: tuple[ChunkFile, ArrayPosition] | None = None

    @classmethod
    def of_keys(cls, document_id: str, keys: BatchKeys) -> BatchedContent:
        """Return the content of a result of which only the keys are known."""
        # One batch per request: nobody knows how long they are.
        result = ParsedFile(
            FileMetadata(0), PAGE_CHARS * keys.total_batches, 0, keys.total_batches, keys.batch_template
        )
        return cls(document_id, result)

    async def load(self) -> tuple[DocumentInput, Mapping[str, MetadataValue]]:
        """See :class:`steps.content.Content`."""
        if self._input is None:
            self._input = await load_document_input(services().database(), self._document_id)
        if self._input is None:
            raise NonRetryableError("Document not found", code="document_not_found")
        return self._input, self._input.metadata

    async def read(self, cursor: bytes | None, limit: int, /) -> ChunkPage:
        """See :class:`steps.content.Content`."""
        at = _Cursor() if cursor is None else msgspec.msgpack.decode(cursor, type=_Cursor)
        if at.file is None:
            if at.batch >= self._result.total_batches:
                return self._page([], None)
            batches = await self._batches(at.batch, limit)
            if batches:
                items = [chunk for batch in batches for chunk in batch]
                last_id = items[-1].id if items else at.last_id
                after = _Cursor(at.batch + len(batches), at.taken + len(items), last_id)
                return self._page(items, after if after.batch < self._result.total_batches else None, after.taken)
        try:
            return await self._read_file(at, limit)
        except DocumentError as error:
            _missing(error)

    async def tie_file(self) -> bool:
        """Make ``chunks.json`` the one of this result, should another parse have written over it; tell whether it had.

        A parse whose answer was lost in a crash was started twice. The service writes the file of each, in any order.
        """
        first = await self._batches(0, 1)
        if not first or not first[0]:
            return False  # read from the file, or nothing to read
        found, metadata = await self.load()
        key = chunk_file_key(found.namespace_id, self._document_id)
        try:
            file = await ChunkFile.open(CurrentBlobs(), key)
            _, begin = await file.begin()
            if (await file.take(begin, 1, PAGE_CHARS)).items[:1] == [msgspec.to_builtins(first[0][0])]:
                return False
        except DocumentError:
            pass  # as good as another's
        try:
            totals, size = await self._measure()
        except NonRetryableError:
            return False  # a batch is gone, and the document was read from the file
        await write_stream(services().blobs, key, metadata, self._pieces(), size, *totals)
        return True

    async def _measure(self) -> tuple[tuple[int, int], int]:
        """Return the number of chunks and characters in Redis, and how many bytes they take in the file."""
        chunks = characters = size = 0
        async for batch in self._each_batch():
            chunks += len(batch)
            characters += sum(len(chunk.text) for chunk in batch)
            size += len(encode_piece(batch)) + (1 if size else 0)
        return (chunks, characters), size

    async def _pieces(self) -> AsyncIterator[bytes]:
        comma = b""
        async for batch in self._each_batch():
            yield comma + encode_piece(batch)
            comma = b","

    async def _each_batch(self) -> AsyncIterator[list[TextChunk]]:
        for number in range(self._result.total_batches):
            batches = await self._batches(number, 1)
            if not batches:
                raise NonRetryableError("Chunk batch not found", code="chunk_batch_not_found")
            yield batches[0]

    async def _batches(self, first: int, limit: int) -> list[list[TextChunk]]:
        """Return the next batches that are in Redis, up to the first that is not."""
        current = services()
        redis = redis_for(current.settings.redis, current.http)
        if redis is None:
            return []
        result = self._result
        chars = result.total_characters // max(1, result.total_batches) + 1
        count = min(max(1, limit // BATCH_SIZE), max(1, PAGE_CHARS // chars))
        found: list[list[TextChunk]] = []
        for value in await redis.get_many(result.keys.some(first, count)):
            batch = None if value is None else _decoded(value)
            if batch is None:
                break
            found.append(batch)
        return found

    async def _read_file(self, at: _Cursor, limit: int) -> ChunkPage:
        file, begin = await self._open_file()
        position = at.file or begin
        found = await file.take(position, limit, PAGE_CHARS)
        items = [text_chunk(item) for item in found.items]
        known = min(len(items), max(0, at.taken - position.index))
        reached = position.index + known == at.taken
        same = not known or not reached or items[known - 1].id == at.last_id
        if not same or (found.done and not reached):
            # Another parse's file: its chunks have other ids, so those stored so far are nobody's.
            return ChunkPage(items=[], cursor=_encoded(_Cursor(file=begin)), done=False, restart=True)
        items = items[known:]
        taken = at.taken + len(items)
        after = _Cursor(at.batch, taken, items[-1].id if items else at.last_id, found.position)
        return self._page(items, None if found.done else after, taken)

    async def _open_file(self) -> tuple[ChunkFile, ArrayPosition]:
        if self._file is None:
            found, _ = await self.load()
            file = await ChunkFile.open(CurrentBlobs(), chunk_file_key(found.namespace_id, self._document_id))
            _, begin = await file.begin()
            self._file = file, begin
        return self._file

    def _page(self, items: Sequence[TextChunk], after: _Cursor | None, taken: int = 0) -> ChunkPage:
        return ChunkPage(
            items=list(items),
            cursor=None if after is None else _encoded(after),
            done=after is None,
            pages=self._result.total_pages,
            progress=Progress(taken, self._result.total_chunks, "chunks"),
        )


def _decoded(value: str) -> list[TextChunk] | None:
    try:
        return [text_chunk(item) for item in msgspec.json.decode(value, type=list[object])]
    except (msgspec.DecodeError, DocumentError):
        return None  # cut short or overwritten: as good as missing


def _encoded(cursor: _Cursor) -> bytes:
    return msgspec.msgpack.encode(cursor)


def _missing(error: Exception) -> NoReturn:
    raise NonRetryableError("Chunk batch not found", code="chunk_batch_not_found") from error
