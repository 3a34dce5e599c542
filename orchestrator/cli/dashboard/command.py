"""``orchestrator dashboard``: jobs, timelines and dead letters in a browser."""

from __future__ import annotations

import secrets
import webbrowser
from typing import Annotated

import typer
from rich.text import Text

from orchestrator.cli.command import Session, add_command
from orchestrator.cli.dashboard.server import Dashboard
from orchestrator.client import ConfigurationError

PANEL = "Jobs"


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, "dashboard", dashboard, panel=PANEL)


def dashboard(
    current: Session,
    *,
    port: Annotated[int, typer.Option(help="Where the page is served, on this machine only; 0 for any.")] = 8790,
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the address, and open no browser.")] = False,
) -> None:
    """Show jobs in a browser: live lists, each job's timeline, and the buttons to act on it.

    The page is served on this machine only, until Ctrl-C, and its requests go on to the server with your key, which the
    browser never sees.
    """
    token = secrets.token_urlsafe(16)
    try:
        server = Dashboard(current.client.target, port, token)
    except OSError as error:
        raise ConfigurationError(f"Port {port} cannot be listened on: {error.strerror}") from error
    with server:
        url = f"http://127.0.0.1:{server.server_port}/#{token}"
        current.output.show({"url": url, "server": current.client.target.url}, lambda: Text(f"dashboard {url}"))
        if not no_open:
            webbrowser.open(url)
        server.serve_forever()
