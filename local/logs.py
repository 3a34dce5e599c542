"""What the launcher prints: one JSON object per line, like the Worker's, or a line for a person at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from rich.console import Console
from rich.text import Text

_STYLES = {"warning": "yellow", "warn": "yellow", "error": "red"}
#: Members of a line that have a place of their own, or say nothing to somebody who watches.
_PLACED = frozenset({"time", "level", "source", "event", "message", "job_id", "workflow"})
#: What workerd notes for its own authors.
_WORKERDS_OWN = "NOSENTRY"
NEXT_STEPS = """\
  .venv/bin/orchestrator enqueue diagnostic-echo '{"steps": 1000}' --wait   # a first job, from another terminal
  .venv/bin/orchestrator dashboard                                          # jobs and timelines in a browser
  Code that you save is loaded at once; Ctrl-C ends everything, and the next start resumes every job."""


class LaunchError(Exception):
    """The stack cannot start or go on; the message is one line for the user."""


def log(event: str, level: str = "info", **fields: object) -> None:
    """Print one structured line."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    show(msgspec.json.encode({"time": now, "level": level, "source": "launcher", "event": event, **fields}))


def show(line: bytes) -> None:
    """Print a structured line: as it is, or readable where somebody watches."""
    if not sys.stdout.isatty():
        print(line.decode().rstrip(), flush=True)
        return
    fields = msgspec.json.decode(line, type=dict[str, object])
    if not str(fields.get("message", "")).startswith(_WORKERDS_OWN):
        Console(highlight=False).print(readable(fields), soft_wrap=True)


def say(ready: str, *, again: bool) -> None:
    """Print that the stack is ready; the first time also what to do with it, where somebody watches."""
    print(ready, flush=True)
    if sys.stdout.isatty() and not again:
        print(NEXT_STEPS, flush=True)


def complain(message: str) -> None:
    """Print what is wrong."""
    print(f"error: {message}", file=sys.stderr, flush=True)


def readable(fields: Mapping[str, object]) -> Text:
    """Return a structured line for a person."""
    head = [fields.get(name) for name in ("event", "message", "job_id", "workflow")]
    style = _STYLES.get(str(fields.get("level")), "")
    line = Text.assemble((str(fields.get("time", ""))[11:19], "bright_black"), "  ")
    line.append("  ".join(str(item) for item in head if item), style=style)
    for name, value in fields.items():
        if name not in _PLACED and value is not None:
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            line.append("\n" + text.rstrip() if "\n" in text else f"  {name}={text}", style=style or "bright_black")
    return line
