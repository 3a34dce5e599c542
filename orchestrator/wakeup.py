"""The alarm of one object, always derived from what it has stored (design.md §4.4 rules 3 to 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from orchestrator.limits import ALARM_LEAD_MS, ALARM_LOST_MS, TICK_RETRY_MAX_MS, TICK_RETRY_MS
from orchestrator.ports import Alarm, Clock


class AlarmPlatform(Protocol):
    """The ports an alarm needs."""

    @property
    def clock(self) -> Clock:
        """The wall clock."""
        ...

    @property
    def alarm(self) -> Alarm:
        """The object's alarm."""
        ...


class WakeupPlatform(AlarmPlatform, Protocol):
    """The ports of an object whose alarm is derived from what is due."""

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Write one structured log line."""
        ...


class DueSource(Protocol):
    """What an alarm is derived from."""

    @property
    def job_id(self) -> str | None:
        """Whose alarm it is, for log lines."""
        ...

    def next_due_ms(self) -> int | None:
        """Return when the object needs its next tick, or None."""
        ...


class Armed:
    """What an object knows of its own alarm, which may be less than its memory believes.

    Args:
        platform: the ports.
    """

    def __init__(self, platform: AlarmPlatform) -> None:
        self._platform = platform
        #: What the alarm is set to, as far as this copy of the object knows.
        self.at_ms: int | None = None
        self._is_known = False

    @property
    def is_lost(self) -> bool:
        """Whether it should have fired long ago."""
        return self.at_ms is not None and self.at_ms < self._platform.clock.now_ms() - ALARM_LOST_MS

    def set(self, at_ms: int) -> None:
        """Arm the alarm."""
        self._platform.alarm.set(at_ms)
        self.note(at_ms)

    def clear(self) -> None:
        """Disarm the alarm."""
        self._platform.alarm.clear()
        self.note(None)

    def note(self, at_ms: int | None) -> None:
        """Take note of what the alarm is set to."""
        self.at_ms = at_ms
        self._is_known = True

    async def look(self) -> None:
        """Ask the platform what the alarm is set to, and take it back if it was given up.

        The platform gives up alarms whose handlers fail. It forgets to tell an object that loses writes with each
        death, and there no other alarm fires before the old one is durably gone
        (docs/decisions/0076-alarms-that-are-given-up.md). A death in between leaves no alarm and the object as late as
        it was, so that whoever has looked looks again. An alarm that is known and in the future costs nothing.
        """
        if self._is_known and (self.at_ms is None or self.at_ms > self._platform.clock.now_ms()):
            return
        self._is_known = False
        found_ms = await self._platform.alarm.get()
        if self._is_known:
            return  # it was set, or has fired, meanwhile
        self.note(found_ms)
        if self.is_lost:
            self.note(None)
            await self._platform.alarm.take_back()


class Wakeup:
    """Arms the alarm for the earliest due row.

    Args:
        platform: the ports.
        state: what the alarm is derived from.
    """

    def __init__(self, platform: WakeupPlatform, state: DueSource) -> None:
        self._platform = platform
        self._state = state
        self._armed = Armed(platform)
        self._fired_ms = 0
        self._failed_ticks = 0
        #: Whether a tick runs: its watchdog stands until it ends and re-arms.
        self.ticking = False

    def fired(self) -> None:
        """Take note that the alarm has fired."""
        self._fired_ms = max(self._fired_ms, self._armed.at_ms or 0)
        self._armed.note(None)

    def watchdog(self, at_ms: int) -> None:
        """Arm the dead man's switch of a slice."""
        self._armed.set(at_ms)

    def forget(self) -> None:
        """Take note that the object's storage goes, its alarm included."""
        self._armed.note(None)

    async def look(self) -> None:
        """Learn what the alarm is really set to; whoever looks after an object calls this, and has it re-armed then."""
        if not self.ticking:
            await self._armed.look()

    def rearm(self, *, ended: bool = False) -> None:
        """Arm the alarm for the earliest due row; ``ended`` at the end of a tick, whose watchdog may be the past."""
        if self.ticking:
            return
        due_ms = self._state.next_due_ms()
        if due_ms is None:
            if self._armed.at_ms is not None:
                self._armed.clear()
        elif ended or not self._stands(due_ms):
            self._arm(due_ms)

    def after_tick(self, *, failed: bool, idle: bool) -> None:
        """Arm the alarm at the end of a tick: later and later while ticks fail, never at once when one did nothing."""
        now_ms = self._platform.clock.now_ms()
        self._failed_ticks = self._failed_ticks + 1 if failed else 0
        due_ms = self._state.next_due_ms()
        if failed:
            self._arm(now_ms + min(TICK_RETRY_MAX_MS, TICK_RETRY_MS * 2 ** min(self._failed_ticks - 1, 10)))
        elif idle and due_ms is not None and due_ms <= now_ms:
            # Something is due that no tick acts on: a bug, and it must not become a hot loop.
            self._platform.log("error", "tick.idle", {"job_id": self._state.job_id})
            self._arm(now_ms + TICK_RETRY_MAX_MS)
        else:
            self.rearm(ended=True)

    def _stands(self, due_ms: int) -> bool:
        """Tell whether the alarm is set for what is due, and is not lost.

        One that comes as soon as can be is left as it is: setting it again would put it off (design.md §4.4 rule 4).
        """
        armed_ms, now_ms = self._armed.at_ms, self._platform.clock.now_ms()
        if armed_ms is None or self._armed.is_lost:
            return False
        return due_ms <= max(armed_ms, now_ms) and armed_ms <= self._earliest_ms(due_ms)

    def _arm(self, due_ms: int) -> None:
        at_ms = self._earliest_ms(due_ms)
        armed_ms = self._armed.at_ms
        if armed_ms is not None and max(due_ms, self._platform.clock.now_ms() + 1) <= armed_ms < at_ms:
            return  # it comes sooner than it could be set for now
        if at_ms != armed_ms:
            self._armed.set(at_ms)

    def _earliest_ms(self, due_ms: int) -> int:
        # workerd drops an alarm set inside alarm() for now or for the time being run.
        return max(due_ms, self._platform.clock.now_ms() + ALARM_LEAD_MS, self._fired_ms + 1)
