"""Where calls go: read from the environment, whose ``USE_CLOUDFLARE_QUEUES`` is the plan's switch."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from orchestrator.client.errors import ConfigurationError
from orchestrator.client.flow import Backend

TRIGGER_DEV_URL = "https://api.trigger.dev"
_SWITCH = {"true": Backend.ORCHESTRATOR, "false": Backend.TRIGGER_DEV}


class Target(msgspec.Struct, frozen=True):
    """A server and the key to it."""

    url: str
    api_key: str
    backend: Backend = Backend.ORCHESTRATOR

    def __repr__(self) -> str:
        return f"Target({self.url!r}, {self.backend})"


def producer_target(env: Mapping[str, str]) -> Target:
    """Return where the plan's functions send their jobs.

    ``USE_CLOUDFLARE_QUEUES=true`` needs ``QUEUE_PRODUCER_URL`` and ``ORCHESTRATOR_API_KEY``. ``false``, and nothing at
    all, is Trigger.dev: ``TRIGGER_SECRET_KEY``, and ``TRIGGER_API_URL`` if it is hosted elsewhere.

    Raises:
        ConfigurationError: a variable is missing, or the switch says neither.
    """
    wish = env.get("USE_CLOUDFLARE_QUEUES", "").strip().lower() or "false"
    if wish not in _SWITCH:
        raise ConfigurationError(f"USE_CLOUDFLARE_QUEUES is true or false, not {wish!r}")
    if _SWITCH[wish] is Backend.ORCHESTRATOR:
        return Target(_required(env, "QUEUE_PRODUCER_URL"), _required(env, "ORCHESTRATOR_API_KEY"))
    url = env.get("TRIGGER_API_URL") or TRIGGER_DEV_URL
    return Target(checked_url(url, "TRIGGER_API_URL"), _required(env, "TRIGGER_SECRET_KEY"), Backend.TRIGGER_DEV)


def client_target(env: Mapping[str, str]) -> Target:
    """Return the orchestrator that ``ORCHESTRATOR_URL``, or else ``QUEUE_PRODUCER_URL``, names.

    Raises:
        ConfigurationError: a variable is missing.
    """
    names = ("ORCHESTRATOR_URL", "QUEUE_PRODUCER_URL")
    name = next((name for name in names if env.get(name)), names[0])
    return Target(_required(env, name), _required(env, "ORCHESTRATOR_API_KEY"))


def checked_url(url: str, name: str = "The server's address") -> str:
    """Return an address without its last slash.

    Raises:
        ConfigurationError: it is not one.
    """
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"{name} is not an http(s) address: {url[:60]!r}")
    return url.rstrip("/")


def _required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "").strip()
    if not value:
        raise ConfigurationError(f"The environment variable {name} is not set")
    return checked_url(value, name) if name.endswith("_URL") else value
