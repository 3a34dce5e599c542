"""Where a document's chunks come from: the built-in parser, the parser service's batches, or ``chunks.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from orchestrator.model import Progress
from steps.chunks import TextChunk
from steps.platform.document_input import DocumentInput
from steps.vectors import MetadataValue

#: Texts of one page, in characters: a page is in memory several times while it is embedded.
PAGE_CHARS = 2_000_000


class ChunkPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some consecutive chunks. Shaped like :class:`orchestrator.Page`.

    Attributes:
        items: the chunks; may be none before the end.
        cursor: where the next ones are.
        done: whether there are no more.
        pages: of a paged format: the whole document's.
        progress: how far into the document these reach, when more is known than their number.
        restart: what was stored so far is another parse's, and has to go first.
    """

    items: list[TextChunk]
    cursor: bytes | None
    done: bool
    pages: float | None = None
    progress: Progress | None = None
    restart: bool = False


class Content(Protocol):
    """One document's chunks while its job is in memory."""

    @property
    def has_chunk_file(self) -> bool:
        """Whether ``chunks.json`` is there already."""
        ...

    async def load(self) -> tuple[DocumentInput, Mapping[str, MetadataValue]]:
        """Return the document, and what is stored with each of its chunks.

        Raises:
            NonRetryableError: it cannot be read.
        """
        ...

    async def read(self, cursor: bytes | None, limit: int, /) -> ChunkPage:
        """Return about ``limit`` chunks.

        Raises:
            NonRetryableError: the document cannot be read further.
            RetryableError: another attempt may succeed.
        """
        ...
