"""A small WebSocket client (RFC 6455) that says what it gets, for tests."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import msgspec

_TEXT, _CLOSE = 1, 8
TIMEOUT_S = 60.0


class Message(msgspec.Struct, frozen=True):
    """An event as it arrives."""

    id: int
    kind: str
    key: str | None
    data: object


class RefusedError(Exception):
    """The server did not open a WebSocket."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


class WebSocket:
    """An open WebSocket.

    Args:
        url: an ``http://`` address.
        headers: sent with the request.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=TIMEOUT_S)
        self._buffer = b""
        lines = [
            f"GET {parts.path}{'?' if parts.query else ''}{parts.query} HTTP/1.1",
            f"Host: {parts.netloc}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        head = self._until(b"\r\n\r\n").decode()
        status = int(head.split()[1])
        if status != 101:
            length = next(
                (int(line.split(":")[1]) for line in head.lower().splitlines() if "content-length" in line), 0
            )
            body = self._take(length).decode()
            self._socket.close()
            raise RefusedError(status, body)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def text(self) -> str | None:
        """Wait for the next text message; None when the server says goodbye."""
        opcode, data = self._frame()
        assert opcode in {_TEXT, _CLOSE}, opcode
        if opcode == _CLOSE:
            self.goodbye = (int.from_bytes(data[:2], "big"), data[2:].decode())
            return None
        return data.decode()

    def event(self) -> Message | None:
        """Wait for the next event; None when the server says goodbye."""
        text = self.text()
        return None if text is None else msgspec.json.decode(text, type=Message)

    def rest(self) -> list[Message]:
        """Wait for every event up to the server's goodbye."""
        found: list[Message] = []
        while (event := self.event()) is not None:
            found.append(event)
        return found

    def send(self, text: str) -> None:
        """Send a text message."""
        data, mask = text.encode(), os.urandom(4)
        assert len(data) < 126
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
        self._socket.sendall(bytes([0x80 | _TEXT, 0x80 | len(data)]) + mask + masked)

    def _frame(self) -> tuple[int, bytes]:
        first, length = self._take(2)
        assert first & 0x80, "no message of a job comes in pieces"
        if length == 126:
            length = int.from_bytes(self._take(2), "big")
        elif length == 127:
            length = int.from_bytes(self._take(8), "big")
        return first & 0x0F, self._take(length)

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._read()
        found, _, self._buffer = self._buffer.partition(mark)
        return found

    def _take(self, length: int) -> bytes:
        while len(self._buffer) < length:
            self._read()
        found, self._buffer = self._buffer[:length], self._buffer[length:]
        return found

    def _read(self) -> None:
        data = self._socket.recv(65_536)
        if not data:
            raise ConnectionError("the connection ended without a goodbye")
        self._buffer += data
