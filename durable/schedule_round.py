"""What the platform's tick does for schedules: the code's come into being, and lost alarms are mended.

The alarms do the work; a tick that is missed, late or doubled changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

from durable.schedule_index import Round, RoundQuery
from orchestrator.errors import UnknownScheduleError
from orchestrator.logs import describe
from orchestrator.ports import Clock
from orchestrator.schedule import Schedule
from orchestrator.schedule_model import ScheduleView

CONCURRENCY = 10


class RoundPort(Protocol):
    """What a round does to the outside."""

    async def round(self, query: RoundQuery) -> Round:
        """Return what is to be done."""
        ...

    async def declare(self, schedule: Schedule) -> None:
        """Record a schedule of the code, or bring it up to date."""
        ...

    async def retire(self, schedule_id: str) -> None:
        """Stop a schedule that the code no longer declares."""
        ...

    async def view(self, schedule_id: str) -> ScheduleView:
        """Look at a schedule, which makes its object arm its alarm again."""
        ...

    async def forget(self, schedule_id: str) -> None:
        """Take a schedule off the list."""
        ...

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Write one structured log line."""
        ...


async def go_round(port: RoundPort, clock: Clock, declared: Sequence[Schedule]) -> None:
    """Look after the schedules. Never raises: the next tick comes in a minute.

    Args:
        port: the schedules.
        clock: the wall clock.
        declared: the schedules of the code.
    """
    by_id = {schedule.id: schedule for schedule in declared}
    fingerprints = {name: schedule.fingerprint() for name, schedule in by_id.items()}
    try:
        found = await port.round(RoundQuery(now_ms=clock.now_ms(), declared=fingerprints))
    except Exception as error:
        port.log("error", "schedules.round_failed", {"error": describe(error)})
        return
    turn = asyncio.Semaphore(CONCURRENCY)

    async def one(schedule_id: str, call: Awaitable[object]) -> None:
        async with turn:
            try:
                await call
            except Exception as error:
                port.log("error", "schedules.round_failed", {"schedule": schedule_id, "error": describe(error)})

    await asyncio.gather(
        *(one(name, port.declare(by_id[name])) for name in found.declare),
        *(one(name, port.retire(name)) for name in found.retire),
        *(one(name, _look_after(port, name)) for name in found.late),
    )
    if found.declare or found.retire or found.late:
        counts = {"declared": len(found.declare), "retired": len(found.retire), "late": len(found.late)}
        port.log("info", "schedules.round", counts)


async def _look_after(port: RoundPort, schedule_id: str) -> None:
    try:
        await port.view(schedule_id)
    except UnknownScheduleError:
        await port.forget(schedule_id)
