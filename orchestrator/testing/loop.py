"""An asyncio event loop in virtual time: it never waits, and the same code runs in the same order every time.

Time stands still while anything can run and then jumps to the next timer, as the clock of deployed Workers moves with
I/O only (platform.md §1.6). There are no sockets, files or threads here: what waits for one of those waits for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import math
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar
from typing import TypeVar, TypeVarTuple, Unpack

from orchestrator.testing.faults import VirtualClock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
#: Whose code a task runs, inherited by the tasks it starts: what ends the owner ends them all.
OWNER: ContextVar[object] = ContextVar("owner", default=None)


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs callbacks in virtual time.

    Args:
        clock: the time, which this loop moves.
        after_turn: called after every callback: what runs between two turns runs at once (platform.md §1.3).
    """

    def __init__(self, clock: VirtualClock, after_turn: Callable[[], None]) -> None:
        self._clock = clock
        self._after_turn = after_turn
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[int, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()
        #: What callbacks raised, and nobody will hear of otherwise.
        self.failures: list[BaseException] = []
        self._tasks: dict[asyncio.Task[object], object] = {}
        self._running = False

    # -- running -----------------------------------------------------------------------------------------------------

    def run(self, done: Callable[[], bool], *, until_ms: float = math.inf) -> bool:
        """Run until ``done``, which is asked whenever time would pass; tell whether it was, before ``until_ms``.

        Raises:
            BaseException: what a callback raised.
        """
        with self._as_running():
            while True:
                self._run_ready()
                if self.failures:
                    raise self.failures.pop(0)
                if done():
                    return True
                if not self._jump(until_ms):
                    return False

    def _run_ready(self) -> None:
        while self._ready:
            handle = self._ready.popleft()
            if not handle.cancelled():
                handle._run()  # pyright: ignore[reportPrivateUsage] - a loop's own business
                self._after_turn()

    def _jump(self, until_ms: float) -> bool:
        """Go to the time of the next timer, and have it run; tell whether there is one."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if not self._timers or self._timers[0][0] > until_ms:
            if until_ms < math.inf:
                self._clock.time_ms = max(self._clock.time_ms, int(until_ms))
            return False
        self._clock.time_ms = max(self._clock.time_ms, self._timers[0][0])
        while self._timers and self._timers[0][0] <= self._clock.time_ms:
            self._ready.append(heapq.heappop(self._timers)[2])
        return True

    @contextlib.contextmanager
    def _as_running(self) -> Generator[None]:
        self._running = True
        asyncio._set_running_loop(self)  # pyright: ignore[reportPrivateUsage] - made for loops of others
        try:
            yield
        finally:
            asyncio._set_running_loop(None)  # pyright: ignore[reportPrivateUsage]
            self._running = False

    # -- asyncio's side ----------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._clock.time_ms / 1000

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """See :class:`asyncio.AbstractEventLoop`."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See :class:`asyncio.AbstractEventLoop`."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See :class:`asyncio.AbstractEventLoop`."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if math.isfinite(when):
            # Milliseconds, as the platform's timers; a little earlier than asked is never.
            heapq.heappush(self._timers, (math.ceil(when * 1000 - 1e-3), next(self._numbers), handle))
        return handle

    def create_future(self) -> asyncio.Future[object]:
        """See :class:`asyncio.AbstractEventLoop`."""
        return asyncio.Future(loop=self)

    def create_task(  # pyright: ignore[reportIncompatibleMethodOverride] - coroutines only
        self, coro: Coroutine[object, object, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        """See :class:`asyncio.AbstractEventLoop`."""
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks[task] = OWNER.get() if context is None else context.get(OWNER)
        task.add_done_callback(self._tasks.pop)
        return task

    def tasks_of(self, owner: object) -> list[asyncio.Task[object]]:
        """Return the tasks that run an owner's code, oldest first."""
        found = [task for task, of in self._tasks.items() if of is owner]
        if sys.version_info >= (3, 12):
            # Tasks that were started eagerly do not come by here.
            others = [task for task in asyncio.all_tasks(self) if task not in self._tasks]
            found += sorted((task for task in others if task.get_context().get(OWNER) is owner), key=_number)
        return found

    def close_tasks(self) -> None:
        """End everything that still runs."""
        for _ in range(100):
            left = [task for task in {**self._tasks, **dict.fromkeys(asyncio.all_tasks(self))} if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            with self._as_running():
                self._run_ready()

    def get_debug(self) -> bool:
        """See :class:`asyncio.AbstractEventLoop`."""
        return False

    def is_running(self) -> bool:
        """See :class:`asyncio.AbstractEventLoop`."""
        return self._running

    def is_closed(self) -> bool:
        """See :class:`asyncio.AbstractEventLoop`."""
        return False

    def call_exception_handler(self, context: dict[str, object]) -> None:
        """Keep what a callback raised; what a task raised is its own business."""
        error = context.get("exception")
        if isinstance(error, BaseException) and "handle" in context:
            self.failures.append(error)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Asyncio's timers tell their loop; here a cancelled one is dropped when its time comes."""


def _number(task: asyncio.Task[object]) -> tuple[int, str]:
    """Tasks are named by a counter; a longer name is a later one."""
    return len(task.get_name()), task.get_name()
