"""``GET /v1/jobs/{id}/events``: a job's history, as a live stream or as JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from durable.http import answers
from durable.http.access import Scope, needs
from durable.http.host import Host, host_of
from durable.http.jobs import JobId, checked
from durable.http.shapes import answer, event_out
from durable.http.strict import StrictRoute
from orchestrator.errors import OrchestratorError, RetryableError
from orchestrator.lifecycle import TERMINAL
from orchestrator.model import Event

#: The journal is asked this often while things happen, and less and less often up to the maximum while they do not.
POLL_S = 0.2
POLL_MAX_S = 1.0
#: A stream says something at least this often, so that nobody on the way takes it for dead.
HEARTBEAT_MS = 10_000
#: A stream ends after this; clients come back by themselves with Last-Event-ID. Keeps an invocation far below the
#: platform's bound of subrequests (platform.md §1.1).
STREAM_MS = 600_000
#: What clients wait before they come back, in ms.
RECONNECT_MS = 1_000
_LAST_KINDS = frozenset(f"job.{status}" for status in TERMINAL)
#: No job has as many; larger numbers would be BigInts to JavaScript, which SQL parameters must not be.
_MAX_EVENT = 10**15

_STREAM = {"description": "Server-sent events: `id`, `event`, its kind, and `data`, an EventOut as JSON"}

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)


class EventStream(Response):
    """A server-sent event stream.

    The framework's own response starts a task that watches for a disconnect; here a failed ``send`` tells of one.
    """

    media_type = "text/event-stream"

    def __init__(self, parts: AsyncIterator[str]) -> None:
        self._parts = parts
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-store"})

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Send the parts as they come."""
        headers = [item for item in self.raw_headers if item[0] != b"content-length"]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        async for part in self._parts:
            await send({"type": "http.response.body", "body": part.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@router.get(
    "/{job_id}/events",
    responses={200: {"model": answers.EventsOut, "content": {"text/event-stream": {"schema": _STREAM}}}},
)
@needs(Scope.READ, "unknown_job", "too_many_watchers")
async def get_job_events(
    request: Request,
    job_id: JobId,
    after: Annotated[int, Query(ge=0, le=_MAX_EVENT, description="Only events with a greater id")] = 0,
    last_event_id: Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=_MAX_EVENT)] = None,
    accept: Annotated[str, Header()] = "",
    upgrade: Annotated[str, Header(description="`websocket`: the events as its messages, each as in `EventOut`")] = "",
) -> Response:
    """A job's history: a live stream until the job ends, resumable by `Last-Event-ID`; JSON if that is accepted.

    As a WebSocket, the events are pushed by the job itself, and a connection costs nothing while nothing happens.
    """
    host = host_of(request)
    after = after if last_event_id is None else last_event_id
    first = await host.backend.events(checked(job_id), after)
    if upgrade.lower() == "websocket":
        # The Worker passes the request on to the job's object, which answers.
        host.watch(job_id, after, host.principal.key_id)
    elif "application/json" not in accept or "text/event-stream" in accept:
        return EventStream(_parts(host, job_id, after, first))
    return answer(answers.EventsOut(events=[event_out(event) for event in first]))


async def _parts(host: Host, job_id: str, after: int, events: list[Event]) -> AsyncIterator[str]:
    """Yield the stream: the events that are there, then what comes, until the job has ended."""
    started_ms = said_ms = host.clock.now_ms()
    wait_s = POLL_S
    yield f"retry: {RECONNECT_MS}\n\n"
    while True:
        for event in events:
            yield _text(event)
            after = event.seq
        if _ends(events) or (not events and await _has_ended(host, job_id, after)):
            return
        now_ms = host.clock.now_ms()
        if now_ms - started_ms >= STREAM_MS:
            return
        if events:
            said_ms, wait_s = now_ms, POLL_S
        elif now_ms - said_ms >= HEARTBEAT_MS:
            said_ms = now_ms
            yield ": still here\n\n"
        await host.pause(wait_s)
        if not await host.is_welcome():
            return
        wait_s = min(POLL_MAX_S, wait_s * 1.5)
        try:
            events = await host.backend.events(job_id, after)
        except RetryableError:
            events = []  # the next poll asks again
        except OrchestratorError as error:
            host.log("warning", "stream.ended", {"job_id": job_id, "error": error.error_code})
            return


def _ends(events: list[Event]) -> bool:
    return bool(events) and events[-1].kind in _LAST_KINDS


async def _has_ended(host: Host, job_id: str, after: int) -> bool:
    """Tell whether nothing follows: somebody came back after the end, or its event was dropped."""
    try:
        if (await host.backend.view(job_id)).status not in TERMINAL:
            return False
        return not await host.backend.events(job_id, after)
    except OrchestratorError:
        return False


def _text(event: Event) -> str:
    return f"id: {event.seq}\nevent: {event.kind}\ndata: {event_out(event).model_dump_json()}\n\n"
