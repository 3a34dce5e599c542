"""``chunks.json``: a document's chunks as readers of the platform find them beside it (domain.md §3.2, §4).

It is read some chunks at a time, and written without ever being in memory: while a document is processed each batch of
chunks is kept as a piece of its own, and at the end the pieces are streamed into the file.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence

import msgspec

from orchestrator import NonRetryableError, large
from orchestrator.ports import Blobs
from steps.chunks import TextChunk
from steps.parsing import BlobReader, ByteReader, DocumentError
from steps.parsing.json_elements import ArrayPosition, Elements, JsonElements
from steps.parsing.readers import BlobSource
from steps.vectors.metadata import plain_metadata

_CHUNKS = "chunks"
#: Set by the platform in every row, whatever a chunk says.
_OWN_KEYS = frozenset({"documentId", "namespaceId"})


class Pieces(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a chunk file that is being made; part of the chunk loop's state.

    Attributes:
        count: pieces stored.
        size_bytes: of all of them.
    """

    count: int = 0
    size_bytes: int = 0


class _Chunk(msgspec.Struct, frozen=True):
    id: str
    text: str
    metadata: dict[str, object] = {}


class ChunkFile:
    """A ``chunks.json`` that is read.

    Args:
        reader: the file.
    """

    def __init__(self, reader: ByteReader) -> None:
        self._elements = JsonElements(reader, _CHUNKS)

    @classmethod
    async def open(cls, blobs: BlobSource, key: str) -> ChunkFile:
        """Return the file.

        Raises:
            DocumentError: code ``object_not_found``.
        """
        return cls(await BlobReader.open(blobs, key))

    async def begin(self) -> tuple[dict[str, object], ArrayPosition]:
        """Return what the file says of its document before its chunks, and where those begin.

        Raises:
            DocumentError: code ``invalid_json``.
        """
        return await self._elements.open()

    async def take(self, position: ArrayPosition, limit: int, max_chars: int) -> Elements:
        """Return chunks, as JSON values, from a position on.

        Raises:
            DocumentError: code ``invalid_json``.
        """
        return await self._elements.take(position, limit, max_chars=max_chars)


def chunk_file_key(namespace_id: str, document_id: str) -> str:
    """Return where a document's ``chunks.json`` is in the main bucket (domain.md §4)."""
    return f"namespaces/{namespace_id}/documents/{document_id}/chunks.json"


def text_chunk(value: object) -> TextChunk:
    """Return a chunk that the parser service made.

    Raises:
        DocumentError: code ``invalid_json``: it is none.
    """
    try:
        chunk = msgspec.convert(value, _Chunk)
    except msgspec.ValidationError as error:
        raise DocumentError(f"A chunk is malformed: {error}", code="invalid_json") from error
    metadata = {key: item for key, item in chunk.metadata.items() if key not in _OWN_KEYS}
    return TextChunk(chunk.id, _storable(chunk.text), plain_metadata(metadata))


def whole_file(metadata: Mapping[str, object], chunks: Sequence[TextChunk]) -> bytes:
    """Return the file of a document whose chunks are in memory."""
    characters = sum(len(chunk.text) for chunk in chunks)
    return _head(metadata) + encode_piece(chunks) + _tail(len(chunks), characters)


def encode_piece(chunks: Sequence[TextChunk]) -> bytes:
    """Return the part of the file that some chunks make."""
    return b",".join(msgspec.json.encode(chunk) for chunk in chunks)


async def put_piece(blobs: Blobs, job_id: str, pieces: Pieces, data: bytes) -> Pieces:
    """Store the next piece; return what is stored then. Repeated, it replaces the piece that was not committed."""
    await blobs.put(_piece_key(job_id, pieces.count), data)
    return Pieces(pieces.count + 1, pieces.size_bytes + len(data))


async def join_pieces(
    blobs: Blobs, job_id: str, key: str, metadata: Mapping[str, object], pieces: Pieces, chunks: int, characters: int
) -> None:
    """Stream the pieces into the file.

    Raises:
        NonRetryableError: code ``chunk_piece_lost``.
    """
    size = pieces.size_bytes + max(0, pieces.count - 1)

    async def stored() -> AsyncIterator[bytes]:
        for number in range(pieces.count):
            data = await blobs.get(_piece_key(job_id, number))
            if data is None:
                raise NonRetryableError(f"Piece {number} of the chunk file is gone", code="chunk_piece_lost")
            yield data if number == 0 else b"," + data

    await write_stream(blobs, key, metadata, stored(), size, chunks, characters)


async def write_stream(
    blobs: Blobs,
    key: str,
    metadata: Mapping[str, object],
    parts: AsyncIterable[bytes],
    size_bytes: int,
    chunks: int,
    characters: int,
) -> None:
    """Write the file around its chunks, which come in parts of ``size_bytes`` in all, commas included."""
    head, tail = _head(metadata), _tail(chunks, characters)

    async def whole() -> AsyncIterator[bytes]:
        yield head
        async for part in parts:
            yield part
        yield tail

    await blobs.put_stream(key, whole(), len(head) + size_bytes + len(tail))


async def drop_pieces(blobs: Blobs, job_id: str) -> None:
    """Remove every piece that a job has stored."""
    prefix = _piece_prefix(job_id)
    while keys := await blobs.list(prefix):
        await blobs.delete(*keys)


def _piece_key(job_id: str, number: int) -> str:
    return f"{_piece_prefix(job_id)}{number:06}"


def _piece_prefix(job_id: str) -> str:
    # Among the job's large values: what a job that died for good leaves there goes with its retention.
    return f"{large.prefix(job_id)}chunks/"


def _head(metadata: Mapping[str, object]) -> bytes:
    return b'{"metadata":' + msgspec.json.encode(metadata) + b',"chunks":['


def _tail(chunks: int, characters: int) -> bytes:
    return b'],"total_chunks":%d,"total_characters":%d}' % (chunks, characters)


def _storable(text: str) -> str:
    """Return a text without what databases and encodings cannot hold: NUL, and halves of surrogate pairs."""
    text = text.replace("\0", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
