"""A job's event stream (server-sent events), resumed whenever it breaks; and waiting for a job's end with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from orchestrator.client.answers import TERMINAL, Event, Events, Job
from orchestrator.client.errors import JobUnsuccessfulError, NoAnswerError, WaitTimeoutError
from orchestrator.client.flow import (
    Emit,
    Flow,
    Lost,
    Open,
    Read,
    Reply,
    Request,
    Stream,
    ask,
    checked,
    decode_body,
    now,
    pause,
)
from orchestrator.client.payloads import get, path

#: Streams that break one after the other without telling anything new, before we give up.
MAX_BREAKS = 6
#: A break is followed by this wait, in seconds, which doubles up to the maximum.
BREAK_S, BREAK_MAX_S = 0.25, 8.0
#: Polling starts with this pause, in seconds, and slows down to the maximum.
POLL_S, POLL_MAX_S = 0.1, 2.0
#: With less time left than the server may stay silent in a stream, waiting goes on by polling.
SILENCE_S = 15.0

_ENDS = frozenset(f"job.{status}" for status in TERMINAL)


class SseParser:
    """Reads a stream of server-sent events, in whatever parts it arrives.

    Of the format (https://html.spec.whatwg.org/multipage/server-sent-events.html) it takes the ``data`` fields;
    comments and other fields pass by, since an event's data names its id and kind too.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, part: bytes) -> Iterator[bytes]:
        """Take the next part; yield the data of every event that is complete with it."""
        lines = (self._rest + part).replace(b"\r\n", b"\n").split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if line:
                field, _, value = line.partition(b":")
                if field == b"data":
                    self._data.append(value.removeprefix(b" "))
            elif self._data:
                yield b"\n".join(self._data)
                self._data = []


def get_job(job_id: str) -> Flow[Job]:
    """Return a job's status, exact at this moment.

    Raises:
        NotFoundError: there is no such job.
    """
    return ask(get(path("/v1/jobs/{}", job_id)), Job)


def get_history(job_id: str, after: int = 0) -> Flow[list[Event]]:
    """Return a job's history after an event's id, as much as fits one answer.

    Raises:
        NotFoundError: there is no such job.
    """
    request = msgspec.structs.replace(_events(job_id, after), headers={"accept": "application/json"})
    return (yield from ask(request, Events)).events


def stream_events(job_id: str, after: int = 0) -> Stream[Event]:
    """Yield a job's history after an event's id, then what happens, until the job has ended.

    A stream that breaks is taken up again after the last event that arrived, so none is missed or shown twice.

    Raises:
        NotFoundError: there is no such job.
        NoAnswerError: the stream broke again and again.
    """
    breaks = 0
    while True:
        last = ""
        seen = after
        lost = yield from _open(job_id, after)
        parser = SseParser()
        while lost is None:
            part = yield Read()
            if isinstance(part, Lost):
                lost = part
                break
            if not part:
                break
            assert isinstance(part, bytes)  # noqa: S101 - narrows
            for data in parser.feed(part):
                event = decode_body(data, Event)
                after, last = event.id, event.kind
                yield Emit(event)
        if lost is None and last in _ENDS:
            return
        if lost is None and (yield from get_job(job_id)).has_ended:
            for event in (yield from get_history(job_id, after)):
                yield Emit(event)
            return
        breaks = 0 if after > seen or lost is None else breaks + 1
        if lost is not None and breaks >= MAX_BREAKS:
            raise NoAnswerError(f"The event stream broke: {lost.cause}", maybe_done=False)
        yield from pause(min(BREAK_MAX_S, BREAK_S * 2 ** min(breaks, 10)))


def _events(job_id: str, after: int) -> Request:
    return Request(method="GET", path=path("/v1/jobs/{}/events", job_id), query={"after": str(after)})


def _open(job_id: str, after: int) -> Flow[Lost | None]:
    """Open a job's event stream; return how that was lost, if it was."""
    headers = {"accept": "text/event-stream", "last-event-id": str(after)}
    request = msgspec.structs.replace(_events(job_id, after), headers=headers)
    reply = yield Open(request)
    if isinstance(reply, Lost):
        return reply
    checked(reply, request)
    return None


def wait_for_job(
    job_id: str, *, timeout_s: float | None = None, via: Literal["events", "polling"] = "events"
) -> Flow[Job]:
    """Wait until a job has ended, and return it, however it ended.

    Args:
        job_id: the job.
        timeout_s: wait no longer; without it, for as long as it takes.
        via: how to notice: by the job's event stream, or by asking again and again.

    Raises:
        NotFoundError: there is no such job.
        WaitTimeoutError: it has not ended in time.
    """
    deadline = None if timeout_s is None else (yield from now()) + timeout_s
    wait_s = POLL_S
    while True:
        job = yield from get_job(job_id)
        if job.has_ended:
            return job
        left_s = None if deadline is None else deadline - (yield from now())
        if left_s is not None and left_s <= 0:
            raise WaitTimeoutError(job)
        if via == "events" and (left_s is None or left_s > SILENCE_S):
            yield from _follow(job_id, deadline)
        else:
            yield from pause(wait_s if left_s is None else min(wait_s, left_s))
            wait_s = min(POLL_MAX_S, wait_s * 1.5)


def get_result(
    job_id: str, *, timeout_s: float | None = None, via: Literal["events", "polling"] = "events"
) -> Flow[object]:
    """Wait until a job has ended, and return its result.

    Raises:
        JobUnsuccessfulError: it failed, was cancelled or expired.
        NotFoundError: there is no such job.
        WaitTimeoutError: it has not ended in time.
    """
    job = yield from wait_for_job(job_id, timeout_s=timeout_s, via=via)
    if job.status != "completed":
        raise JobUnsuccessfulError(job)
    return job.result


def _follow(job_id: str, deadline: float | None) -> Flow[None]:
    """Read a job's event stream until it ends, or until too little time is left to wait for its next sign of life."""
    stream = stream_events(job_id)
    reply: Reply = None
    try:
        while True:
            try:
                effect = stream.send(reply)
            except StopIteration:
                return
            if isinstance(effect, Emit):
                reply = None
            elif isinstance(effect, Read) and deadline is not None and deadline - (yield from now()) <= SILENCE_S:
                return
            else:
                reply = yield effect
    finally:
        stream.close()
