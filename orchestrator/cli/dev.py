"""``orchestrator dev``: the local stack, from a checkout of the project."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.command import failures
from orchestrator.cli.output import Output
from orchestrator.cli.target import project_root
from orchestrator.client import ConfigurationError

PANEL = "Setup"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dev", rich_help_panel=PANEL)(dev)


def dev(
    port: Annotated[int, typer.Option(help="Where it listens.", envvar="PORT")] = 8787,
    state: Annotated[
        Path | None, typer.Option(help="Where everything is kept; .state in the project if left out.", envvar="STATE")
    ] = None,
) -> None:
    """Run the local stack in the foreground: the Worker in workerd, queues, R2, Postgres, embeddings.

    Other commands find it by themselves. Code that is saved is loaded at once, and jobs under way go on with it, as
    after a deployment. A second start on the same state resumes every job.
    """
    with failures(Output(sys.stdout, sys.stderr, as_json=False)):
        root = project_root(Path.cwd())
        if root is None:
            raise ConfigurationError("The local stack is part of the project: run this in a checkout of it")
        python = root / ".venv" / "bin" / "python"
        program = str(python if python.is_file() else sys.executable)
        options = ["--reload", "--port", str(port)]
        if state is not None:
            options += ["--state", str(state.resolve())]
        os.chdir(root)
        os.execv(program, [program, "-m", "local", *options])  # noqa: S606 - the project's own program
