"""The form of a log line: one JSON object, bounded, whose fields never hold what is somebody's secret by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

#: Longest text of a field: an invocation's log has 256 KB (platform.md §6.1).
MAX_TEXT_CHARS: Final = 500
#: Fields that are left out whatever they hold: payloads and secrets, should anybody log them by mistake.
_PRIVATE: Final = frozenset(
    {
        "access_token",
        "api_key",
        "apikey",
        "authorization",
        "body",
        "cookie",
        "credentials",
        "password",
        "payload",
        "result",
        "secret",
        "token",
    }
)
_LEFT_OUT: Final = "(left out)"


def line_of(level: str, event: str, fields: Mapping[str, object]) -> str:
    """Return one structured log line. Whatever the fields are, it is one."""
    shown = {name: _LEFT_OUT if name.lower() in _PRIVATE else _bounded(value) for name, value in fields.items()}
    return msgspec.json.encode({**shown, "level": level, "event": event}, enc_hook=repr).decode()


def _bounded(value: object) -> object:
    if isinstance(value, (bool, int, float)) or value is None:
        return value if not isinstance(value, int) or -(2**63) <= value < 2**64 else str(value)
    text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=repr).decode()
    if len(text) <= MAX_TEXT_CHARS:
        return value
    return f"{text[:MAX_TEXT_CHARS]}…"
