"""A deterministic world of jobs: objects with SQLite and an alarm, a queue, and time that jumps to what is due next.

The fault it makes is the one every platform makes: an object stops before any chosen write, loses what was not
durable and its memory, and comes back when its alarm fires.
"""

from __future__ import annotations

from orchestrator.admission import Tickets, waits_for_lane
from orchestrator.journal import Journal
from orchestrator.lifecycle import TERMINAL, JobStatus
from orchestrator.testing.faults import Crash, VirtualClock
from orchestrator.testing.objects import Objects
from orchestrator.testing.world_job import WorldObject

__all__ = ["Crash", "VirtualClock", "World", "WorldObject"]


class World(Objects):
    """Jobs, virtual time and faults: one alarm at a time, and calls between objects at once."""

    async def step(self, *, until_ms: int | None = None) -> bool:
        """Deliver the queue, then jump to the earliest alarm and run it; False when nothing is left to do.

        Without ``until_ms``, the deletion of ended jobs does not count: time does not go there by itself.
        """
        while self.queued:
            self.call(self.queued.pop(0), lambda engine: engine.dispatch())
        everything = [*self.objects.items(), *self.lanes.by_name.items()]
        armed = [(item.alarm_ms, name, item) for name, item in everything if item.alarm_ms is not None]
        if until_ms is None and armed and _is_kept(min(armed, key=lambda item: item[:2])[2]):
            armed = [item for item in armed if not _is_kept(item[2])]
        if not armed:
            self.clock.time_ms = max(self.clock.time_ms, until_ms or 0)
            return False
        at_ms, _, found = min(armed, key=lambda item: item[:2])
        if until_ms is not None and at_ms > until_ms:
            self.clock.time_ms = until_ms
            return False
        self.clock.time_ms = max(self.clock.time_ms, at_ms)
        self.ticks += 1
        await found.fire()
        self.lanes.check()
        return True

    async def run(self, *, max_ticks: int = 100_000, until_ms: int | None = None) -> None:
        """Run until nothing is due.

        Raises:
            AssertionError: the world is still busy after ``max_ticks``, or a job is stranded.
        """
        for _ in range(max_ticks):
            if not await self.step(until_ms=until_ms):
                break
        else:
            raise AssertionError(f"still busy after {max_ticks} ticks")
        if until_ms is None:
            self.check()

    def check(self) -> None:
        """Assert that no unfinished job is without something that will wake it (design.md §8)."""
        for item in self.objects.values():
            journal = Journal(item.sql)
            job = journal.load_job() if journal.exists() else None
            resting = job is None or job.status in TERMINAL or job.status is JobStatus.PAUSED
            for_lane = job is not None and waits_for_lane(job, Tickets(item.sql))
            if not resting and not for_lane and item.alarm_ms is None:
                raise AssertionError(f"{item.job_id} is unfinished and nothing will wake it")
        self.lanes.check_stranded()


def _is_kept(item: object) -> bool:
    return isinstance(item, WorldObject) and item.is_kept()
