"""Which server commands talk to: what the command line says, else the environment, else the local stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from orchestrator.client.errors import ConfigurationError
from orchestrator.client.settings import Target, checked_url, client_target


class _DevInfo(msgspec.Struct, frozen=True):
    """What the local stack publishes about itself."""

    url: str
    api_key: str


class Found(msgspec.Struct, frozen=True):
    """A server, and where we learned of it."""

    target: Target
    source: str


def find(url: str | None, api_key: str | None, env: Mapping[str, str], folder: Path) -> Found:
    """Return the server to talk to.

    Args:
        url: what the command line says.
        api_key: what the command line says.
        env: the environment.
        folder: where we are; the local stack's state is looked for here and above, unless ``STATE`` names it.

    Raises:
        ConfigurationError: there is none, or no key to it.
    """
    if url is not None:
        key = api_key or env.get("ORCHESTRATOR_API_KEY") or _key_of_the_local_stack(checked_url(url), env, folder)
        if not key:
            raise ConfigurationError(f"There is no key to {url}: --api-key or ORCHESTRATOR_API_KEY")
        return Found(Target(checked_url(url), key), "--url")
    if env.get("ORCHESTRATOR_URL") or env.get("QUEUE_PRODUCER_URL"):
        target = client_target({**env, "ORCHESTRATOR_API_KEY": api_key or env.get("ORCHESTRATOR_API_KEY", "")})
        return Found(target, "the environment")
    for path in _info_paths(env, folder):
        info = _read(path)
        if info is not None:
            return Found(Target(checked_url(info.url), api_key or info.api_key), str(path))
    raise ConfigurationError("No server is named and no local stack runs here")


def _key_of_the_local_stack(url: str, env: Mapping[str, str], folder: Path) -> str | None:
    infos = (_read(path) for path in _info_paths(env, folder))
    return next((info.api_key for info in infos if info is not None and checked_url(info.url) == url), None)


def _info_paths(env: Mapping[str, str], folder: Path) -> Iterator[Path]:
    if env.get("STATE"):
        yield folder / env["STATE"] / "dev.json"
        return
    for place in (folder, *folder.parents):
        yield place / ".state" / "dev.json"


def _read(path: Path) -> _DevInfo | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_DevInfo)
    except (OSError, msgspec.MsgspecError):
        return None


def project_root(folder: Path) -> Path | None:
    """Return the project that ``folder`` lies in, or whose checkout this package is; None for neither."""
    places = (folder, *folder.parents, *Path(__file__).resolve().parents)
    return next((place for place in places if (place / "wrangler.toml").is_file() and (place / "local").is_dir()), None)
