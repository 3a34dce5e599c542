"""Child processes that never outlive the launcher."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import signal
import sys
from collections.abc import AsyncGenerator, Sequence

PR_SET_PDEATHSIG = 1
#: How long a child may take to end by itself before it is killed.
STOP_TIMEOUT_S = 5.0
#: A log line of the Worker may carry a long text.
MAX_LINE_BYTES = 16 * 1024 * 1024


def end_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends; elsewhere a child notices its closed standard input."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.asynccontextmanager
async def child(command: Sequence[str], *, stop_signal: bool = False) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run a program for the length of the block, its input and output as pipes, in a session of its own.

    At the end of the block its input is closed, and it gets SIGTERM too if ``stop_signal`` says so; a program that
    does not end then is killed.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=MAX_LINE_BYTES,
        start_new_session=True,
        preexec_fn=end_with_parent,
    )
    try:
        yield process
    finally:
        await asyncio.shield(_stop(process, stop_signal=stop_signal))


async def _stop(process: asyncio.subprocess.Process, *, stop_signal: bool) -> None:
    if process.stdin is not None:
        process.stdin.close()
    if stop_signal:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
