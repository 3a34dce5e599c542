"""The parser service's two calls: start a parse, and ask what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote

import msgspec

from orchestrator import RetryableError, RetryPolicy, current_step
from orchestrator.errors import HttpError, NonRetryableError
from orchestrator.ports import Http
from steps.json_api import JsonApi, provider_message
from steps.parser_service.config import ParserServiceSettings
from steps.parser_service.errors import partition_error

Kind = Literal["ingest", "crawl", "youtube"]

#: A service that restarts is waited for: about four minutes in all.
START_RETRY = RetryPolicy(max_attempts=8, initial_interval_ms=2_000, max_interval_ms=60_000)
#: A service that starts cold is waited for: asking again would have it parse twice.
START_TIMEOUT_MS = 150_000
#: A crawl's result lists its pages: 25,000 of them.
MAX_RESULT_BYTES = 4_000_000
#: HTTP statuses of a finished operation (domain.md §3.1); others are the service's own trouble.
_FINISHED = frozenset({200, 400, 500})


class _Started(msgspec.Struct, frozen=True):
    call_id: str = ""


class _Finished(msgspec.Struct, frozen=True):
    status: int


class Polled(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the service says of a call.

    Attributes:
        data: what its callback carries; None while it is running.
        trouble: why the service could not say.
    """

    data: dict[str, object] | None = None
    trouble: str | None = None


class ParserService:
    """A client of the parser service.

    Args:
        http: the way out.
        settings: where it is.

    Raises:
        NonRetryableError: code ``parser_service_not_configured``.
    """

    def __init__(self, http: Http, settings: ParserServiceSettings) -> None:
        if settings.url is None:
            raise NonRetryableError(
                "The parser service is not configured: set PARTITION_API_URL", code="parser_service_not_configured"
            )
        self._http = http
        self._url = settings.url
        self._key = settings.key
        self._headers = {"api-key": settings.key} if settings.key else {}
        self._api = JsonApi(
            http,
            name="The parser service",
            area="parser_service",
            base_url=settings.url,
            headers=self._headers,
            secret=settings.key,
            timeout_ms=START_TIMEOUT_MS,
        )

    async def start(self, kind: Kind, body: Mapping[str, object]) -> str:
        """Start a parse, which costs money each time; return its call id.

        Raises:
            RetryableError: the step may try again.
            NonRetryableError: code ``partition_error``: the service refused, or did not answer the last attempt.
        """
        status: object = None
        try:
            started = await self._api.post(f"/{kind}", body, _Started)
        except RetryableError as error:
            if current_step().attempt < START_RETRY.max_attempts:
                raise
            message = str(error)
        except NonRetryableError as error:
            message, status = str(error), error.details.get("status")
        else:
            if started.call_id:
                return started.call_id
            message = "the service named no call_id"
        raise partition_error(message, status=status)

    async def poll(self, kind: Kind, call_id: str) -> Polled:
        """Ask for the result of a call. Trouble on the way is an answer, too: the callback may still come."""
        url = f"{self._url}/{kind}/results/{quote(call_id, safe='')}"
        try:
            answer = await self._http.request(
                "GET", url, headers=self._headers, timeout_ms=60_000, max_body_bytes=MAX_RESULT_BYTES
            )
        except HttpError as error:
            return Polled(trouble=str(error))
        if answer.status == 202:
            return Polled()
        try:
            finished = msgspec.json.decode(answer.body, type=_Finished)
            if answer.status in _FINISHED and finished.status in _FINISHED:
                return Polled(data=msgspec.json.decode(answer.body, type=dict[str, object]))
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # cut short, or a proxy's page
        message = provider_message(answer) or f"the parser service answered HTTP {answer.status}"
        return Polled(trouble=message.replace(self._key, "[redacted]") if self._key else message)
