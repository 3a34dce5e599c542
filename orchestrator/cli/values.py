"""Reading what people write on the command line: payloads, durations, times."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import typer

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def read_stdin() -> str:
    """Return what stands in standard input."""
    return sys.stdin.read()


def payload(text: str, stdin: Callable[[], str] = read_stdin) -> object:
    """Return a payload: JSON, ``@file``, or ``-`` for standard input.

    Raises:
        typer.BadParameter: the file cannot be read, or it is not JSON.
    """
    try:
        content = stdin() if text == "-" else Path(text[1:]).read_text() if text.startswith("@") else text
        return msgspec.json.decode(content)
    except OSError as error:
        raise typer.BadParameter(f"{text[1:]} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"not JSON: {error}") from error


def pairs(texts: list[str] | None) -> dict[str, str] | None:
    """Return ``NAME=VALUE`` texts as a dictionary; None if there are none.

    Raises:
        typer.BadParameter: one has another form.
    """
    if not texts:
        return None
    found = [text.partition("=") for text in texts]
    if not all(name and sign and value for name, sign, value in found):
        raise typer.BadParameter("write NAME=VALUE")
    return {name: value for name, _, value in found}


def duration(text: str) -> timedelta:
    """Return a duration: seconds, or like ``1d12h``, ``90m``, ``30s``.

    Raises:
        typer.BadParameter: it is none.
    """
    if text.isdecimal():
        return timedelta(seconds=int(text))
    found = _DURATION.fullmatch(text)
    if found is None or not text:
        raise typer.BadParameter(f"{text!r} is no duration; write seconds, or for instance 90m or 1d12h")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def iso_time(text: str) -> datetime:
    """Return a time in ISO 8601; it is UTC without an offset.

    Raises:
        typer.BadParameter: it is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time; write for instance 2026-11-26T12:00Z") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def moment(text: str) -> datetime:
    """Return a time: ISO 8601, or a duration, which is that long ago.

    Raises:
        typer.BadParameter: it is neither.
    """
    if "-" in text:
        return iso_time(text)
    try:
        return datetime.now(UTC) - duration(text)
    except typer.BadParameter:
        message = f"{text!r} is no time; write for instance 2026-11-26T12:00Z, or how long ago: 90m, 1d12h"
        raise typer.BadParameter(message) from None
