"""``GET /v1/jobs/{id}/export``: one JSON file with everything that a job's journal holds."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from durable.http.access import Scope, needs
from durable.http.host import Host, host_of
from durable.http.jobs import JobId, checked
from durable.http.strict import StrictRoute
from orchestrator.export import FORMAT, SECTIONS, ExportPage

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)


class JsonStream(Response):
    """A JSON document sent as it is made. A part that fails cuts it short, which no parser takes for the whole."""

    media_type = "application/json"

    def __init__(self, parts: AsyncIterator[bytes], file_name: str) -> None:
        self._parts = parts
        self.status_code = 200
        self.background = None
        self.init_headers({"content-disposition": f'attachment; filename="{file_name}"', "cache-control": "no-store"})

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Send the parts as they come."""
        headers = [item for item in self.raw_headers if item[0] != b"content-length"]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        async for part in self._parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@router.get(
    "/{job_id}/export",
    responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}},
)
@needs(Scope.READ, "unknown_job")
async def export_job(request: Request, job_id: JobId) -> Response:
    """Everything that is stored of a job, values included, as one file.

    It is read page by page: a job that runs meanwhile is shown as it was at several moments. Values in object storage
    are named by their key.
    """
    host = host_of(request)
    first = await host.backend.export(checked(job_id), None)
    return JsonStream(_parts(host, job_id, first), f"{job_id}.json")


async def _parts(host: Host, job_id: str, page: ExportPage) -> AsyncIterator[bytes]:
    """Yield the document: the job, and every section as an array, empty ones included."""
    job, *items = page.items
    yield b'{"format":%d,"job":' % FORMAT + msgspec.json.encode(job.row)
    waiting = list(SECTIONS)
    separator = b""
    while True:
        for item in items:
            while item.section in waiting:
                yield _head(waiting.pop(0), is_first=len(waiting) == len(SECTIONS) - 1)
                separator = b""
            yield separator + msgspec.json.encode(item.row)
            separator = b","
        if page.next_cursor is None:
            break
        page = await host.backend.export(job_id, page.next_cursor)
        items = page.items
    for section in waiting:
        yield _head(section, is_first=section == SECTIONS[0])
    yield b"]}"


def _head(section: str, *, is_first: bool) -> bytes:
    return (b"" if is_first else b"]") + b',"%s":[' % section.encode()
