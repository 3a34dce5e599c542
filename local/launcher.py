"""Start the local stack: Postgres, embeddings, and the Worker in the real workerd."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from local import bundle, classes, config, state
from local.bundle import ROOT
from local.children import child
from local.logs import LaunchError, log
from local.services import Database, Embeddings, claim_port

PACKAGES = tuple(ROOT / name for name in ("orchestrator", "steps", "durable"))
#: What the SDK reads of the compatibility flags that a Python Worker of this date has.
SDK_FLAGS = {"python_workflows_implicit_dependencies": True, "python_request_headers_preserve_commas": True}


#: The one cron expression that the local runtime can fire; schedules live in the orchestrator.
EVERY_MINUTE = "* * * * *"


@dataclass(frozen=True)
class Options:
    """What to start, and where."""

    port: int
    state: Path
    config: Path = ROOT / "wrangler.toml"
    main: str = "durable.worker"
    packages: tuple[Path, ...] = PACKAGES
    services: bool = True
    #: The Worker reaches Postgres through this loopback port: a test's proxy, which drops connections.
    database_port: int | None = None
    #: The Worker's clock stands still during CPU work, as when deployed (platform.md §1.6).
    frozen_clock: bool = False


class Event(msgspec.Struct, frozen=True):
    """A line from the Worker's host process that is meant for the launcher."""

    launcher: str = ""
    workerd_pid: int = 0
    control_url: str = ""
    runtime_ms: int = 0
    python_ms: int = 0
    message: str = ""


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
    parts = Parts(stack)
    archives = asyncio.create_task(asyncio.to_thread(bundle.build, ROOT, options.packages))
    embeddings = database_url = None
    if options.services:
        embeddings = Embeddings()
        parts.add(embeddings.run())
        database = Database(options.state)
        stack.callback(database.stop)
        database_url = await database.start()
        parts.add(database.watch(database_url))
    phases.mark("postgres")
    built = await archives
    phases.mark("bundle")
    info = state.DevInfo(
        url=f"http://127.0.0.1:{port}",
        api_key=state.api_key(options.state),
        pid=os.getpid(),
        workerd_pid=0,
        control_url="",
        database_url=database_url,
        embeddings_url=embeddings.url if embeddings else None,
    )
    settings = _settings(options, port, info, built)
    command = [str(ROOT / ".venv" / "bin" / "node"), str(ROOT / "local" / "stack.mjs")]
    node = await stack.enter_async_context(child(command))
    assert node.stdin is not None
    node.stdin.write(msgspec.json.encode(settings) + b"\n")
    await node.stdin.drain()
    if embeddings is not None:
        await parts.during(embeddings.wait())
    phases.mark("embeddings")
    await parts.during(_follow(node, options.state, info, phases))


class Parts:
    """The parts that run beside the launcher; when one fails, so does what it waits for."""

    def __init__(self, stack: contextlib.AsyncExitStack) -> None:
        self._stack = stack
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, part: Coroutine[object, object, None]) -> None:
        """Run a part until the stack ends."""
        task = asyncio.create_task(part)
        self._tasks.append(task)
        self._stack.push_async_callback(_cancelled, task)

    async def during(self, work: Coroutine[object, object, None]) -> None:
        """Wait for ``work``.

        Raises:
            LaunchError: it failed, or a part did meanwhile.
        """
        task = asyncio.create_task(work)
        try:
            done, _ = await asyncio.wait([task, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
            for item in done:
                item.result()
        finally:
            await _cancelled(task)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


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


def _settings(options: Options, port: int, info: state.DevInfo, archives: bundle.Bundle) -> dict[str, object]:
    """Return what the Worker's host process has to know."""
    wrangler = config.read(options.config)
    if any(cron != EVERY_MINUTE for cron in wrangler.triggers.crons):
        raise LaunchError(f"the local runtime runs only the cron {EVERY_MINUTE!r}")
    exported = classes.exported(options.packages, options.main)
    classes.require(exported, options.main, wrangler.class_names())
    # Files to ingest may lie on this machine, and so may receivers of webhooks.
    texts = {"API_KEY": info.api_key, "OUTBOUND_ALLOW_LOOPBACK": "1"}
    if info.embeddings_url is not None:
        texts["EMBEDDINGS_URL"] = info.embeddings_url
        texts["VECTOR_STORE_DEFAULT"] = "pgvector"
    return {
        "port": port,
        "state": str(options.state),
        "archives": {
            "stdlib": str(archives.stdlib),
            "library": str(archives.library),
            "files": str(archives.files),
        },
        "apiKey": info.api_key,
        "crons": wrangler.triggers.crons,
        "mainModule": classes.main_module(exported),
        "python": {
            "main": options.main,
            "bucket": wrangler.r2_buckets[0].binding if wrangler.r2_buckets else None,
            "compatibilityFlags": SDK_FLAGS,
            "frozenClock": options.frozen_clock,
        },
        "worker": config.miniflare_config(wrangler, database_url=_worker_database(options, info), texts=texts),
    }


def _worker_database(options: Options, info: state.DevInfo) -> str | None:
    if info.database_url is None or options.database_port is None:
        return info.database_url
    parts = urlsplit(info.database_url)
    login = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{login}@127.0.0.1:{options.database_port}").geturl()
