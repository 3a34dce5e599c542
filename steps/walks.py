"""Walks over the documents of an ingest job, in the order of their creation and of any length."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from orchestrator import Page
from orchestrator.ports import Connection
from steps.platform import document_deletion
from steps.platform.document_deletion import Contents
from steps.services import services

ReadPage = Callable[[Connection, str, tuple[str, str] | None, int], Awaitable[list[Contents]]]


class DocumentsOf:
    """The documents of an ingest job. Implements ``Source``.

    Args:
        ingest_job_id: the ``ingest_job`` row.
        read_page: reads those that are wanted; every one unless told otherwise.
    """

    def __init__(self, ingest_job_id: str, read_page: ReadPage = document_deletion.page) -> None:
        self._ingest_job_id = ingest_job_id
        self._read_page = read_page

    async def read(self, cursor: object, limit: int, /) -> Page[Contents]:
        """Return the next documents; the cursor is the last one's place and id."""
        after = None if cursor is None else msgspec.convert(cursor, tuple[str, str])
        found = await self._read_page(services().database(), self._ingest_job_id, after, limit)
        return Page(found, (found[-1].at, found[-1].id) if found else after, done=len(found) < limit)
