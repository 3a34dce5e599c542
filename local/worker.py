"""The Worker's host process: what it is told, what it says, and how it gets new code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import NoReturn

import msgspec

from local import bundle, state
from local.bundle import ROOT, BundleError
from local.children import child
from local.classes import ExportError
from local.logs import LaunchError, complain, log, say, show
from local.options import Options
from local.phases import Phases
from local.settings import settings
from local.sources import Sources

COMMAND = (str(ROOT / ".venv" / "bin" / "node"), str(ROOT / "local" / "stack.mjs"))

Services = Callable[[], Coroutine[object, object, None]]


class Event(msgspec.Struct, frozen=True):
    """A line from the Worker's host process that is meant for the launcher."""

    launcher: str = ""
    workerd_pid: int = 0
    control_url: str = ""
    runtime_ms: int = 0
    python_ms: int = 0
    message: str = ""


class Worker:
    """The Worker, in one host process after the other.

    Args:
        options: what was asked for.
        port: where it listens.
        info: how to reach the stack; completed and published when the Worker is ready.
        sources: what it is made of.
        phases: how long the parts of this start took.
    """

    def __init__(self, options: Options, port: int, info: state.DevInfo, sources: Sources, phases: Phases) -> None:
        self._options = options
        self._port = port
        self._info = info
        self._sources = sources
        self._phases = phases
        #: How often it began; the first time everything has to be right.
        self._starts = 0
        self._ready = False

    async def run(
        self, built: bundle.Bundle, services: Callable[[], Coroutine[object, object, None]] | None
    ) -> NoReturn:
        """Run until the host process ends by itself; with ``reload``, begin again whenever the sources change.

        Args:
            built: the archives to begin with.
            services: returns when what the Worker needs is there.

        Raises:
            LaunchError: it does not start, or has ended.
        """
        while True:
            told = settings(self._options, self._port, self._info, built)
            self._starts += 1
            self._ready = False
            async with child(COMMAND) as node:
                assert node.stdin is not None
                node.stdin.write(msgspec.json.encode(told) + b"\n")
                await node.stdin.drain()
                if services is not None:
                    await services()
                    services = None
                    self._phases.mark("embeddings")
                follow = asyncio.create_task(self._follow(node))
                try:
                    built = await (self._edited(built, follow) if self._options.reload else follow)
                finally:
                    follow.cancel()
            self._phases = Phases()

    async def _edited(self, running: bundle.Bundle, follow: asyncio.Task[NoReturn]) -> bundle.Bundle:
        """Wait for archives other than those that run, and good enough to begin with.

        Raises:
            LaunchError: the first start failed, or the host process ended by itself.
        """
        stamp = running.stamp()
        while True:
            await self._changed_while(follow)
            try:
                built = await asyncio.to_thread(bundle.build, ROOT, self._options.packages)
                settings(self._options, self._port, self._info, built)
            except (BundleError, ExportError, LaunchError) as error:
                complain(str(error))
                continue
            if built.stamp() != stamp:
                log("reloading")
                return built

    async def _changed_while(self, follow: asyncio.Task[NoReturn]) -> None:
        """Wait for an edit; new code that does not start can be mended by one, so its end is only told."""
        edit = asyncio.create_task(self._sources.changed())
        try:
            await asyncio.wait([edit, follow], return_when=asyncio.FIRST_COMPLETED)
            if follow.done() and (self._starts == 1 or self._ready):
                follow.result()
            await edit
        finally:
            edit.cancel()

    async def _follow(self, node: asyncio.subprocess.Process) -> NoReturn:
        """Print the host's log lines and act on its events, until it ends.

        Raises:
            LaunchError: always, in the end.
        """
        assert node.stdout is not None
        async for line in node.stdout:
            try:
                event = msgspec.json.decode(line, type=Event)
            except msgspec.DecodeError:
                log("host_output", message=line.decode(errors="replace").rstrip())
                continue
            if event.launcher:
                self._act_on(event)
            else:
                show(line)
        raise LaunchError("the Worker's host process ended by itself")

    def _act_on(self, event: Event) -> None:
        if event.launcher == "ready":
            self._ready = True
            self._publish(workerd_pid=event.workerd_pid, control_url=event.control_url)
            worker = {"runtime_ms": event.runtime_ms, "python_ms": event.python_ms}
            log("started", phases={**self._phases.durations_ms, **worker}, total_ms=self._phases.total_ms())
            say(f"ready {self._info.url}", again=self._starts > 1)
        elif event.launcher == "workerd_restarted":
            self._publish(workerd_pid=event.workerd_pid)
            log("workerd_restarted", level="warning", workerd_pid=event.workerd_pid)
        elif event.launcher == "failed":
            told = event.message.splitlines()[0]
            if self._starts > 1:
                complain(told)
            raise LaunchError(told)
        else:
            log(event.launcher)

    def _publish(self, **changes: object) -> None:
        self._info = msgspec.structs.replace(self._info, **changes)
        state.write_info(self._options.state, self._info)
