"""``orchestrator doctor``: looks at everything that must be right, and says how to mend what is not."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from orchestrator.cli import checks, target, wrangler
from orchestrator.cli.checks import Finding, State
from orchestrator.cli.command import ApiKey, AsJson, Url, failures
from orchestrator.cli.exits import Exit, hint_of
from orchestrator.cli.output import Output
from orchestrator.client import Client, ClientError, ConfigurationError, Retries

PANEL = "Setup"
#: The check that runs as a job has so long.
JOB_TIMEOUT_S = 60.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", rich_help_panel=PANEL)(doctor)


def doctor(
    config: Annotated[
        Path | None, typer.Option(help="The configuration; the project's wrangler.toml if left out.", dir_okay=False)
    ] = None,
    job: Annotated[bool, typer.Option("--job/--no-job", help="Run a job that checks from where jobs run.")] = True,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Check configuration, bindings, secrets, server, clock, database and object store; exit 1 if something is wrong.

    Each finding says how to mend it. Database and buckets are checked by a job on the server itself, so that its way
    through queue, object and alarm is checked, too.
    """
    output = Output(sys.stdout, sys.stderr, as_json=as_json)
    with failures(output):
        wrong = False
        area = ""
        for finding in _findings(config, url, api_key, job=job):
            if finding.area != area and not as_json:
                output.say(Text(f"\n{finding.area}" if area else finding.area, style="bold"))
            area = finding.area
            wrong = wrong or finding.state is State.WRONG
            output.show(finding, lambda finding=finding: _line(finding))
        output.say("")
        output.say(
            Text("Something is wrong; see above.", "red")
            if wrong
            else Text("Everything that was checked is right.", "green")
        )
        if wrong:
            raise typer.Exit(Exit.UNSUCCESSFUL)


def _findings(config: Path | None, url: str | None, api_key: str | None, *, job: bool) -> Iterator[Finding]:
    folder = Path.cwd()
    root = target.project_root(folder) if config is None else config.resolve().parent
    if root is not None:
        try:
            yield from checks.check_config(wrangler.read(config or root / "wrangler.toml"))
        except ConfigurationError as error:
            yield Finding(checks.CONFIGURATION, "wrangler.toml", State.WRONG, str(error), "mend the file")
    yield from checks.check_switch(os.environ)
    try:
        found = target.find(url, api_key, os.environ, folder)
    except ConfigurationError as error:
        yield Finding(checks.SERVER, "address", State.WRONG, str(error), hint_of(error))
        return
    yield Finding(checks.SERVER, "address", State.RIGHT, f"{found.target.url}, from {found.source}")
    with Client.at(found.target, retries=Retries(max_attempts=2), timeout_s=10) as client:
        yield from _check_server(client, job=job)


def _check_server(client: Client, *, job: bool) -> Iterator[Finding]:
    area = checks.SERVER
    try:
        client.health()
        yield Finding(area, "answers", State.RIGHT, "it runs")
        key = client.get_current_key()
        yield checks.check_key(key)
        yield from checks.check_lanes(client.lanes())
        yield from checks.check_alerts(client.get_alerts(), datetime.now(UTC))
        if not job:
            return
        sent_at = datetime.now(UTC)
        job_id = client.enqueue("diagnostic-platform").id
        ended = client.wait_for_job(job_id, timeout_s=JOB_TIMEOUT_S, via="polling")
        yield from checks.check_clock(sent_at, ended.created_at)
        yield from checks.check_job(ended)
    except ClientError as error:
        yield Finding(area, "answers", State.WRONG, str(error), hint_of(error))


_MARKS = {State.RIGHT: ("✔", "green"), State.NOTE: ("•", "yellow"), State.WRONG: ("✘", "red")}


def _line(finding: Finding) -> Text:
    mark, style = _MARKS[finding.state]
    line = Text.assemble((f"  {mark} ", style), (finding.name, "bold"), f"  {finding.text}")
    return line if not finding.mend else line.append(f"\n      → {finding.mend}", style="cyan")
