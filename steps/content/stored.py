"""A crawled page or a video: its chunks were made by the parser service and lie in ``chunks.json`` (domain.md §2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import msgspec

from orchestrator import NonRetryableError
from orchestrator.model import Progress
from steps.chunk_file import ChunkFile, chunk_file_key, text_chunk
from steps.content import PAGE_CHARS, ChunkPage
from steps.content.current import CurrentBlobs
from steps.parsing import DocumentError
from steps.parsing.json_elements import ArrayPosition
from steps.platform.document_input import DocumentInput, load_document_input
from steps.services import services
from steps.vectors import MetadataValue
from steps.vectors.metadata import plain_metadata

#: What the platform knows of a page's source beside its type, and what the file calls it.
_PAGE_FIELDS = {"title": "page_title", "description": "page_description", "language": "page_language"}


class StoredContent:
    """Implements :class:`steps.content.Content` with the document's ``chunks.json``.

    Args:
        document_id: the ``document`` row.
        total: number of chunks, for progress.
    """

    has_chunk_file = True

    def __init__(self, document_id: str, total: int) -> None:
        self._document_id = document_id
        self._total = total
        self._opened: _Opened | None = None

    async def load(self) -> tuple[DocumentInput, Mapping[str, MetadataValue]]:
        """See :class:`steps.content.Content`."""
        opened = await self._open()
        own = {"namespaceId": opened.input.namespace_id, "documentId": self._document_id}
        return opened.input, {**plain_metadata(opened.metadata), **own}

    async def source_fields(self) -> dict[str, str | float]:
        """Return what the file knows of the document's source: a video's duration, or a page's title and the like.

        Raises:
            NonRetryableError: code ``document_json_not_found``.
        """
        metadata = (await self._open()).metadata
        if "youtube_duration" in metadata:
            found = {"duration": metadata["youtube_duration"]}
        elif "page_url" in metadata:
            found = {name: metadata.get(field) for name, field in _PAGE_FIELDS.items()}
        else:
            found = {}
        return {name: value for name, value in found.items() if isinstance(value, str | int | float)}

    async def read(self, cursor: bytes | None, limit: int, /) -> ChunkPage:
        """See :class:`steps.content.Content`."""
        opened = await self._open()
        position = opened.begin if cursor is None else msgspec.msgpack.decode(cursor, type=ArrayPosition)
        try:
            found = await opened.file.take(position, limit, PAGE_CHARS)
            items = [text_chunk(item) for item in found.items]
        except DocumentError as error:
            _missing(error)
        return ChunkPage(
            items=items,
            cursor=None if found.done else msgspec.msgpack.encode(found.position),
            done=found.done,
            progress=Progress(found.position.index, self._total or None, "chunks"),
        )

    async def _open(self) -> _Opened:
        if self._opened is None:
            found = await load_document_input(services().database(), self._document_id)
            if found is None:
                raise NonRetryableError("Document not found", code="document_not_found")
            try:
                file = await ChunkFile.open(CurrentBlobs(), chunk_file_key(found.namespace_id, self._document_id))
                members, begin = await file.begin()
                metadata = msgspec.convert(members.get("metadata") or {}, dict[str, object])
            except (DocumentError, msgspec.ValidationError) as error:
                _missing(error)
            self._opened = _Opened(found, file, metadata, begin)
        return self._opened


class _Opened(msgspec.Struct, frozen=True):
    input: DocumentInput
    file: ChunkFile
    metadata: dict[str, object]
    begin: ArrayPosition


def _missing(error: Exception) -> NoReturn:
    """Absent, empty and malformed are one to the platform (domain.md §4); the cause says which."""
    raise NonRetryableError("Document JSON not found", code="document_json_not_found") from error
