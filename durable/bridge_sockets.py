"""WebSockets of a Durable Object, accepted so that they stay open while the object is out of memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import js
import msgspec
from pyodide.ffi import JsException, jsnull, to_js

from durable.watch_rights import WatchRight

_JsAny = Any  # the JavaScript side has no types here
#: The platform answers this message itself, without waking the object: for clients that test the connection.
_PING, _PONG = "ping", "pong"


class WatchRequest:
    """What the Worker asks a job's object: to take a request over as a WebSocket."""

    def __init__(self, request: _JsAny) -> None:
        raw = getattr(request, "js_object", request)
        query = parse_qs(urlsplit(str(raw.url)).query)
        self.after = int(query["after"][0])
        self.key_id = query["key_id"][0]


class _Kept(msgspec.Struct, frozen=True):
    """What the platform keeps with a socket."""

    after: int
    right: WatchRight


def watch_request(request: _JsAny, after: int, key_id: str) -> _JsAny:
    """Return a request as :class:`WatchRequest` reads it."""
    query = urlencode({"after": after, "key_id": key_id})
    return js.Request.new(f"https://job/events?{query}", getattr(request, "js_object", request))


def response(status: int, body: bytes, headers: dict[str, str]) -> _JsAny:
    """Return an HTTP response."""
    options = to_js({"status": status, "headers": headers}, dict_converter=js.Object.fromEntries)
    return js.Response.new(to_js(body), options)


class Sockets:
    """The sockets of one object, implementing :class:`durable.live_view.Sockets`."""

    def __init__(self, ctx: _JsAny) -> None:
        self._ctx = getattr(ctx, "_ctx", ctx)

    def open(self) -> list[Socket]:
        """See :class:`durable.live_view.Sockets`."""
        return [Socket(item) for item in self._ctx.getWebSockets() if item.readyState == js.WebSocket.OPEN]

    def accept(self, after: int, right: WatchRight) -> _JsAny:
        """Open a socket whose client has seen the events up to a number; return the response that hands it over."""
        client, server = js.WebSocketPair.new().object_values()
        self._ctx.setWebSocketAutoResponse(js.WebSocketRequestResponsePair.new(_PING, _PONG))
        self._ctx.acceptWebSocket(server)
        Socket(server).keep(_Kept(after, right))
        options = to_js({"status": 101, "webSocket": client}, dict_converter=js.Object.fromEntries)
        return js.Response.new(jsnull, options)


class Socket:
    """One socket, implementing :class:`durable.live_view.Socket`."""

    def __init__(self, socket: _JsAny) -> None:
        self._socket = socket

    @property
    def after(self) -> int:
        """See :class:`durable.live_view.Socket`."""
        return self._kept.after

    @property
    def right(self) -> WatchRight:
        """See :class:`durable.live_view.Socket`."""
        return self._kept.right

    def renew(self, right: WatchRight) -> None:
        """See :class:`durable.live_view.Socket`."""
        self.keep(_Kept(self._kept.after, right))

    def keep(self, kept: _Kept) -> None:
        """Replace what the platform keeps with the socket."""
        self._socket.serializeAttachment(msgspec.json.encode(kept).decode())

    @property
    def _kept(self) -> _Kept:
        return msgspec.json.decode(str(self._socket.deserializeAttachment()), type=_Kept)

    def send(self, texts: Sequence[str], after: int) -> None:
        """See :class:`durable.live_view.Socket`."""
        try:
            for text in texts:
                self._socket.send(text)
        except JsException:
            return  # its closing is on the way
        self.keep(_Kept(after, self._kept.right))

    def close(self, code: int, reason: str) -> None:
        """See :class:`durable.live_view.Socket`."""
        try:
            self._socket.close(code, reason)
        except JsException:
            return
