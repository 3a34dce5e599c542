"""The launcher's own log lines: one JSON object each, like the Worker's."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec


class LaunchError(Exception):
    """The stack cannot start or go on; the message is one line for the user."""


def log(event: str, level: str = "info", **fields: object) -> None:
    """Print one structured line."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = {"time": now, "level": level, "source": "launcher", "event": event, **fields}
    print(msgspec.json.encode(line).decode(), flush=True)
