"""What ``wrangler.toml`` says that a deployment needs, and running wrangler itself."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from typing import cast

import msgspec

from orchestrator.client import ConfigurationError


class Consumer(msgspec.Struct, frozen=True):
    """A queue that the Worker consumes."""

    queue: str
    dead_letter_queue: str | None = None


class Producer(msgspec.Struct, frozen=True):
    """A queue that the Worker sends to."""

    binding: str
    queue: str


class Queues(msgspec.Struct, frozen=True):
    """Both ends of the queues."""

    producers: list[Producer] = []
    consumers: list[Consumer] = []


class Bucket(msgspec.Struct, frozen=True):
    """An R2 bucket."""

    binding: str
    bucket_name: str


class Hyperdrive(msgspec.Struct, frozen=True):
    """A Postgres database behind Hyperdrive."""

    binding: str
    id: str

    @property
    def is_placeholder(self) -> bool:
        """Whether the id is not one yet."""
        return not self.id.strip("0-")


class ObjectBinding(msgspec.Struct, frozen=True):
    """A binding of a Durable Object class."""

    name: str
    class_name: str


class Objects(msgspec.Struct, frozen=True):
    """The Durable Object classes."""

    bindings: list[ObjectBinding] = []


class Migration(msgspec.Struct, frozen=True):
    """A step in the history of the Durable Object classes."""

    new_sqlite_classes: list[str] = []


class Triggers(msgspec.Struct, frozen=True):
    """When the scheduled handler runs."""

    crons: list[str] = []


class Secrets(msgspec.Struct, frozen=True):
    """Secrets that a deployment must have."""

    required: list[str] = []


class Wrangler(msgspec.Struct, frozen=True):
    """The parts of ``wrangler.toml`` that say what must exist."""

    name: str
    compatibility_date: str
    compatibility_flags: list[str] = []
    durable_objects: Objects = Objects()
    migrations: list[Migration] = []
    queues: Queues = Queues()
    r2_buckets: list[Bucket] = []
    hyperdrive: list[Hyperdrive] = []
    triggers: Triggers = Triggers()
    secrets: Secrets = Secrets()

    def queue_names(self) -> list[str]:
        """Return every queue once, those for dead letters first, since the others name them."""
        dead = self.dead_letter_queues()
        ends = [*self.queues.producers, *self.queues.consumers]
        return list(dict.fromkeys([*sorted(dead), *(end.queue for end in ends)]))

    def dead_letter_queues(self) -> set[str]:
        """Return the queues for dead letters."""
        return {item.dead_letter_queue for item in self.queues.consumers if item.dead_letter_queue}


def read(path: Path, environment: str | None = None) -> Wrangler:
    """Read the configuration, with the members that ``[env.NAME]`` replaces.

    Raises:
        ConfigurationError: it cannot be read, or has no such environment.
    """
    try:
        raw: dict[str, object] = tomllib.loads(path.read_text())
        if environment is not None:
            environments = cast("dict[str, dict[str, object]]", raw.get("env", {}))
            if environment not in environments:
                raise ConfigurationError(f"{path} has no [env.{environment}]")
            raw = {**raw, "name": f"{raw.get('name')}-{environment}", **environments[environment]}
        return msgspec.convert(raw, Wrangler)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error


def program(root: Path) -> list[str]:
    """Return how to start wrangler: the project's own, else what ``npx`` finds."""
    node, script = root / ".venv" / "bin" / "node", root / "node_modules" / "wrangler" / "bin" / "wrangler.js"
    return [str(node), str(script)] if node.exists() and script.is_file() else ["npx", "wrangler"]


class Done(msgspec.Struct, frozen=True):
    """What became of a command."""

    succeeded: bool
    output: str


def run(command: list[str], root: Path, stdin: str | None = None) -> Done:
    """Run a command in the project's folder and return what it said."""
    try:
        done = subprocess.run(  # noqa: S603 - a known program with a list of arguments
            command, cwd=root, input=stdin or "", capture_output=True, text=True, check=False
        )
    except OSError as error:
        return Done(succeeded=False, output=f"{command[0]} cannot be started: {error.strerror}")
    return Done(succeeded=done.returncode == 0, output=(done.stdout + done.stderr).strip())
