"""The alarms of a simulation: at least once, with retries that end, as the platform runs them (platform.md §1.4)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.testing.host import Copy, Host
from orchestrator.testing.objects import ALARM_RETRY_MS
from orchestrator.testing.world_job import WorldObject

if TYPE_CHECKING:
    from orchestrator.testing.simulation import Simulation

#: Retries of an alarm whose handler fails, before the platform forgets it without a word.
MAX_RETRIES = 6
#: An alarm is this late at most, when it is; and this early.
LATE_MS, EARLY_MS = 60_000, 50


class _Armed:
    """What the platform knows of one object's alarm."""

    def __init__(self) -> None:
        self.at_ms: int | None = None
        self.timer: asyncio.TimerHandle | None = None
        #: The alarm whose handler failed, how often, and when the platform tries again.
        self.failed_ms: int | None = None
        self.failures = 0
        self.not_before_ms = 0
        #: The copy whose handler runs.
        self.running: Copy | None = None
        #: The platform has given the alarm up and the object has not heard of it: none fires until the object has
        #: durably taken back the one that it believes in (decisions/0076-alarms-that-are-given-up.md).
        self.stuck = False


class Alarms:
    """Fires the alarms of every object.

    Args:
        simulation: whose objects.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._armed: dict[str, _Armed] = {}
        #: Objects whose alarm the platform has lost: only somebody outside can wake them.
        self.lost: set[str] = set()
        #: Jobs whose messages got lost in a way that the platform does not know: their alarms last until the catalog
        #: has heard of them.
        self.kept: set[str] = set()
        #: Whether the death that is under way counts as a failure of the handler.
        self.counted = True

    def running(self, host: Host) -> bool:
        """Tell whether an object's alarm handler runs in its present copy."""
        return self._of(host).running is host.copy

    def durable(self, host: Host) -> None:
        """Take note that an object's alarm is durable as it is."""
        if host.alarm_ms is not None and not self._of(host).stuck:
            self.lost.discard(host.name)

    def arm(self, host: Host) -> None:
        """Have an object's alarm fire at the time it is set to."""
        armed = self._of(host)
        armed.stuck = armed.stuck and host.durable_alarm_ms is not None
        if armed.stuck or host.alarm_ms == armed.at_ms or self.running(host):
            return
        if armed.timer is not None:
            armed.timer.cancel()
        armed.at_ms, armed.timer = host.alarm_ms, None
        if armed.at_ms != armed.failed_ms:
            armed.failures = armed.not_before_ms = 0  # an alarm that was set since is another one
        if armed.at_ms is not None:
            at_ms = max(armed.at_ms + self._off_ms(host), armed.not_before_ms, self._simulation.clock.time_ms)
            loop = self._simulation.loop
            armed.timer = loop.call_at(at_ms / 1000, partial(self._fire, host))

    def failed(self, host: Host) -> None:
        """Have an alarm run again whose handler did not end, later and later, and at last never."""
        armed, plan = self._of(host), self._simulation.plan
        armed.failures += self.counted
        armed.at_ms, armed.failed_ms = None, host.alarm_ms  # the same time is armed anew
        if armed.failures > MAX_RETRIES and not self._is_unlisted(host):
            self.give_up(host, believed=host.lost_writes)
            return
        jitter = 1 + plan.draw("backoff", host.name, host.fired) / 4
        backoff_ms = ALARM_RETRY_MS * 2 ** max(0, armed.failures - 1) * jitter
        armed.not_before_ms = self._simulation.clock.time_ms + round(backoff_ms)

    def _fire(self, host: Host) -> None:
        armed, plan = self._of(host), self._simulation.plan
        armed.timer, armed.at_ms = None, None
        if not self._is_unlisted(host) and plan.strikes("alarm_dropped", host.name):
            self.give_up(host, believed=plan.draw("believed", host.name, host.fired) < 0.5)
        elif plan.strikes("alarm_failed", host.name):
            self.counted = True
            self.failed(host)
            self.arm(host)
        else:
            armed.not_before_ms = 0
            host.begin_alarm()
            self._run(host)

    def _run(self, host: Host) -> None:
        self._simulation.ticks += 1
        if self._simulation.ticks > self._simulation.most_ticks:
            raise AssertionError(f"more than {self._simulation.most_ticks} alarms, the last of {host.name}")
        armed = self._of(host)
        armed.running = host.copy
        task = self._simulation.spawn(host.tick(), owner=host.copy)
        task.add_done_callback(partial(self._ended, host, host.copy))

    def _ended(self, host: Host, copy: Copy, task: asyncio.Task[None]) -> None:
        simulation, armed = self._simulation, self._of(host)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if armed.running is copy:
            armed.running = None
        if host.copy is not copy:
            return
        if isinstance(error, Exception):
            simulation.loop.failures.append(error)  # an alarm's handler never raises
        if error is not None:
            simulation.kill(host)
            return
        armed.failed_ms, armed.failures = None, 0
        again = host.running_ms if host.alarm_ms is None and simulation.plan.strikes("alarm_twice", host.name) else None
        host.end_alarm()
        simulation.make_durable(host)
        if again is not None:
            host.retry_alarm(again)  # the platform does not know that the handler has ended
        simulation.touched(host)

    def _is_unlisted(self, host: Host) -> bool:
        """Tell whether nobody is left who would ask for a job, because of other faults (docs/testing.md).

        Either it has ended, and told its parent and not the catalog: it is done, and not listed. Or it is being
        deleted, and the catalog has forgotten it. Or the local runtime has restarted and forgotten its message,
        which queues of the platform never do.
        """
        if not isinstance(host, WorldObject) or not host.journal.exists():
            return False
        job = host.journal.load_job()
        child = job is not None and job.parent is not None and job.finished_at_ms is not None
        deleted = job is not None and job.phase == "deleted"
        alone = child or deleted or host.name in self.kept
        return alone and self._simulation.backstage.status(host.name) is None

    def give_up(self, host: Host, *, believed: bool) -> None:
        """Give an alarm up; an object that has lost writes with its last death goes on believing in it."""
        self._of(host).stuck = believed
        if not believed:
            host.retry_alarm(None)
        self.lost.add(host.name)
        self._simulation.touched(host)

    def _off_ms(self, host: Host) -> int:
        plan = self._simulation.plan
        if plan.strikes("alarm_late", host.name):
            return round(LATE_MS * plan.draw("late", host.name, host.fired) ** 2)
        if plan.strikes("alarm_early", host.name):
            return -round(EARLY_MS * plan.draw("early", host.name, host.fired))
        return round(3 * plan.draw("on time", host.name, host.fired))

    def _of(self, host: Host) -> _Armed:
        return self._armed.setdefault(host.name, _Armed())
