"""``python -m local.cli_page``: writes ``docs/cli.md`` from the command line's own definitions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import typer.main
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from orchestrator.cli.exits import MEANINGS
from orchestrator.cli.main import app

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
#: Written once for all commands.
_COMMON = {"url", "api_key", "as_json", "help"}

AnyCommand: TypeAlias = TyperCommand | TyperGroup
AnyParameter: TypeAlias = TyperArgument | TyperOption

_HEAD = """\
# The command line

Generated from `orchestrator/cli/` by `python -m local.cli_page`; a test keeps them together.

```console
$ make install                      # puts it into .venv/bin/orchestrator; `python -m orchestrator.cli` is the same
$ pip install '.[cli]'              # into any other environment; only `dev` needs the checkout
$ orchestrator dev                  # the local stack, which the other commands find by themselves
$ orchestrator enqueue diagnostic-echo '{"steps": 20000}' --wait
$ orchestrator list --status failed --since 2h
$ orchestrator retry --workflow re-ingest-job --status failed
$ orchestrator doctor               # what is wrong, and how to mend it
$ orchestrator --install-completion # for your shell; job ids are completed, too
```

**Which server.** The one of `--url` and `--api-key`, else of the environment's `ORCHESTRATOR_URL` (or
`QUEUE_PRODUCER_URL`) and `ORCHESTRATOR_API_KEY`, else the local stack whose `.state/dev.json` lies here or above, or in
`STATE`. These two and `--json` may also stand before the command.

**For programs.** With `--json` every command prints JSON alone: one value, or one per line where there are several. The
members are those of the HTTP API. Errors are one line of JSON on standard error:
`{"error": {"code", "message", "hint"}}`. Nothing is asked: what would be, wants `--yes`.

**Durations** are seconds, or like `90m` and `1d12h`. **Times** are ISO 8601, UTC without an offset, or a duration ago.
"""


def page() -> str:
    """Return the page."""
    lines = [_HEAD, "## Exit codes", "", "| code | means |", "|---|---|"]
    lines += [f"| {int(code)} | {meaning} |" for code, meaning in MEANINGS.items()]
    lines += ["", "## Commands"]
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    for command, names in _commands(root, ("orchestrator",)):
        lines += ["", *_section(command, names)]
    return "\n".join(lines) + "\n"


def _commands(group: TyperGroup, names: tuple[str, ...]) -> Iterator[tuple[AnyCommand, tuple[str, ...]]]:
    for name, command in group.commands.items():
        assert isinstance(command, TyperCommand | TyperGroup)
        yield command, (*names, name)
        if isinstance(command, TyperGroup):
            yield from _commands(command, (*names, name))


def _section(command: AnyCommand, names: tuple[str, ...]) -> list[str]:
    arguments = [item for item in command.params if isinstance(item, TyperArgument)]
    options = [item for item in command.params if isinstance(item, TyperOption) and item.name not in _COMMON]
    usage = " ".join([*names, *(_usage(item) for item in arguments), *(["[OPTIONS]"] if options else [])])
    lines = [f"### {' '.join(names[1:])}", "", f"`{usage}`", "", *_paragraphs(command.help or "")]
    rows = [(f"`{_metavar(item)}`", item) for item in arguments] + [(_flags(item), item) for item in options]
    if rows:
        lines += ["", "| | |", "|---|---|", *(f"| {name} | {_help(item)} |" for name, item in rows)]
    return lines


def _paragraphs(text: str) -> list[str]:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n")).split("\n")


def _usage(argument: TyperArgument) -> str:
    name = f"{_metavar(argument)}…" if argument.nargs == -1 else _metavar(argument)
    return name if argument.required else f"[{name}]"


def _metavar(item: AnyParameter) -> str:
    return item.metavar or (item.name or "").upper()


def _flags(option: TyperOption) -> str:
    value = "" if option.is_flag else f" {option.metavar or 'VALUE'}"
    return ", ".join(f"`{name}{value}`" for name in [*option.opts, *option.secondary_opts])


def _help(item: AnyParameter) -> str:
    text = re.sub(r"\s+", " ", item.help or "").replace("|", "\\|")
    default: object = item.default
    if isinstance(item, TyperOption) and not item.is_flag and isinstance(default, str | int) and default:
        text += f" Default: `{default}`."
    return text


if __name__ == "__main__":
    PAGE.write_text(page())
