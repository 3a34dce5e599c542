"""Start the local stack: Postgres, embeddings, and the Worker in the real workerd."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from local import bundle, classes, config, migrate, postgres, state
from local.bundle import ROOT
from local.children import child

PACKAGES = tuple(ROOT / name for name in ("orchestrator", "steps", "durable"))
#: What the SDK reads of the compatibility flags that a Python Worker of this date has.
SDK_FLAGS = {"python_workflows_implicit_dependencies": True, "python_request_headers_preserve_commas": True}


#: The one cron expression that the local runtime can fire; schedules live in the orchestrator.
EVERY_MINUTE = "* * * * *"


class LaunchError(Exception):
    """The stack cannot start; the message is one line for the user."""


@dataclass(frozen=True)
class Options:
    """What to start, and where."""

    port: int
    state: Path
    config: Path = ROOT / "wrangler.toml"
    main: str = "durable.worker"
    packages: tuple[Path, ...] = PACKAGES
    services: bool = True


class Event(msgspec.Struct, frozen=True):
    """A line from the Worker's host process that is meant for the launcher."""

    launcher: str = ""
    workerd_pid: int = 0
    control_url: str = ""
    runtime_ms: int = 0
    python_ms: int = 0
    message: str = ""


def log(event: str, level: str = "info", **fields: object) -> None:
    """Print one structured line."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = {"time": now, "level": level, "source": "launcher", "event": event, **fields}
    print(msgspec.json.encode(line).decode(), flush=True)


class Phases:
    """Measures the parts of a start."""

    def __init__(self) -> None:
        self._started = self._last = time.monotonic()
        self.durations_ms: dict[str, int] = {}

    def mark(self, name: str) -> None:
        """Note the time since the last mark."""
        now = time.monotonic()
        self.durations_ms[f"{name}_ms"] = round((now - self._last) * 1000)
        self._last = now

    def total_ms(self) -> int:
        """Return the time since the start in milliseconds."""
        return round((time.monotonic() - self._started) * 1000)


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


async def run(options: Options) -> None:
    """Run the stack until it is asked to stop (SIGINT, SIGTERM, SIGHUP).

    Raises:
        LaunchError: it cannot start, or a part of it ended by itself.
        StateInUseError: another launcher uses the state directory.
    """
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    with state.locked(options.state):
        state.clear_info(options.state)
        try:
            async with contextlib.AsyncExitStack() as stack:
                await _run_parts(options, stack)
        finally:
            state.clear_info(options.state)


async def _run_parts(options: Options, stack: contextlib.AsyncExitStack) -> None:
    phases = Phases()
    port = claim_port(options.port)
    archives = asyncio.create_task(asyncio.to_thread(bundle.build, ROOT, options.packages))
    embeddings_url = await _start_embeddings(options, stack)
    database_url = await _start_postgres(options, stack)
    phases.mark("postgres")
    await archives
    phases.mark("bundle")
    key = state.api_key(options.state)
    texts = {"API_KEY": key}
    if embeddings_url is not None:
        texts["EMBEDDINGS_URL"] = embeddings_url
    settings = _settings(options, port, key, database_url, texts)
    node = await stack.enter_async_context(
        child([str(ROOT / ".venv" / "bin" / "node"), str(ROOT / "local" / "stack.mjs")])
    )
    assert node.stdin is not None
    node.stdin.write(msgspec.json.encode(settings) + b"\n")
    await node.stdin.drain()
    if embeddings_url is not None:
        await _wait_for_port(int(embeddings_url.rpartition(":")[2].partition("/")[0]))
    phases.mark("embeddings")
    base = state.DevInfo(
        url=f"http://127.0.0.1:{port}",
        api_key=key,
        pid=os.getpid(),
        workerd_pid=0,
        control_url="",
        database_url=database_url,
        embeddings_url=embeddings_url,
    )
    await _follow(node, options.state, base, phases)


async def _follow(node: asyncio.subprocess.Process, directory: Path, base: state.DevInfo, phases: Phases) -> None:
    """Print the host's log lines and act on its events, until it ends."""
    assert node.stdout is not None
    async for line in node.stdout:
        try:
            event = msgspec.json.decode(line, type=Event)
        except msgspec.DecodeError:
            log("host_output", message=line.decode(errors="replace").rstrip())
            continue
        if not event.launcher:
            print(line.decode().rstrip(), flush=True)
        elif event.launcher == "ready":
            base = msgspec.structs.replace(base, workerd_pid=event.workerd_pid, control_url=event.control_url)
            state.write_info(directory, base)
            worker = {"runtime_ms": event.runtime_ms, "python_ms": event.python_ms}
            log("started", phases={**phases.durations_ms, **worker}, total_ms=phases.total_ms())
            print(f"ready {base.url}", flush=True)
        elif event.launcher == "workerd_restarted":
            base = msgspec.structs.replace(base, workerd_pid=event.workerd_pid)
            state.write_info(directory, base)
            log("workerd_restarted", level="warning", workerd_pid=event.workerd_pid)
        elif event.launcher == "failed":
            raise LaunchError(event.message.splitlines()[0])
        else:
            log(event.launcher)
    raise LaunchError("the Worker's host process ended by itself")


def _settings(
    options: Options, port: int, key: str, database_url: str | None, texts: dict[str, str]
) -> dict[str, object]:
    wrangler = config.read(options.config)
    if any(cron != EVERY_MINUTE for cron in wrangler.triggers.crons):
        raise LaunchError(f"the local runtime runs only the cron {EVERY_MINUTE!r}")
    exported = classes.exported(options.packages, options.main)
    classes.require(exported, options.main, wrangler.class_names())
    return {
        "port": port,
        "state": str(options.state),
        "archives": str(ROOT / "build" / "runtime"),
        "apiKey": key,
        "crons": wrangler.triggers.crons,
        "mainModule": classes.main_module(exported),
        "python": {
            "main": options.main,
            "bucket": wrangler.r2_buckets[0].binding if wrangler.r2_buckets else None,
            "compatibilityFlags": SDK_FLAGS,
        },
        "worker": config.miniflare_config(wrangler, database_url=database_url, texts=texts),
    }


async def _start_postgres(options: Options, stack: contextlib.AsyncExitStack) -> str | None:
    if not options.services:
        return None
    try:
        server = postgres.start(options.state)
    except postgres.PostgresStartError as error:
        raise LaunchError(str(error)) from error
    stack.callback(server.stop)
    # Its own event loop needs a thread without one.
    await asyncio.to_thread(migrate.migrate, server.url)
    return server.url


async def _start_embeddings(options: Options, stack: contextlib.AsyncExitStack) -> str | None:
    if not options.services:
        return None
    port = claim_port(0)
    command = [sys.executable, "-m", "local.embeddings", "--port", str(port)]
    process = await stack.enter_async_context(child(command, stop_signal=True))
    drain = asyncio.create_task(_forward(process, "embeddings"))
    stack.callback(drain.cancel)
    return f"http://127.0.0.1:{port}/v1"


async def _forward(process: asyncio.subprocess.Process, source: str) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        log("output", part=source, message=line.decode(errors="replace").rstrip())
    log("part_ended", level="error", part=source, exit_code=await process.wait())


async def _wait_for_port(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return
