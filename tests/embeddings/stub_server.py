"""A real HTTP server on loopback that plays a provider: strict about requests, faulty on demand."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

import msgspec

from orchestrator.ports import Http, HttpResponse


class Received(msgspec.Struct, frozen=True):
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> object:
        return msgspec.json.decode(self.body)


class Reply(msgspec.Struct, frozen=True):
    """What the server sends. ``cut_at`` closes the connection after that many bytes; ``hang`` never answers."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = {}
    cut_at: int | None = None
    hang: bool = False


def json_reply(value: object, status: int = 200, **headers: str) -> Reply:
    return Reply(
        status,
        msgspec.json.encode(value),
        {"content-type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}},
    )


Answer = Callable[[Received], Reply]


class StubServer:
    """Serves ``answer``, except that queued ``faults`` go first, one per request."""

    def __init__(self, answer: Answer) -> None:
        self.faults: deque[Reply] = deque()
        self.received: list[Received] = []
        #: The answer to the request under way is lost: the connection ends without it.
        self.lose_answer = False
        self._answer = answer
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> StubServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def reply_to(self, request: Received) -> Reply:
        self.received.append(request)
        return self.faults.popleft() if self.faults else self._answer(request)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 5

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length)
                if len(body) < length:  # whoever asked was killed
                    self.close_connection = True
                    return
                parts = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = stub.reply_to(Received(self.command, parts.path, parts.query, headers, body))
                if stub.lose_answer:
                    stub.lose_answer = False
                    self.close_connection = True
                    return
                if reply.hang:
                    stub._closing.wait()
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(reply.body)))
                self.send_header("connection", "close")
                with contextlib.suppress(ConnectionError):  # whoever asked was killed
                    self.end_headers()
                    self.wfile.write(reply.body[: reply.cut_at])
                self.close_connection = True

            def do_GET(self) -> None:
                self.do_POST()

            def do_DELETE(self) -> None:
                self.do_POST()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        return Handler


class Rerouted:
    """An ``Http`` that reaches providers' public addresses at stubs; any other address fails the test."""

    def __init__(self, http: Http, routes: Mapping[str, str]) -> None:
        self._http = http
        self._routes = routes

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
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        assert origin in self._routes, f"unexpected request to {origin}"
        return await self._http.request(
            method,
            self._routes[origin] + url[len(origin) :],
            headers=headers,
            body=body,
            timeout_ms=timeout_ms,
            max_body_bytes=max_body_bytes,
        )
