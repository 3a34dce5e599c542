"""Crawls and videos: has the parser service find an ingest job's documents, and makes their rows (domain.md §2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TypeVar

import msgspec

from orchestrator import ChildRequest, JobContext, NonRetryableError, Page, current_step
from orchestrator.ports import Connection
from steps.parser_service.client import Kind
from steps.parser_service.requests import Body, Callback, CrawlPayload, YoutubePayload, crawl_body, youtube_body
from steps.parser_service.results import remote_documents
from steps.parser_service.waiting import Requested, parsed, start_parse
from steps.platform import remote_documents as rows
from steps.platform.document_input import parse_config
from steps.platform.parser_results import end_parse
from steps.platform.remote_documents import RemoteCreated, RemoteKind, RemoteRequest
from steps.services import Services, services
from steps.settle_parse import settle_left

T = TypeVar("T", bound=msgspec.Struct)

_ROUTES: dict[RemoteKind, Kind] = {"CRAWL": "crawl", "YOUTUBE": "youtube"}


async def find_documents(job: JobContext, ingest_job_id: str, kind: RemoteKind) -> RemoteCreated:
    """Have the ingest job's documents found and made.

    Raises:
        StepFailedError: see :func:`steps.parser_service.waiting.parsed`; or code ``parser_service_not_configured``.
    """
    data, again = None, False
    # A run that is tried again from its beginning finds its documents; their transaction gives its result again.
    if not await job.step("look for documents", _are_created, ingest_job_id):
        ended = await parsed(job, _ROUTES[kind], partial(request_documents, ingest_job_id, kind))
        if ended is None:
            await settle_left(job)
            return RemoteCreated(stopped=True)
        data, again = ended.data, ended.again
    created = await job.transaction("create documents", _create, ingest_job_id, kind, data)
    if created.stopped or again:
        await settle_left(job)
    return created


class FoundDocuments:
    """Documents by their ids, as far as they wait to be processed. Implements ``Source``.

    Args:
        ingest_job_id: the ``ingest_job`` row.
        ids: the documents.
    """

    def __init__(self, ingest_job_id: str, ids: Sequence[str]) -> None:
        self._ingest_job_id = ingest_job_id
        self._ids = ids

    async def read(self, cursor: object, limit: int, /) -> Page[ChildRequest]:
        """Return the next documents; the cursor is an index."""
        first = cursor if isinstance(cursor, int) else 0
        some = self._ids[first : first + limit]
        queued = await rows.still_queued(services().database(), self._ingest_job_id, some)
        requests = [
            ChildRequest(key=document_id, payload={"documentId": document_id, "ingestJobId": self._ingest_job_id})
            for document_id in some
            if document_id in queued
        ]
        end = first + len(some)
        return Page(requests, end, done=end >= len(self._ids))


async def request_documents(ingest_job_id: str, kind: RemoteKind, token_id: str, access_token: str) -> Requested | None:
    """Have the service crawl or transcribe, unless the ingest job is being deleted."""
    current = services()
    if current.settings.parser_service.url is None:
        raise NonRetryableError(
            f"{kind} ingestion needs the parser service: set PARTITION_API_URL and PARTITION_API_KEY",
            code="parser_service_not_configured",
        )
    request = await rows.load_request(current.database(), ingest_job_id)
    if request is None:
        return None
    return await start_parse(_ROUTES[kind], _body(current, kind, request, Callback(token_id, access_token)))


def _body(current: Services, kind: RemoteKind, request: RemoteRequest, callback: Callback) -> Body:
    config = parse_config(request.config)
    tenant = {"tenantId": request.tenant_id} if request.tenant_id else {}
    metadata = {**(config.metadata or {}), **tenant}
    if kind == "CRAWL":
        crawl, outbound = _payload(request, CrawlPayload), current.settings.outbound
        return crawl_body(callback, request.namespace_id, metadata, config, crawl, outbound)
    return youtube_body(callback, request.namespace_id, metadata, config, _payload(request, YoutubePayload))


def _payload(request: RemoteRequest, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(request.payload, type=kind)
    except msgspec.DecodeError as error:
        raise NonRetryableError(f"Invalid ingest payload: {error}", code="invalid_ingest_payload") from error


async def _are_created(ingest_job_id: str) -> bool:
    return await rows.are_created(services().database(), current_step().job_id, ingest_job_id)


async def _create(connection: Connection, ingest_job_id: str, kind: RemoteKind, data: object) -> RemoteCreated:
    settings = services().settings.ingest
    found = remote_documents(data)
    created = await rows.create(connection, current_step().job_id, ingest_job_id, kind, found, settings)
    if not created.stopped:
        await end_parse(connection, current_step().job_id)
    return created
