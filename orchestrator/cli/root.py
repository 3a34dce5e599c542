"""How a command line is read as a whole: where options may stand, and how mistakes are told."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Protocol, cast

import typer
from typer.core import TyperGroup
from typer.rich_utils import rich_format_error

from orchestrator.cli.output import Output

AS_JSON = "--json"
_WITH_VALUE = ("--url", "--api-key")


class Misuse(Protocol):
    """What typer raises for a command line that it does not understand; it keeps that class to itself."""

    message: str
    exit_code: int

    def format_message(self) -> str:
        """Return what is wrong."""
        ...


class Commands(TyperGroup):
    """All commands."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: object,
    ) -> object:
        """Run a command line, and end the process."""
        given = session_options_last(sys.argv[1:] if args is None else args)
        try:
            code = super().main(given, prog_name, complete_var, False, windows_expand_args, **extra)
        except typer.Abort:
            code = 1
        except Exception as error:
            if not hasattr(error, "format_message"):
                raise
            code = _tell(cast("Misuse", error), as_json=AS_JSON in given)
        if standalone_mode:
            sys.exit(code if isinstance(code, int) else 0)
        return code


def session_options_last(arguments: Sequence[str]) -> list[str]:
    """Return a command line with ``--url``, ``--api-key`` and ``--json`` behind the command that they belong to."""
    rest, moved = list(arguments), list[str]()
    while rest:
        name, sign, _ = rest[0].partition("=")
        if rest[0] == AS_JSON or (name in _WITH_VALUE and sign):
            moved.append(rest.pop(0))
        elif name in _WITH_VALUE and len(rest) > 1:
            moved += [rest.pop(0), rest.pop(0)]
        else:
            break
    place = rest.index("--") if "--" in rest else len(rest)
    return [*rest[:place], *moved, *rest[place:]]


def _tell(error: Misuse, *, as_json: bool) -> int:
    error.message = error.message.replace("Value error, ", "")
    if as_json:
        hint = "see the command's --help"
        Output(sys.stdout, sys.stderr, as_json=True).fail("usage", error.format_message().strip(), hint)
    else:
        rich_format_error(error)  # pyright: ignore[reportArgumentType]
    return error.exit_code
