"""The outside world of the test scene: an ``Http`` whose servers are functions, without sockets."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from urllib.parse import urlsplit

from orchestrator.errors import HttpError
from orchestrator.ports import HttpResponse
from tests.embeddings.stub_server import Answer, Received, Reply


class StubHttp:
    """Implements :class:`orchestrator.ports.Http`: each origin is answered by a function, any other fails the test.

    Args:
        routes: the functions by origin, such as ``https://api.stripe.com``.
    """

    def __init__(self, routes: Mapping[str, Answer]) -> None:
        self.routes = dict(routes)
        #: Answers that go before the function's, by origin, one per request. ``hang`` is no answer at all.
        self.faults: dict[str, deque[Reply]] = {}
        #: Every request made, with its origin.
        self.traffic: list[tuple[str, Received]] = []

    def sent(self, origin: str) -> list[Received]:
        """Return the requests to one origin."""
        return [request for where, request in self.traffic if where == origin]

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_ms: int = 30_000,
        max_body_bytes: int = 16_000_000,
    ) -> HttpResponse:
        """See :class:`orchestrator.ports.Http`."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        assert origin in self.routes, f"unexpected request to {origin}"
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        request = Received(method, parts.path, parts.query, lower, body or b"")
        self.traffic.append((origin, request))
        queued = self.faults.get(origin)
        reply = queued.popleft() if queued else self.routes[origin](request)
        if reply.hang:
            raise HttpError(f"{method} {origin}: no complete answer within {timeout_ms} ms", code="http_timeout")
        assert len(reply.body) <= max_body_bytes
        return HttpResponse(reply.status, reply.headers, reply.body)
