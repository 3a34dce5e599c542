"""The types of the ASGI interface, which has none of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def headers_of(message: Message) -> list[tuple[bytes, bytes]]:
    """Return the headers of a request or of the start of an answer."""
    return cast("list[tuple[bytes, bytes]]", message["headers"])


def header(message: Message, name: bytes) -> bytes | None:
    """Return the first header of a lower-case name."""
    return next((value for key, value in headers_of(message) if key == name), None)
