"""Serves the dashboard's page on the loopback interface, and passes its calls on with the key.

Other pages in the same browser can reach this port, and so can other people of this machine: calls need the token that
only the address holds which the command printed.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Final

import httpx
import msgspec

from orchestrator.client.settings import Target

_PAGE: Final = files("orchestrator.cli.dashboard") / "page"
_FILES: Final[Mapping[str, tuple[str, str]]] = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/timeline.js": ("timeline.js", "text/javascript; charset=utf-8"),
}
#: Carries the token.
TOKEN_HEADER: Final = "x-dashboard-token"  # noqa: S105 - a name
#: What the page may ask of the server.
_PASSED_ON: Final = "/v1/"
_MAX_BODY_BYTES: Final = 100_000
_TIMEOUT_S: Final = 30.0
_SAFE: Final = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Dashboard(ThreadingHTTPServer):
    """The server of the page; whoever makes it runs and closes it.

    Args:
        target: the server whose jobs are shown, and the key to it.
        port: where to listen on this machine; 0 for any free port.
        token: what the page's calls have to carry.

    Raises:
        OSError: the port cannot be listened on.
    """

    daemon_threads = True

    def __init__(self, target: Target, port: int, token: str) -> None:
        key = {"authorization": f"Bearer {target.api_key}"}
        self._client = httpx.Client(base_url=target.url, headers=key, timeout=_TIMEOUT_S)
        super().__init__(("127.0.0.1", port), partial(_Handler, self._client, token))

    def server_close(self) -> None:
        """Stop listening, and drop the connections to the server."""
        super().server_close()
        self._client.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, client: httpx.Client, token: str, *args: object, **kwargs: object) -> None:
        self._client = client
        self._token = token
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Print nothing: the terminal shows the address."""

    def _answer(self, method: str) -> None:
        # Whoever closed the page has had enough.
        with suppress(ConnectionError):
            if self.path.startswith(_PASSED_ON):
                self._pass_on(method)
            elif method == "GET" and self.path in _FILES:
                name, media_type = _FILES[self.path]
                self._send(200, media_type, (_PAGE / name).read_bytes())
            else:
                self._problem(404, "not_found", "There is no such page")

    def _pass_on(self, method: str) -> None:
        size = self.headers.get("content-length", "0")
        if not size.isdecimal() or int(size) > _MAX_BODY_BYTES:
            self.close_connection = True
            self._problem(413, "payload_too_large", "The page sends no such body")
            return
        body = self.rfile.read(int(size))
        if not secrets.compare_digest(self.headers.get(TOKEN_HEADER, "").encode(), self._token.encode()):
            self._problem(403, "foreign_page", "Open the address that `orchestrator dashboard` printed")
            return
        headers = {"content-type": "application/json"} if body else {}
        try:
            answer = self._client.request(method, self.path, content=body or None, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self._problem(502, "unreachable", f"{self._client.base_url} does not answer: {type(error).__name__}")
            return
        self._send(answer.status_code, answer.headers.get("content-type", "application/json"), answer.content)

    def _problem(self, status: int, code: str, detail: str) -> None:
        self._send(status, "application/problem+json", msgspec.json.encode({"code": code, "detail": detail}))

    def _send(self, status: int, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(body)))
        for name, value in _SAFE.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
