"""Start the local stack: Postgres, embeddings, and the Worker in the real workerd."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine

from local import bundle, state
from local.bundle import ROOT
from local.options import Options
from local.phases import Phases
from local.services import Database, Embeddings, claim_port
from local.sources import Sources
from local.worker import Worker


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
    sources = Sources(options.config, *options.packages)
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
    worker = Worker(options, port, info, sources, phases)
    await parts.during(worker.run(built, None if embeddings is None else embeddings.wait))


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
