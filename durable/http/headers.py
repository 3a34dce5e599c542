"""Headers: bounds of a request's, what every answer carries for safety, and which other origins may read answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from starlette.responses import Response

from durable.http.asgi import Message, Send, header, headers_of
from durable.http.problems import problem
from orchestrator.limits import MAX_HEADER_BYTES, MAX_HEADERS, MAX_URI_BYTES

#: Answers are data for programs: never a page, never kept on the way, never shown inside another page.
_SAFE: Mapping[bytes, bytes] = MappingProxyType(
    {
        b"cache-control": b"no-store",
        b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
        b"cross-origin-resource-policy": b"same-origin",
        b"referrer-policy": b"no-referrer",
        b"strict-transport-security": b"max-age=31536000",
        b"x-content-type-options": b"nosniff",
        b"x-frame-options": b"DENY",
    }
)
#: What a page of an allowed origin may send and read beyond what every page may.
_ALLOWED_METHODS = b"GET, POST, PATCH, DELETE"
_ALLOWED_HEADERS = b"authorization, content-type, idempotency-key, if-none-match, last-event-id"
_EXPOSED_HEADERS = b"etag, location, retry-after, x-request-id"
_PREFLIGHT_KEPT_S = b"600"
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")


def origins_of(setting: str | None) -> frozenset[str]:
    """Return the origins that the setting ``CORS_ORIGINS`` names, separated by commas or spaces.

    An entry that is no origin allows nothing, and so does ``*``: keys are not for every page of the web.
    """
    entries = (setting or "").replace(",", " ").split()
    return frozenset(entry for entry in entries if _ORIGIN.fullmatch(entry))


def refuse(scope: Message) -> Response | None:
    """Return the refusal of a request whose address or headers are out of bounds."""
    if len(scope["path"].encode()) + len(scope["query_string"]) > MAX_URI_BYTES:
        return problem(414, "uri_too_long", f"An address has at most {MAX_URI_BYTES} bytes")
    headers = headers_of(scope)
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        detail = f"A request has at most {MAX_HEADERS} headers, of {MAX_HEADER_BYTES} bytes together"
        return problem(431, "headers_too_large", detail)
    return None


def origin_of(scope: Message, allowed: frozenset[str]) -> bytes | None:
    """Return the origin of a page that may read the answer; None for any other, and for what is no page."""
    origin = header(scope, b"origin")
    return origin if origin is not None and origin.decode("latin-1") in allowed else None


def preflight(scope: Message, origin: bytes | None) -> Response | None:
    """Answer a browser that asks whether a page may send what it wants to send; None when it does not ask."""
    if origin is None or scope["method"] != "OPTIONS" or header(scope, b"access-control-request-method") is None:
        return None
    return Response(
        status_code=204,
        headers={
            "access-control-allow-methods": _ALLOWED_METHODS.decode(),
            "access-control-allow-headers": _ALLOWED_HEADERS.decode(),
            "access-control-max-age": _PREFLIGHT_KEPT_S.decode(),
        },
    )


def dress(send: Send, *, request_id: str, origin: bytes | None, varies: bool) -> Send:
    """Return a ``send`` that adds to an answer's headers what it does not say itself."""

    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = headers_of(message)
            present = {name for name, _ in given}
            added = [(name, value) for name, value in _SAFE.items() if name not in present]
            added.append((b"x-request-id", request_id.encode()))
            if varies:
                added.append((b"vary", b"origin"))
            if origin is not None:
                added += [
                    (b"access-control-allow-origin", origin),
                    (b"access-control-expose-headers", _EXPOSED_HEADERS),
                ]
            message = {**message, "headers": [*given, *added]}
        await send(message)

    return dressed
