"""JavaScript's timers, taken back when they are not needed any more."""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Callable, Sequence
from typing import Any

import js
from pyodide.ffi import create_once_callable
from pyodide.webloop import WebLoop

_JsAny = Any  # the JavaScript side has no types here
#: Up to here Pyodide's loop takes no timer, but a message to itself.
_NO_TIMER_S = 0.002
#: The largest delay of a JavaScript timer, which is a signed 32-bit number.
_TIMER_MS_MAX = 2**31 - 1
_call_later = WebLoop.call_later


def take_back_cancelled_timers() -> None:
    """Have the event loop clear the JavaScript timer of a cancelled handle. Idempotent.

    Pyodide's loop lets it run out instead. A Durable Object stays in memory, and is billed, while a timer of its is
    set: after a slice it would stay for the longest timeout that some step or driver had, five minutes by default.
    """
    WebLoop.call_later = _call_later_clearable


class Timer:
    """A JavaScript timer that calls back once, unless it is cleared before."""

    def __init__(self, delay_ms: float, callback: Callable[[], object]) -> None:
        self._callback: Callable[[], object] | None = callback
        self._proxy: _JsAny = create_once_callable(self._fire)
        self._id: _JsAny = js.setTimeout(self._proxy, min(delay_ms, _TIMER_MS_MAX))

    def clear(self) -> None:
        """Take the timer back; do nothing when it has fired."""
        if self._proxy is not None:
            js.clearTimeout(self._id)
            self._proxy.destroy()
            self._proxy = self._callback = None

    def _fire(self) -> None:
        callback, self._proxy, self._callback = self._callback, None, None
        if callback is not None:
            callback()


class _TimerHandle(asyncio.Handle):
    """What ``call_later`` returns: cancelling it clears its timer."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        delay_s: float,
        callback: Callable[..., object],
        args: Sequence[object],
        context: contextvars.Context | None,
    ) -> None:
        super().__init__(callback, args, loop, context)
        # The loop's own way of running a callback sets up what it needs before, and reports what it raises.
        self._timer = Timer(delay_s * 1000, lambda: _call_later(loop, 0, self._run_unless_cancelled))

    def cancel(self) -> None:
        """Cancel the callback."""
        self._timer.clear()
        super().cancel()

    def _run_unless_cancelled(self) -> None:
        if not self.cancelled():
            self._run()


def _call_later_clearable(
    loop: asyncio.AbstractEventLoop,
    delay: float,
    callback: Callable[..., object],
    *args: object,
    context: contextvars.Context | None = None,
) -> asyncio.Handle:
    if delay <= _NO_TIMER_S or delay == math.inf:
        return _call_later(loop, delay, callback, *args, context=context)
    return _TimerHandle(loop, delay, callback, args, context)
