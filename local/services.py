"""What runs beside the Worker: Postgres and the embedding server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from pathlib import Path

import psutil

from local import migrate, postgres
from local.children import child
from local.logs import LaunchError, log

#: How often Postgres is looked after; nothing waits for it.
WATCH_INTERVAL_S = 0.25
CONNECT_INTERVAL_S = 0.02


def claim_port(port: int) -> int:
    """Return the port if it is free; a free one for 0.

    Raises:
        LaunchError: another program listens there.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise LaunchError(f"port {port} is in use; choose another with PORT=…") from error
        return int(probe.getsockname()[1])


class Database:
    """The embedded Postgres, started again on its data when it dies."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._server: postgres.LocalPostgres | None = None

    async def start(self) -> str:
        """Start the server and bring its schema up to date; return the connection string.

        Raises:
            LaunchError: it does not start.
        """
        url = self._start()
        # The migrations bring an event loop of their own, which needs a thread without one.
        await asyncio.to_thread(migrate.migrate, url)
        return url

    async def watch(self, url: str) -> None:
        """Start the server again whenever it is gone.

        Raises:
            LaunchError: it cannot start, or not where the Worker looks for it.
        """
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            if self._server is None or _is_running(self._server.pid):
                continue
            self.stop()
            if self._start() != url:
                raise LaunchError("Postgres ended, and its port was taken before it could start again")
            log("postgres_restarted", level="warning")

    def stop(self) -> None:
        """Shut the server down, if one runs."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def _start(self) -> str:
        try:
            self._server = postgres.start(self._state)
        except postgres.PostgresStartError as error:
            raise LaunchError(str(error)) from error
        return self._server.url


class Embeddings:
    """The local embedding server."""

    def __init__(self) -> None:
        self._port = claim_port(0)

    @property
    def url(self) -> str:
        """The base URL of the OpenAI-compatible API."""
        return f"http://127.0.0.1:{self._port}/v1"

    async def run(self) -> None:
        """Run the server until the task is cancelled.

        Raises:
            LaunchError: it ended by itself.
        """
        command = [sys.executable, "-m", "local.embeddings", "--port", str(self._port)]
        async with child(command, stop_signal=True) as process:
            assert process.stdout is not None
            async for line in process.stdout:
                log("output", part="embeddings", message=line.decode(errors="replace").rstrip())
            raise LaunchError(f"the embedding server ended by itself, with exit code {await process.wait()}")

    async def wait(self) -> None:
        """Wait until the server accepts connections."""
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.close()
                return
            await asyncio.sleep(CONNECT_INTERVAL_S)


def _is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
