"""What commands print: tables for people, one JSON value per line for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TextIO, TypeVar, cast

import msgspec
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.text import Text

from orchestrator.cli.listing import Listing

T = TypeVar("T")


def to_json(value: object) -> str:
    """Return a value as one line of JSON, with times as the API writes them."""
    plain: object = msgspec.to_builtins(value, builtin_types=(datetime,))
    return msgspec.json.encode(_with_texts(plain)).decode()


def _with_texts(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, dict):
        return {name: _with_texts(item) for name, item in cast("dict[str, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_with_texts(item) for item in cast("list[object]", value)]
    return value


class Output:
    """Where results and errors go.

    Args:
        out: standard output.
        err: standard error.
        as_json: whether a program reads the output.
    """

    def __init__(self, out: TextIO, err: TextIO, *, as_json: bool) -> None:
        self.as_json = as_json
        self.out = Console(file=out, highlight=False)
        self.err = Console(file=err, stderr=True, highlight=False, soft_wrap=True)
        self._file = out

    @property
    def is_live(self) -> bool:
        """Whether somebody watches who sees a screen redrawn."""
        return self.out.is_terminal and not self.as_json

    def show(self, value: object, render: Callable[[], RenderableType]) -> None:
        """Print a value: as JSON, or as ``render`` shows it."""
        if self.as_json:
            self.line(value)
        else:
            self.say(render())

    def show_all(self, values: Iterable[T], render: Callable[[list[T]], RenderableType]) -> list[T]:
        """Print several values, programs' as they come; return them."""
        found: list[T] = []
        for value in values:
            found.append(value)
            if self.as_json:
                self.line(value)
        if not self.as_json:
            self.say(render(found))
        return found

    def line(self, value: object) -> None:
        """Print a value as a line of JSON."""
        self._file.write(to_json(value) + "\n")
        self._file.flush()

    def say(self, text: RenderableType) -> None:
        """Print something for people only; lines of text are left whole, so that they can be copied and searched."""
        if not self.as_json:
            shown = text.whole(self.out) if isinstance(text, Listing) and not self.out.is_terminal else text
            self.out.print(shown, soft_wrap=isinstance(shown, Text))

    def warn(self, text: str) -> None:
        """Print something that makes the result less than whole."""
        if self.as_json:
            self.err.print(to_json({"warning": text}), markup=False)
        else:
            self.err.print(f"[yellow]warning:[/yellow] {escape(text)}")

    def fail(self, code: str, message: str, hint: str | None) -> None:
        """Print why a command failed."""
        if self.as_json:
            self.err.print(to_json({"error": {"code": code, "message": message, "hint": hint}}), markup=False)
            return
        self.err.print("[bold red]error:[/bold red] ", end="")
        self.err.print(f"{message} ({code})", markup=False)
        if hint is not None:
            self.err.print("[dim]  try:[/dim] ", end="")
            self.err.print(hint, markup=False)
