"""The state directory: one user at a time, its API key, and what it tells other programs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Generator
from pathlib import Path

import msgspec


class StateInUseError(Exception):
    """Another launcher uses the state directory."""


class DevInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What ``dev.json`` holds: how to reach a running stack. Readable by its owner only."""

    url: str
    api_key: str
    pid: int
    workerd_pid: int
    control_url: str
    database_url: str | None = None
    embeddings_url: str | None = None

    def __repr__(self) -> str:
        return f"DevInfo(url={self.url!r}, pid={self.pid}, workerd_pid={self.workerd_pid})"


@contextlib.contextmanager
def locked(state: Path) -> Generator[None]:
    """Hold the state directory for the length of the block; make it if needed.

    Raises:
        StateInUseError: another process holds it. The lock vanishes with its holder, however that ended.
    """
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StateInUseError(_in_use(state)) from error
        yield


def _in_use(state: Path) -> str:
    try:
        info = read_info(state)
    except (OSError, msgspec.MsgspecError):
        holder = "another process"
    else:
        holder = f"the stack at {info.url} (process {info.pid})"
    return f"the state directory {state} is in use by {holder}; end that one, or choose another folder with STATE=…"


def api_key(state: Path) -> str:
    """Return the state's API key; make a random one the first time."""
    path = state / "api_key"
    if not path.is_file():
        _write_private(path, secrets.token_urlsafe(32))
    return path.read_text()


def info_path(state: Path) -> Path:
    """Return where the stack's ``dev.json`` is."""
    return state / "dev.json"


def write_info(state: Path, info: DevInfo) -> None:
    """Publish how to reach the stack."""
    _write_private(info_path(state), msgspec.json.format(msgspec.json.encode(info)).decode() + "\n")


def read_info(state: Path) -> DevInfo:
    """Read what the running stack published.

    Raises:
        FileNotFoundError: no stack is ready on this state directory.
    """
    return msgspec.json.decode(info_path(state).read_bytes(), type=DevInfo)


def clear_info(state: Path) -> None:
    """Remove ``dev.json``: nothing is ready here."""
    info_path(state).unlink(missing_ok=True)


def _write_private(path: Path, content: str) -> None:
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
    partial.rename(path)
