"""Reading a request's body within bounds: its size, its declared type, and the depth of its JSON."""

from __future__ import annotations

import re
from typing import cast

from starlette.responses import Response

from durable.http.asgi import Message, Receive, header
from durable.http.problems import problem
from orchestrator.limits import MAX_BODY_BYTES, MAX_JSON_DEPTH

# The closing quote is optional and the quantifiers give nothing back: unterminated text costs one pass, not n².
_TEXTS = re.compile(rb'(?s)"(?:[^"\\]++|\\.)*+"?')
#: Their bodies mean nothing (RFC 9110 §9.3), so they are not read.
_BODILESS = frozenset({"GET", "HEAD"})
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_AS_SQUARE = bytes.maketrans(b"{}", b"[]")


async def read(scope: Message, receive: Receive) -> tuple[bytes, Response | None]:
    """Return a request's body, or the refusal of one that is too large, too deep or not JSON."""
    if scope["method"] in _BODILESS:
        return b"", None
    declared = (header(scope, b"content-length") or b"0").decode("latin-1")
    if declared.isdecimal() and int(declared) > MAX_BODY_BYTES:
        return b"", _too_large()
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            break
        part = cast("bytes", message.get("body", b""))
        size += len(part)
        if size > MAX_BODY_BYTES:
            return b"", _too_large()
        parts.append(part)
        if not message.get("more_body"):
            break
    body = b"".join(parts)
    if body and not _is_json(header(scope, b"content-type")):
        return b"", problem(415, "unsupported_media_type", "A request body is application/json")
    if is_too_deep(body):
        return b"", problem(400, "too_deep", f"The body is not JSON, or nested deeper than {MAX_JSON_DEPTH} levels")
    return body, None


def replay(body: bytes, receive: Receive) -> Receive:
    """Return what hands out a body that was read."""
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def is_too_deep(body: bytes) -> bool:
    """Tell whether JSON is nested deeper than allowed, in time linear in its length for each allowed level."""
    brackets = _TEXTS.sub(b"", body).translate(_AS_SQUARE, _NOT_BRACKETS)
    for _ in range(MAX_JSON_DEPTH):
        if not brackets:
            return False
        fewer = brackets.replace(b"[]", b"")
        if len(fewer) == len(brackets):
            # Not balanced, so not JSON: the parser says so, unless it would be driven deep first.
            return len(brackets) > MAX_JSON_DEPTH
        brackets = fewer
    return bool(brackets)


def _is_json(content_type: bytes | None) -> bool:
    """Tell whether a body is declared as JSON, or not declared at all."""
    kind = (content_type or b"application/json").partition(b";")[0].strip().lower()
    return kind == b"application/json" or (kind.startswith(b"application/") and kind.endswith(b"+json"))


def _too_large() -> Response:
    return problem(413, "payload_too_large", f"A request body has at most {MAX_BODY_BYTES} bytes")
