"""What every command that talks to a server has: ``--url``, ``--api-key``, ``--json``, and one way to fail."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, get_type_hints

import typer

from orchestrator.cli.exits import Exit, code_of, exit_of, hint_of
from orchestrator.cli.output import Output
from orchestrator.cli.target import find
from orchestrator.client import Client, ClientError

Url = Annotated[
    str | None,
    typer.Option(help="The server; the environment's ORCHESTRATOR_URL or the local stack if left out.", metavar="URL"),
]
ApiKey = Annotated[
    str | None,
    typer.Option(help="The key to it; ORCHESTRATOR_API_KEY or the local stack's if left out.", metavar="KEY"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one value per line, and nothing else.")]


class Session:
    """One run of a command: the server, and where the output goes."""

    def __init__(self, client: Client, output: Output, source: str) -> None:
        self.client = client
        self.output = output
        #: Where we learned of the server.
        self.source = source


@contextmanager
def failures(output: Output) -> Generator[None]:
    """Turn errors of the block into one clear message and the exit code that means it."""
    try:
        yield
    except ClientError as error:
        output.fail(code_of(error), str(error), hint_of(error))
        raise typer.Exit(exit_of(error)) from error
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
    except BrokenPipeError:
        # Whoever read our output has had enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Exit.OK) from None


@contextmanager
def session(url: Url = None, api_key: ApiKey = None, as_json: AsJson = False) -> Generator[Session]:
    """Open a session for the length of the block."""
    output = Output(sys.stdout, sys.stderr, as_json=as_json)
    with failures(output):
        found = find(url, api_key, os.environ, Path.cwd())
        with Client.at(found.target) as client:
            yield Session(client, output, found.source)


def add_command(app: typer.Typer, name: str, function: Callable[..., None], *, panel: str | None = None) -> None:
    """Register a function as a command.

    The function gets a session first. A parameter whose class has a method ``from_options`` stands for that method's
    options. The session's own options come last.
    """
    app.command(name, rich_help_panel=panel)(_as_command(function))


def add_group(app: typer.Typer, name: str, function: Callable[..., None], *, panel: str | None = None) -> typer.Typer:
    """Return a new group of commands; a call without one of them is a call of the function."""
    group = typer.Typer()
    group.callback(invoke_without_command=True)(_as_command(function, unless_subcommand=True))
    app.add_typer(group, name=name, rich_help_panel=panel)
    return group


def _as_command(function: Callable[..., None], *, unless_subcommand: bool = False) -> Callable[..., None]:
    _, *own = inspect.signature(function).parameters.values()
    hints = get_type_hints(function, include_extras=True)
    groups = {item.name: maker for item in own if (maker := getattr(hints[item.name], "from_options", None))}
    expanded = {group: _options(maker) for group, maker in groups.items()}
    parameters = [inspect.Parameter("context", _KEYWORD, annotation=typer.Context)]
    for item in own:
        parameters += expanded.get(item.name, [item.replace(annotation=hints[item.name], kind=_KEYWORD)])
    parameters += _options(session)

    def run(context: typer.Context, url: Url, api_key: ApiKey, as_json: AsJson, **given: object) -> None:
        if unless_subcommand and context.invoked_subcommand is not None:
            return
        with session(url, api_key, as_json) as current:
            for group, options in expanded.items():
                given[group] = groups[group](**{item.name: given.pop(item.name) for item in options})
            function(current, **given)

    run.__doc__ = function.__doc__
    run.__annotations__ = {item.name: item.annotation for item in parameters}
    vars(run)["__signature__"] = inspect.Signature(sorted(parameters, key=lambda item: item.default is not _REQUIRED))
    return run


_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_REQUIRED = inspect.Parameter.empty


def _options(function: Callable[..., object]) -> list[inspect.Parameter]:
    """Return a function's parameters, their types resolved."""
    hints = get_type_hints(function, include_extras=True)
    found = inspect.signature(function).parameters.values()
    return [item.replace(annotation=hints[item.name], kind=_KEYWORD) for item in found]
