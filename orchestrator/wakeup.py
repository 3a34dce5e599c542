"""The alarm of one object, always derived from what it has stored (design.md §4.4 rules 3 to 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from orchestrator.limits import ALARM_LEAD_MS, ALARM_LOST_MS, TICK_RETRY_MAX_MS, TICK_RETRY_MS
from orchestrator.ports import Alarm, Clock


class WakeupPlatform(Protocol):
    """The ports an alarm needs."""

    @property
    def clock(self) -> Clock:
        """The wall clock."""
        ...

    @property
    def alarm(self) -> Alarm:
        """The object's alarm."""
        ...

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


class Wakeup:
    """Arms the alarm for the earliest due row.

    Args:
        platform: the ports.
        state: what the alarm is derived from.
    """

    def __init__(self, platform: WakeupPlatform, state: DueSource) -> None:
        self._platform = platform
        self._state = state
        #: What the alarm is set to, as far as this incarnation knows.
        self._armed_ms: int | None = None
        self._fired_ms = 0
        self._failed_ticks = 0
        #: Whether a tick runs: its watchdog stands until it ends and re-arms.
        self.ticking = False

    def fired(self) -> None:
        """Take note that the alarm has fired."""
        self._fired_ms = max(self._fired_ms, self._armed_ms or 0)
        self._armed_ms = None

    def watchdog(self, at_ms: int) -> None:
        """Arm the dead man's switch of a slice."""
        self._platform.alarm.set(at_ms)
        self._armed_ms = at_ms

    def forget(self) -> None:
        """Take note that the object's storage goes, its alarm included."""
        self._armed_ms = None

    def rearm(self, *, force: bool = False) -> None:
        """Arm the alarm for the earliest due row; ``force`` when the object's memory may be newer than its alarm."""
        if self.ticking:
            return
        due_ms = self._state.next_due_ms()
        if due_ms is None:
            if self._armed_ms is not None:
                self._platform.alarm.clear()
                self._armed_ms = None
        elif force or not self._stands(due_ms):
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
            self.rearm()

    def _stands(self, due_ms: int) -> bool:
        """Tell whether the alarm is set for what is due, and is not lost.

        One that comes as soon as can be is left as it is: setting it again would put it off (design.md §4.4 rule 4).
        """
        armed_ms = self._armed_ms
        if armed_ms is None or armed_ms < self._platform.clock.now_ms() - ALARM_LOST_MS:
            return False
        return due_ms <= armed_ms <= self._earliest_ms(due_ms)

    def _arm(self, due_ms: int) -> None:
        at_ms = self._earliest_ms(due_ms)
        if self._armed_ms is not None and max(due_ms, self._platform.clock.now_ms() + 1) <= self._armed_ms < at_ms:
            return  # it comes sooner than it could be set for now
        if at_ms != self._armed_ms:
            self._platform.alarm.set(at_ms)
            self._armed_ms = at_ms

    def _earliest_ms(self, due_ms: int) -> int:
        # workerd drops an alarm set inside alarm() for now or for the time being run.
        return max(due_ms, self._platform.clock.now_ms() + ALARM_LEAD_MS, self._fired_ms + 1)
