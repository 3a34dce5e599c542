"""``orchestrator provision``: the wrangler commands that create what ``wrangler.toml`` names."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
import typer
from rich.text import Text

from orchestrator.cli import wrangler
from orchestrator.cli.command import AsJson, failures
from orchestrator.cli.exits import Exit
from orchestrator.cli.output import Output
from orchestrator.cli.target import project_root
from orchestrator.cli.wrangler import Wrangler
from orchestrator.client import ConfigurationError

PANEL = "Setup"
#: How long dead letters are kept: the platform's maximum; its default is 4 days (platform.md §5.3).
DEAD_LETTER_RETENTION_S = 14 * 86_400
#: What wrangler says when the thing is there already.
_EXISTS = ("already exists", "already taken", "already own")


class Step(msgspec.Struct, frozen=True):
    """One command."""

    kind: Literal["queue", "bucket", "hyperdrive", "secret"]
    name: str
    #: Arguments of wrangler; ``$NAME`` stands for a variable of the environment, so that no secret is shown.
    arguments: tuple[str, ...]
    #: The variable whose value the command reads from standard input.
    stdin: str | None = None
    note: str = ""

    def variables(self) -> list[str]:
        """Return the variables of the environment that the command needs."""
        named = [part.partition("$")[2] for part in self.arguments if "$" in part]
        return named + ([self.stdin] if self.stdin else [])

    def line(self) -> str:
        """Return the command as a shell takes it."""
        parts = [part if "$" in part else shlex.quote(part) for part in self.arguments]
        parts = [f'{part.partition("$")[0]}"${part.partition("$")[2]}"' if "$" in part else part for part in parts]
        piped = f'printf %s "${self.stdin}" | ' if self.stdin else ""
        return f"{piped}npx wrangler {' '.join(parts)}"


class Outcome(msgspec.Struct, frozen=True):
    """What became of a command."""

    kind: str
    name: str
    command: str
    outcome: Literal["planned", "created", "exists", "skipped", "failed"]
    detail: str = ""


def plan(config: Wrangler, environment: str | None = None) -> list[Step]:
    """Return what is to be created, in an order in which every name exists before it is used."""
    extra = () if environment is None else ("--env", environment)
    dead = config.dead_letter_queues()
    steps: list[Step] = []
    for name in config.queue_names():
        retention = ("--message-retention-period-secs", str(DEAD_LETTER_RETENTION_S)) if name in dead else ()
        steps.append(Step("queue", name, ("queues", "create", name, *retention)))
    for bucket in dict.fromkeys(item.bucket_name for item in config.r2_buckets):
        steps.append(Step("bucket", bucket, ("r2", "bucket", "create", bucket)))
    for database in config.hyperdrive:
        if database.is_placeholder:
            name = f"{config.name}-{database.binding.lower()}"
            arguments = ("hyperdrive", "create", name, "--connection-string=$DATABASE_URL", "--caching-disabled")
            note = f"then write the id that it prints into wrangler.toml, at the binding {database.binding}"
            steps.append(Step("hyperdrive", name, arguments, note=note))
    for secret in config.secrets.required:
        steps.append(Step("secret", secret, ("secret", "put", secret, *extra), stdin=secret, note=_secret_note(secret)))
    return steps


def _secret_note(name: str) -> str:
    return 'a new one: export API_KEY="$(openssl rand -base64 32)"' if name == "API_KEY" else ""


def carry_out(
    step: Step, program: list[str], root: Path, env: Mapping[str, str], hidden: Sequence[str] = ()
) -> Outcome:
    """Run one command; what exists already is no failure. Of what it says, ``hidden`` is never shown."""

    def outcome(kind: Literal["created", "exists", "skipped", "failed"], detail: str = "") -> Outcome:
        return Outcome(step.kind, step.name, step.line(), kind, detail)

    missing = [name for name in step.variables() if not env.get(name)]
    if missing:
        return outcome("skipped", f"the environment has no {' and no '.join(missing)}")
    arguments = [_filled(part, env) for part in step.arguments]
    done = wrangler.run([*program, *arguments], root, env[step.stdin] if step.stdin else None)
    if done.succeeded:
        return outcome("created", step.note if step.kind == "hyperdrive" else "")
    said = _without(done.output, hidden)
    if any(text in said.lower() for text in _EXISTS):
        return outcome("exists")
    return outcome("failed", said[-1_000:])


def _filled(part: str, env: Mapping[str, str]) -> str:
    head, dollar, name = part.partition("$")
    return head + env[name] if dollar else part


def secrets_of(steps: Sequence[Step], env: Mapping[str, str]) -> list[str]:
    """Return the values that must not be shown, passwords inside of addresses included."""
    values = [env[name] for step in steps for name in step.variables() if env.get(name)]
    return [*values, *(password for value in values if (password := urlsplit(value).password))]


def _without(text: str, hidden: Sequence[str]) -> str:
    for secret in hidden:
        text = text.replace(secret, "…")
    return text


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("provision", rich_help_panel=PANEL)(provision)


def provision(
    run: Annotated[bool, typer.Option("--run", help="Run the commands; without it they are only shown.")] = False,
    environment: Annotated[
        str | None, typer.Option("--env", help="The environment of wrangler.toml.", metavar="NAME")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="The configuration; the project's wrangler.toml if left out.", dir_okay=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create what the deployment needs: queues, buckets, Hyperdrive, secrets.

    Shows the wrangler commands; --run runs them. What exists already is left as it is. Values of secrets come from
    variables of the same name, and DATABASE_URL is Postgres; neither is ever shown.
    """
    output = Output(sys.stdout, sys.stderr, as_json=as_json)
    with failures(output):
        root = config.resolve().parent if config is not None else project_root(Path.cwd())
        if root is None:
            raise ConfigurationError("There is no wrangler.toml here or above; name one with --config")
        steps = plan(wrangler.read(config or root / "wrangler.toml", environment), environment)
        program, hidden = wrangler.program(root), secrets_of(steps, os.environ)
        failed = False
        for step in steps:
            found = (
                carry_out(step, program, root, os.environ, hidden)
                if run
                else Outcome(step.kind, step.name, step.line(), "planned", step.note)
            )
            failed = failed or found.outcome in ("failed", "skipped")
            output.show(found, lambda found=found: _line(found))
        if not run:
            output.say(Text("\nNothing was run: --run does that.", style="bright_black"))
        if failed:
            raise typer.Exit(Exit.UNSUCCESSFUL)


_MARKS = {
    "created": ("✔", "green"),
    "exists": ("✔", "bright_black"),
    "skipped": ("-", "yellow"),
    "failed": ("✘", "red"),
}


def _line(found: Outcome) -> Text:
    if found.outcome == "planned":
        note = f"  # {found.detail}" if found.detail else ""
        return Text.assemble(found.command, (note, "bright_black"))
    mark, style = _MARKS[found.outcome]
    text = Text.assemble((f"{mark} {found.kind} {found.name}", style), f"  {found.outcome}")
    return text if not found.detail else text.append(f"  {found.detail}", style="bright_black")
