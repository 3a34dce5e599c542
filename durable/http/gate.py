"""What every request passes before it is routed: bounds, its key or token, its rate, and its body."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import cast

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from durable.http import bodies, headers
from durable.http.access import Principal
from durable.http.asgi import Message, Receive, Send, header
from durable.http.host import Host
from durable.http.keyring import identify, take_turn
from durable.http.problems import log_crash, problem, response_of
from durable.http.restricted import on_behalf_of
from orchestrator.errors import OrchestratorError, RetryableError, UnauthorizedError

__all__ = ["Gate", "Message", "Receive", "Send"]

#: Answered without a key.
_OPEN_PATHS = frozenset({"/healthz"})
#: Opened by the token's own bearer instead of the key (domain.md §3.1).
_TOKEN_PATH = re.compile("/api/v1/waitpoints/tokens/([^/]+)/complete")
_RAY = re.compile(rb"[0-9a-f]{16}(-[A-Z]{3})?")
#: A missing API_KEY does not mend itself within seconds.
_CLOSED_RETRY_S = "60"


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
        scope["request_id"] = _request_id(scope, host)
        origin = headers.origin_of(scope, host.cors_origins)
        send = headers.dress(send, request_id=scope["request_id"], origin=origin, varies=bool(host.cors_origins))
        refusal = headers.preflight(scope, origin) or headers.refuse(scope)
        if refusal is None:
            refusal = await _let_in(scope, host)
        body = b""
        if refusal is None:
            body, refusal = await bodies.read(scope, receive)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._answer(scope, bodies.replay(body, receive), send)

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        started = False

        async def note_start(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, note_start)
        except Exception as error:
            # The framework raises again after it has answered; what was not answered is answered here.
            if not started:
                log_crash(Request(scope), error)
                await problem(500, "internal", "The request failed for an internal reason")(scope, receive, send)


async def _let_in(scope: Message, host: Host) -> Response | None:
    """Note in the scope on whose behalf a request acts, or return its refusal. No key configured means closed."""
    if scope["path"] in _OPEN_PATHS:
        return None
    if not host.api_key:
        detail = "Set the secret API_KEY; until then every request is refused"
        return problem(503, "no_api_key_configured", detail, headers={"retry-after": _CLOSED_RETRY_S})
    bearer = bearer_of(header(scope, b"authorization"))
    token = _TOKEN_PATH.fullmatch(scope["path"])
    if token is not None:
        return _check_token(scope, host, token[1], bearer)
    try:
        principal = await identify(host, bearer)
    except UnauthorizedError as error:
        return _unauthorized(str(error))
    except RetryableError as error:
        return response_of(error, host, scope)
    wait_s = take_turn(host, principal)
    if wait_s is not None:
        return _limited(wait_s)
    scope["env"] = on_behalf_of(principal, replace(host, is_welcome=_recheck(host, bearer, principal)))
    return None


def bearer_of(authorization: bytes | None) -> bytes:
    """Return what a request shows; empty when it shows nothing."""
    scheme, _, given = (authorization or b"").partition(b" ")
    return given.strip() if scheme.lower() == b"bearer" else b""


def _check_token(scope: Message, host: Host, token_id: str, bearer: bytes) -> Response | None:
    """Note in the scope where a token leads, or return the refusal of a bearer that may not complete it."""
    try:
        address = host.signer().check(token_id, bearer.decode("ascii"))
    except (UnauthorizedError, UnicodeDecodeError):
        return _unauthorized("The bearer does not belong to this token")
    except OrchestratorError as error:
        return response_of(error, host, scope)
    principal = Principal(key_id=f"token:{address.job_id}")
    wait_s = take_turn(host, principal)
    if wait_s is not None:
        return _limited(wait_s)
    scope["token"] = address
    scope["env"] = on_behalf_of(principal, host)
    return None


def _recheck(host: Host, bearer: bytes, principal: Principal) -> Callable[[], Awaitable[bool]]:
    """Return what tells whether a key still is what it was, for answers that last."""

    async def is_welcome() -> bool:
        try:
            return await identify(host, bearer) == principal
        except UnauthorizedError:
            return False
        except RetryableError:
            return True  # nothing is known to the contrary

    return is_welcome


def _unauthorized(detail: str) -> Response:
    headers = {"www-authenticate": 'Bearer realm="orchestrator"'}
    return problem(401, "unauthorized", detail, headers=headers)


def _limited(wait_s: int) -> Response:
    return problem(429, "rate_limited", "The key has used up its rate", headers={"retry-after": str(wait_s)})


def _request_id(scope: Message, host: Host) -> str:
    """Return what an answer and its log lines are found by: Cloudflare's own id where there is one."""
    ray = header(scope, b"cf-ray")
    return ray.decode() if ray is not None and _RAY.fullmatch(ray) else host.entropy.random_bytes(8).hex()
