"""Many calls at once, and yet a few at a time: a request has so many connections (platform.md §1.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

#: Jobs that one request of a caller is about.
AT_ONCE = 20

T = TypeVar("T")
R = TypeVar("R")


async def in_turns(items: Iterable[T], act: Callable[[T], Awaitable[R]], *, at_once: int = AT_ONCE) -> list[R]:
    """Return what ``act`` makes of each item, in order, with no more than ``at_once`` of them under way."""
    turn = asyncio.Semaphore(at_once)

    async def one(item: T) -> R:
        async with turn:
            return await act(item)

    return await asyncio.gather(*(one(item) for item in items))
