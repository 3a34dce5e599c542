"""What every request passes before it is routed: the key, the size of its body, the depth of its JSON."""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from durable.http.access import NOBODY, ROOT, Principal
from durable.http.host import Host
from durable.http.problems import log_crash, problem
from durable.http.restricted import on_behalf_of
from orchestrator.errors import RequestError, UnauthorizedError
from orchestrator.limits import MAX_BODY_BYTES, MAX_JSON_DEPTH

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: Answered without a key.
_OPEN_PATHS = frozenset({"/healthz"})
#: Opened by the token's own bearer instead of the key (domain.md §3.1).
_TOKEN_PATH = re.compile("/api/v1/waitpoints/tokens/([^/]+)/complete")
# The closing quote is optional and the quantifiers give nothing back: unterminated text costs one pass, not n².
_TEXTS = re.compile(rb'(?s)"(?:[^"\\]++|\\.)*+"?')
#: Their bodies mean nothing (RFC 9110 §9.3), so they are not read.
_BODILESS = frozenset({"GET", "HEAD"})
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_AS_SQUARE = bytes.maketrans(b"{}", b"[]")


class Gate:
    """An ASGI application around the framework's.

    Args:
        app: what answers the requests that pass.
    """

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; the server's lifespan events are ignored, since nothing here is opened or closed."""
        if scope["type"] != "http":
            return
        host = cast("Host", scope["env"])
        refusal = _refuse_stranger(scope, host)
        body = b""
        if refusal is None:
            body, refusal = await _read(scope, receive)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        scope["env"] = on_behalf_of(_principal_of(scope), host)
        started = False

        async def note_start(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, _replay(body, receive), note_start)
        except Exception as error:
            # The framework raises again after it has answered; what was not answered is answered here.
            if not started:
                log_crash(Request(scope), error)
                await problem(500, "internal", "The request failed for an internal reason")(scope, receive, send)


def _refuse_stranger(scope: Message, host: Host) -> Response | None:
    """Return the refusal of a request without the right key, or None. No key configured means closed."""
    if scope["path"] in _OPEN_PATHS:
        return None
    if not host.api_key:
        detail = "Set the secret API_KEY; until then every request is refused"
        return problem(503, "no_api_key_configured", detail, headers={"retry-after": "60"})
    scheme, _, given = (_header(scope, b"authorization") or b"").partition(b" ")
    bearer = given.strip() if scheme.lower() == b"bearer" else b""
    token = _TOKEN_PATH.fullmatch(scope["path"])
    if token is not None:
        return _check_token(scope, host, token[1], bearer)
    return None if hmac.compare_digest(bearer, host.api_key.encode()) else _unauthorized()


def _principal_of(scope: Message) -> Principal:
    """Return on whose behalf an admitted request acts."""
    return NOBODY if scope["path"] in _OPEN_PATHS or "token" in scope else ROOT


def _check_token(scope: Message, host: Host, token_id: str, bearer: bytes) -> Response | None:
    """Note in the scope where a token leads, or return the refusal of a bearer that may not complete it."""
    if not bearer.isascii():
        return _unauthorized()
    try:
        scope["token"] = host.signer().check(token_id, bearer.decode())
    except UnauthorizedError:
        return _unauthorized()
    except RequestError as error:
        return problem(error.status, error.error_code, str(error))
    return None


def _unauthorized() -> Response:
    headers = {"www-authenticate": 'Bearer realm="orchestrator"'}
    return problem(401, "unauthorized", "The request carries no valid key", headers=headers)


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


async def _read(scope: Message, receive: Receive) -> tuple[bytes, Response | None]:
    if scope["method"] in _BODILESS:
        return b"", None
    declared = (_header(scope, b"content-length") or b"0").decode("latin-1")
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
    if body and not _is_json(_header(scope, b"content-type")):
        return b"", problem(415, "unsupported_media_type", "A request body is application/json")
    if is_too_deep(body):
        return b"", problem(400, "too_deep", f"The body is not JSON, or nested deeper than {MAX_JSON_DEPTH} levels")
    return body, None


def _is_json(content_type: bytes | None) -> bool:
    """Tell whether a body is declared as JSON, or not declared at all."""
    kind = (content_type or b"application/json").partition(b";")[0].strip().lower()
    return kind == b"application/json" or (kind.startswith(b"application/") and kind.endswith(b"+json"))


def _too_large() -> Response:
    return problem(413, "payload_too_large", f"A request body has at most {MAX_BODY_BYTES} bytes")


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _header(scope: Message, name: bytes) -> bytes | None:
    headers = cast("list[tuple[bytes, bytes]]", scope["headers"])
    return next((value for key, value in headers if key == name), None)
