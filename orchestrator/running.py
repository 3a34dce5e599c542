"""Attempts under way, and their tasks."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine

import msgspec

from orchestrator.driver import AnyOp


class Running(msgspec.Struct):
    """An attempt under way."""

    key: str
    op: AnyOp
    began_ms: int
    #: None until its task has come to its first wait, which most never do.
    task: asyncio.Task[None] | None = None


def start_task(work: Coroutine[object, object, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
    """Start a task; where Python allows (3.12), run it at once up to its first wait, which most steps never reach."""
    if sys.version_info >= (3, 12):
        return asyncio.Task(work, loop=loop, eager_start=True)
    return loop.create_task(work)


def cancel(running: Running) -> asyncio.Task[None] | None:
    """Cancel an attempt; return its task, which nobody need wait for."""
    task = running.task
    if task is not None:
        task.cancel()
        task.add_done_callback(_forget)
    return task


def _forget(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
