"""The application: every command, and what ends the process."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from orchestrator.cli import control, dev, doctor, jobs, keys, operations, provision
from orchestrator.cli.dashboard import command as dashboard
from orchestrator.cli.root import Commands

app = typer.Typer(
    name="orchestrator",
    cls=Commands,
    help="Durable jobs: start them, watch them, look after them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(version("durable-orchestrator"))
        except PackageNotFoundError:
            typer.echo("not installed")
        raise typer.Exit


@app.callback()
def root(
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Durable jobs: start them, watch them, look after them."""


jobs.register(app)
dashboard.register(app)
control.register(app)
operations.register(app)
keys.register(app)
dev.register(app)
doctor.register(app)
provision.register(app)


def main() -> None:
    """Run the command line."""
    try:
        app(prog_name="orchestrator")
    except KeyboardInterrupt:
        sys.exit(130)
