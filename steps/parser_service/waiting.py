"""Waits for a parse: for the service's callback, and, should that be lost, for what the service says when asked.

The callback completes a token of the job over HTTP. A service that cannot deliver it does not try again, so that a lost
one would cost the whole two hours (W-12): the watchdog asks after two minutes, and less and less often then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from orchestrator import JobContext, NonRetryableError, StepFailedError, current_step
from orchestrator.operations import Token
from steps.parser_service.client import START_RETRY, Kind, ParserService, Polled
from steps.parser_service.errors import partition_error, was_refused
from steps.parser_service.requests import Body
from steps.platform.parser_results import Parse, expect_parse, forget_parse, note_parse
from steps.services import services

#: The service's own limit (domain.md §2.1).
PARSE_TIMEOUT_MS = 2 * 3_600_000
MAX_POLL_MS = 600_000
#: A call that the service cannot tell about so often in a row has crashed or was forgotten.
MAX_TROUBLE = 4


class Requested(msgspec.Struct, frozen=True):
    """A parse under way.

    Attributes:
        call_id: the service's name for it.
        poll_ms: how long its callback is waited for before the service is asked; as set when it began.
        again: an earlier attempt may have begun another one, whose answer was lost.
    """

    call_id: str
    poll_ms: int
    again: bool = False


class Ended(msgspec.Struct, frozen=True):
    """A parse that has ended: ``data`` is what the service says of it, whatever that is.

    ``again``: see :class:`Requested`.
    """

    data: object
    again: bool = False


async def parsed(
    job: JobContext, kind: Kind, request: Callable[[str, str], Awaitable[Requested | None]]
) -> Ended | None:
    """Have something parsed; return what the service said in the end, or None when ``request`` gave up.

    Args:
        job: the job that waits.
        kind: what is parsed.
        request: starts the parse, given the token's id and its bearer; returns None not to wait.

    Raises:
        StepFailedError: code ``partition_error``; or ``wait_timeout``: nothing came within two hours.
    """
    token = await job.create_token(timeout_ms=PARSE_TIMEOUT_MS)
    requested = await job.options(retry=START_RETRY).step("request parse", request, token.id, token.access_token)
    if requested is None:
        return None
    job.set_metadata("parser_call", requested.call_id)
    return Ended(await _result(job, kind, requested, token), requested.again)


async def start_parse(kind: Kind, body: Body) -> Requested:
    """Have the service begin; for a ``request`` of :func:`parsed`.

    That it is asked is written down before: an answer that is lost leaves a parse all the same.

    Args:
        kind: what is parsed.
        body: the request.

    Raises:
        RetryableError: the step may try again.
        NonRetryableError: code ``partition_error``.
    """
    current, run_id = services(), current_step().job_id
    settings = current.settings.parser_service
    service, database = ParserService(current.http, settings), current.database()
    document_id = body.get("document_id")
    parse = Parse(
        kind=kind,
        namespace_id=str(body["namespace_id"]),
        document_id=None if document_id is None else str(document_id),
    )
    again = await expect_parse(database, run_id, parse)
    try:
        call_id = await service.start(kind, body)
    except NonRetryableError as error:
        if was_refused(error) and not again:
            await forget_parse(database, run_id)
        raise
    if parse.document_id is None:
        # Only the service knows what it has found.
        await note_parse(database, run_id, msgspec.structs.replace(parse, call_id=call_id, lost=again))
    return Requested(call_id, settings.poll_ms, again)


async def poll(kind: Kind, call_id: str, trouble: int) -> Polled:
    """Ask the service what became of a call, which it could not say ``trouble`` times before.

    Raises:
        NonRetryableError: code ``partition_error``: that was the last time.
    """
    current = services()
    found = await ParserService(current.http, current.settings.parser_service).poll(kind, call_id)
    if found.trouble is not None and trouble + 1 == MAX_TROUBLE:
        raise partition_error(found.trouble)
    return found


async def _result(job: JobContext, kind: Kind, requested: Requested, token: Token) -> object:
    """Return what comes first: the callback's data or a poll's. One of them only is used, and it is recorded."""
    waited_ms, wait_ms, trouble = 0, requested.poll_ms, 0
    while True:
        last = waited_ms + wait_ms >= PARSE_TIMEOUT_MS
        try:
            return await job.wait_for_token(token, timeout_ms=None if last else wait_ms)
        except StepFailedError as error:
            if error.record.code != "wait_timeout":
                raise
            timed_out = error
        found = await job.step("poll", poll, kind, requested.call_id, trouble)
        if found.data is not None:
            return found.data
        if last:
            raise timed_out
        trouble = trouble + 1 if found.trouble is not None else 0
        waited_ms, wait_ms = waited_ms + wait_ms, min(max(MAX_POLL_MS, requested.poll_ms), wait_ms * 2)
