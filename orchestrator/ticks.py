"""When a job ticks: for its alarm, or at once in the call that made something due. One tick at a time.

A tick that begins at once has the alarm behind it that the call has armed: whatever ends the object leads to another
tick. Nothing but time is saved (docs/decisions/0074-first-slices.md).
"""

from __future__ import annotations

import asyncio

from orchestrator.lifecycle import ACTIVE
from orchestrator.logs import describe
from orchestrator.ports import Platform
from orchestrator.slice import StaleSliceError
from orchestrator.state import JobState
from orchestrator.tick import Ticker
from orchestrator.wakeup import Wakeup


class Ticks:
    """The ticks of one job.

    Args:
        platform: the ports.
        state: the job.
        wakeup: its alarm.
        ticker: does what is due.
    """

    def __init__(self, platform: Platform, state: JobState, wakeup: Wakeup, ticker: Ticker) -> None:
        self._platform = platform
        self._state = state
        self._wakeup = wakeup
        self._ticker = ticker
        #: What an alarm that fires during a tick waits for.
        self._ended: asyncio.Future[None] | None = None

    async def for_alarm(self) -> None:
        """Do what is due; never raises, so that the runtime never drops the alarm.

        An alarm that fires during a tick lasts as long: should the object die, the runtime runs it again.
        """
        self._wakeup.fired()
        if self._wakeup.ticking:
            self._ended = self._ended or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._ended)
        else:
            await self._tick()

    async def at_once(self) -> None:
        """Do what a call has made due, if nothing is being done already; never raises."""
        job = None if self._wakeup.ticking else self._state.load()
        if job is None or job.status not in ACTIVE or job.due_at_ms is None:
            return
        if job.due_at_ms <= self._state.now_ms():
            await self._tick()

    async def _tick(self) -> None:
        self._wakeup.ticking = True
        self._platform.meter.begin(self._state.now_ms())
        failed = idle = False
        try:
            idle = not await self._ticker.tick()
        except StaleSliceError:
            self._state.forget()
        except Exception as error:  # the platform's: storage reset, lost connection, or a bug of ours
            failed = True
            self._platform.log("error", "tick.failed", {"job_id": self._state.job_id, "error": describe(error)})
            self._state.forget()
        finally:
            self._wakeup.ticking = False
            self._platform.meter.end(self._state.now_ms())
        try:
            if failed:
                self._state.end_failed_slice()
            self._wakeup.after_tick(failed=failed, idle=idle)
        except Exception as error:
            self._platform.log("error", "rearm.failed", {"job_id": self._state.job_id, "error": describe(error)})
        finally:
            if self._ended is not None:
                self._ended.set_result(None)
                self._ended = None
