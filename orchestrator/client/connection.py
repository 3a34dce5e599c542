"""What both drivers share: a connection's settings, and the effects that need no input or output."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Mapping

import httpx
import msgspec

from orchestrator.client.flow import Answer, Draw, Effect, Lost, NewKey, Now, Reply, Request, WhichBackend
from orchestrator.client.retries import Retries
from orchestrator.client.settings import Target

USER_AGENT = "durable-orchestrator-python"
#: Failures before a request went out.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL)
#: A stream's server says something at least every 10 s; longer silence is a dead connection.
_STREAM_SILENCE_S = 30.0
_CONNECT_S = 10.0


class Connection(msgspec.Struct, frozen=True):
    """Where requests go, and how patiently."""

    target: Target
    retries: Retries
    #: The longest wait for an answer, or for a part of one.
    timeout_s: float

    def http_request(
        self, client: httpx.Client | httpx.AsyncClient, request: Request, *, stream: bool
    ) -> httpx.Request:
        """Return a request with the server's address and the key."""
        silence_s = max(self.timeout_s, _STREAM_SILENCE_S) if stream else self.timeout_s
        headers = {"authorization": f"Bearer {self.target.api_key}", "user-agent": USER_AGENT, **request.headers}
        if request.body is not None:
            headers["content-type"] = "application/json"
        return client.build_request(
            request.method,
            self.target.url + request.path,
            params=request.query or None,
            headers=headers,
            content=request.body,
            timeout=httpx.Timeout(silence_s, connect=min(_CONNECT_S, self.timeout_s)),
        )

    def perform(self, effect: Effect) -> Reply:
        """Return what comes of an effect that needs no input or output."""
        match effect:
            case Now():
                return time.monotonic()
            case Draw():
                return random.random()  # noqa: S311 - spreads retries
            case NewKey():
                return uuid.uuid4().hex
            case WhichBackend():
                return self.target.backend
            case _:
                raise AssertionError(f"no driver performs {effect!r}")


def answer_of(response: httpx.Response, body: bytes) -> Answer:
    """Return a response as the flows see it."""
    headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, body)


def lost(error: httpx.HTTPError | httpx.InvalidURL, target: Target) -> Lost:
    """Return what a failed request means."""
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, _NOT_SENT):
        return Lost(f"{target.url} did not answer in time", sent=True)
    if isinstance(error, _NOT_SENT):
        return Lost(f"{target.url} cannot be reached: {error}", sent=False)
    return Lost(f"The connection to {target.url} broke: {error or type(error).__name__}", sent=True)
