"""A provider's JSON API over the ``Http`` port: send, classify what came back, decode it.

No retry loop: the engine retries steps durably. This module only says whether another attempt may help, and when.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import msgspec

from orchestrator.errors import HttpError, NonRetryableError, RetryableError
from orchestrator.ports import Http, HttpResponse

T = TypeVar("T")

#: Waits that a provider asks for are honoured below this (domain.md §3.4: "when < 60 s"; no backoff is longer).
MAX_HONOURED_WAIT_MS = 60_000
#: Answers that another attempt may mend, with every status from 500 (domain.md §3.4).
RETRYABLE_STATUSES = frozenset({408, 409, 429})
#: Longest provider message kept: it ends up in a database column that people read.
MAX_MESSAGE_CHARS = 2_000
#: A batch of 30 long texts takes providers seconds; a minute without an answer is a lost call.
DEFAULT_TIMEOUT_MS = 60_000


class JsonApi:
    """One provider's API: its address, its headers, and what its failures are called.

    Args:
        http: the way out.
        name: the provider, for messages: ``OpenAI``.
        area: begins every error code: ``embedding`` gives ``embedding_unavailable``, ``embedding_rate_limited``,
            ``embedding_refused`` and ``embedding_bad_answer``.
        base_url: scheme and host, with a path prefix if there is one; no slash at its end.
        headers: sent with every request.
        secret: the key among the headers; removed from messages should the provider repeat it.
        timeout_ms: for one request.
    """

    def __init__(
        self,
        http: Http,
        *,
        name: str,
        area: str,
        base_url: str,
        headers: Mapping[str, str],
        secret: str | None = None,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
    ) -> None:
        self._http = http
        self._name = name
        self._area = area
        self._base_url = base_url
        self._headers = {"content-type": "application/json", "accept": "application/json", **headers}
        self._secret = secret
        self._timeout_ms = timeout_ms

    def __repr__(self) -> str:
        return f"JsonApi({self._name})"

    async def post(self, path: str, body: object, answer_type: type[T]) -> T:
        """Post ``body`` as JSON to ``path`` and return the decoded answer.

        Raises:
            RetryableError: no answer, a status of 408, 409, 429 or >= 500, or a body cut short.
            NonRetryableError: any other status but 2xx, with the provider's own message; ``details["status"]`` has it.
                Also a body that is not what the provider documents.
        """
        response = await self._send(path, body)
        self._raise_for_status(response)
        return self._decode(response.body, answer_type)

    async def post_form(self, path: str, form: str, answer_type: type[T]) -> T:
        """Like :meth:`post`, with a form as the body; the answer is JSON all the same."""
        response = await self._send_bytes(path, form.encode(), {"content-type": "application/x-www-form-urlencoded"})
        self._raise_for_status(response)
        return self._decode(response.body, answer_type)

    async def post_if_found(self, path: str, body: object, answer_type: type[T]) -> T | None:
        """Like :meth:`post`, but an answer of 404 gives None."""
        response = await self._send(path, body)
        if response.status == 404:
            return None
        self._raise_for_status(response)
        return self._decode(response.body, answer_type)

    async def get_if_found(self, path: str, answer_type: type[T]) -> T | None:
        """Get ``path`` and return the decoded answer; one of 404 gives None.

        Raises:
            RetryableError: see :meth:`post`.
            NonRetryableError: see :meth:`post`.
        """
        response = await self._send_bytes(path, None, {}, method="GET")
        if response.status == 404:
            return None
        self._raise_for_status(response)
        return self._decode(response.body, answer_type)

    async def delete_if_found(self, path: str) -> None:
        """Send a DELETE; an answer of 404 is no error.

        Raises:
            RetryableError: see :meth:`post`.
            NonRetryableError: see :meth:`post`.
        """
        response = await self._send_bytes(path, None, {}, method="DELETE")
        if response.status != 404:
            self._raise_for_status(response)

    def bad_answer(self, what: str) -> NonRetryableError:
        """Return the error for an answer that is JSON but not the one that was asked for."""
        return NonRetryableError(f"{self._name}: {what}", code=f"{self._area}_bad_answer")

    async def _send(self, path: str, body: object) -> HttpResponse:
        return await self._send_bytes(path, msgspec.json.encode(body), {})

    async def _send_bytes(
        self, path: str, body: bytes | None, headers: Mapping[str, str], *, method: str = "POST"
    ) -> HttpResponse:
        try:
            return await self._http.request(
                method,
                self._base_url + path,
                headers={**self._headers, **headers},
                body=body,
                timeout_ms=self._timeout_ms,
            )
        except HttpError as error:
            raise RetryableError(
                f"{self._name}: {error}", code=f"{self._area}_unavailable", details={"cause": error.error_code}
            ) from error

    def _raise_for_status(self, response: HttpResponse) -> None:
        status = response.status
        if 200 <= status < 300:
            return
        message = provider_message(response) or f"{self._name} answered HTTP {status}"
        if self._secret:
            message = message.replace(self._secret, "[redacted]")
        details = {"status": status}
        if status in RETRYABLE_STATUSES or status >= 500:
            code = f"{self._area}_rate_limited" if status == 429 else f"{self._area}_unavailable"
            raise RetryableError(message, code=code, details=details, retry_after_ms=retry_after_ms(response.headers))
        raise NonRetryableError(message, code=f"{self._area}_refused", details=details)

    def _decode(self, body: bytes, answer_type: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=answer_type)
        except msgspec.ValidationError as error:
            if _is_json(body):
                raise self.bad_answer(f"unexpected answer: {error}") from error
            raise self._cut_short(body) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._cut_short(body) from error

    def _cut_short(self, body: bytes) -> RetryableError:
        return RetryableError(
            f"{self._name}: the answer is not complete JSON ({len(body)} bytes)",
            code=f"{self._area}_unavailable",
            details={"cause": "bad_json"},
        )


def retry_after_ms(headers: Mapping[str, str]) -> int | None:
    """Return the wait a provider asks for, in milliseconds, or None when it asks for none that is honoured.

    ``retry-after-ms`` goes before ``retry-after``; the latter is seconds or a date, which is measured against the
    answer's own ``date`` header, so that no clock is needed.
    """
    wait_ms = _number(headers.get("retry-after-ms"))
    if wait_ms is None:
        wait_s = _number(headers.get("retry-after"))
        wait_ms = wait_s * 1000 if wait_s is not None else _wait_until_ms(headers)
    if wait_ms is None or not 0 <= wait_ms < MAX_HONOURED_WAIT_MS:
        return None
    return int(wait_ms)


def provider_message(response: HttpResponse) -> str | None:
    """Return the message in a provider's error body, in any of the shapes in use, or None.

    OpenAI, Azure and Google: ``{"error": {"message"}}``; Turbopuffer: ``{"error": "…"}``; Voyage: ``{"detail"}``;
    Pinecone: ``{"message"}`` or plain text.
    """
    try:
        parsed = msgspec.json.decode(response.body, type=_ErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError):
        if not response.headers.get("content-type", "").startswith("text/plain"):
            return None
        return response.body.decode(errors="replace").strip()[:MAX_MESSAGE_CHARS] or None
    error = parsed.error
    nested = error.message if isinstance(error, _NestedError) else error
    for candidate in (nested, parsed.message, parsed.detail):
        if isinstance(candidate, str) and candidate:
            return candidate[:MAX_MESSAGE_CHARS]
    return None


class _NestedError(msgspec.Struct, frozen=True):
    message: str | None = None


class _ErrorBody(msgspec.Struct, frozen=True):
    error: _NestedError | str | None = None
    message: str | None = None
    detail: str | None = None


def _is_json(body: bytes) -> bool:
    """Tell whether a body that is not what was asked for is whole: checking stops at the first thing wrong."""
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _wait_until_ms(headers: Mapping[str, str]) -> float | None:
    until, now = _date(headers.get("retry-after")), _date(headers.get("date"))
    return (until - now).total_seconds() * 1000 if until is not None and now is not None else None


def _date(text: str | None) -> datetime | None:
    """Read an HTTP date. Those without a zone are left out: they cannot be compared."""
    try:
        value = parsedate_to_datetime(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and value.tzinfo is not None else None
