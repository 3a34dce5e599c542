"""What the parser service's callback carries (domain.md §3.1), checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from steps.parser_service.errors import partition_error
from steps.platform.parser_results import BATCH_INDEX, BatchKeys

T = TypeVar("T", bound=msgspec.Struct)

#: ``<documentId>#<chunk uuid>`` has to fit the 64 bytes of a vector's id (domain.md §0.3).
_DOCUMENT_ID = re.compile(r"[A-Za-z0-9_-]{1,27}")


class FileMetadata(msgspec.Struct, frozen=True):
    """What the service found out about a file."""

    size_in_bytes: int
    filetype: str | None = None


class ParsedFile(msgspec.Struct, frozen=True):
    """The result of ``/ingest``.

    Attributes:
        metadata: of the file.
        total_characters: code points of all chunks.
        total_chunks: number of chunks.
        total_batches: how many Redis keys they are in.
        batch_template: the keys' name, with the batch's number left open.
        total_pages: of paged formats.
    """

    metadata: FileMetadata
    total_characters: int
    total_chunks: int
    total_batches: int
    batch_template: str
    total_pages: float | None = None

    @property
    def keys(self) -> BatchKeys:
        """Where its chunks are in Redis."""
        return BatchKeys(self.batch_template, self.total_batches)


class RemoteDocument(msgspec.Struct, frozen=True):
    """A crawled page or a video: its chunks are in its ``chunks.json`` already."""

    id: str
    total_bytes: int
    total_characters: int
    total_chunks: int
    url: str | None = None
    video_id: str | None = None
    title: str | None = None


class RemoteDocuments(msgspec.Struct, frozen=True):
    """The result of ``/crawl`` and ``/youtube``."""

    documents: list[RemoteDocument]


class _Outcome(msgspec.Struct, frozen=True):
    status: int = 0
    message: str | None = None


def parsed_file(data: object) -> ParsedFile:
    """Return the result of ``/ingest``.

    Raises:
        NonRetryableError: code ``partition_error``.
    """
    found = _successful(data, ParsedFile)
    if found.total_batches and BATCH_INDEX not in found.batch_template:
        raise partition_error("batch_template names no batch")
    return found


def remote_documents(data: object) -> list[RemoteDocument]:
    """Return the result of ``/crawl`` or ``/youtube``, each document once.

    Raises:
        NonRetryableError: code ``partition_error``.
    """
    found = _successful(data, RemoteDocuments).documents
    unusable = next((document.id for document in found if not _DOCUMENT_ID.fullmatch(document.id)), None)
    if unusable is not None:
        raise partition_error(f"{unusable[:80]!r} cannot be the id of a document")
    return list({document.id: document for document in found}.values())


def found_documents(data: Mapping[str, object]) -> list[str]:
    """Return the ids of the documents that a crawl or a transcription has written; none when it failed."""
    try:
        found = msgspec.convert(data, RemoteDocuments).documents
    except msgspec.ValidationError:
        return []
    return [document.id for document in found if _DOCUMENT_ID.fullmatch(document.id)]


def _successful(data: object, kind: type[T]) -> T:
    try:
        outcome = msgspec.convert(data, _Outcome)
        if outcome.status != 200:
            raise partition_error(outcome.message or f"the parser service ended with status {outcome.status}")
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        message = str(error)
    raise partition_error(f"unexpected result: {message}")
