"""What must hold after everything that happens in a simulation (design.md §8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from orchestrator.admission import Tickets, waits_for_lane
from orchestrator.journal import Journal
from orchestrator.lifecycle import TERMINAL, JobStatus, StepStatus
from orchestrator.limits import MAX_SLICE_CRASHES, MAX_STEP_CRASHES, TICK_RETRY_MAX_MS, WATCHDOG_MS
from orchestrator.model import JobRow, StepRow
from orchestrator.state import RETENTION
from orchestrator.testing.host import Host
from orchestrator.testing.world_job import WorldObject
from orchestrator.testing.world_lane import WorldLane

if TYPE_CHECKING:
    from orchestrator.testing.simulation import Simulation

#: An alarm is never further behind what is due than the longest wait after a failed tick.
_SLACK_MS = TICK_RETRY_MAX_MS + WATCHDOG_MS
#: A job that is to be deleted within this time is waited for.
_SOON_MS = 3_600_000
#: Steps that run author code once; loops and fan-outs begin again with every batch.
_ONCE = frozenset({"step", "transaction"})


class InvariantError(AssertionError):
    """Something happened that must never happen."""


class _Known(msgspec.Struct):
    """What was seen of a job last."""

    generation: int = -1
    epoch: int = 0
    revision: int = 0
    end: tuple[object, ...] | None = None
    #: Attempt and, once it has ended, status and value, by step.
    steps: dict[str, tuple[int, object]] = {}
    #: See :meth:`Watch.blame`.
    blame: float = 0.0


class Watch:
    """Checks objects after each group of writes.

    Args:
        simulation: whose objects.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._known: dict[str, _Known] = {}
        self._unrest: dict[str, str] = {}
        #: The epochs in which jobs were seen.
        self._begun: dict[str, int] = {}
        self._ends: dict[str, tuple[JobStatus, bytes | None, bytes | None]] = {}

    def unrest(self) -> list[str]:
        """Return what has not come to rest yet, in words."""
        restless = [f"{name} {why}" for name, why in self._unrest.items()]
        return restless or self._disagreement()

    def _disagreement(self) -> list[str]:
        """Return the ended jobs of whose end the catalog has not heard yet."""
        catalog = self._simulation.backstage
        found: list[str] = catalog.unrest()
        for name, known in self._known.items():
            if known.end is not None and catalog.status(name) != known.end[0]:
                found.append(f"{name} is {known.end[0]} and the catalog believes {catalog.status(name)}")
        return found

    def end_of(self, job_id: str) -> tuple[JobStatus, bytes | None, bytes | None]:
        """Return how a job ended, though it may have been deleted since: its status, result and error as stored.

        Raises:
            InvariantError: it has not ended.
        """
        if job_id not in self._ends:
            raise InvariantError(f"{job_id} has not ended")
        return self._ends[job_id]

    def check(self, host: Host) -> None:
        """Check an object that has written.

        Raises:
            InvariantError: something must never happen, and did.
        """
        why: str | None = None
        self._check_alarm(host)
        if isinstance(host, WorldObject):
            why = self._check_job(host)
        elif isinstance(host, WorldLane):
            self._simulation.lanes.check_limits(host)
            permits = host.sql.execute("select count(*) from sqlite_master where name = 'permit'")[0][0]
            if permits and host.sql.execute("select 1 from permit limit 1"):
                why = "has permits out"
        if why is None:
            self._unrest.pop(host.name, None)
        else:
            self._unrest[host.name] = why

    def note(self, host: Host) -> None:
        """Take note of what is durable now: it can never be otherwise again.

        Raises:
            InvariantError: it was otherwise.
        """
        if not isinstance(host, WorldObject):
            return
        journal = host.journal
        job = journal.load_job() if journal.exists() else None
        if job is None:
            self._known.pop(host.name, None)
            return
        known = self._known.setdefault(host.name, _Known())
        if job.generation != known.generation or job.phase == "deleted":
            self._known[host.name] = known = _Known(job.generation)
        steps = journal.steps()
        self._check_order(host, job, known)
        self._check_steps(host, job, steps, known)
        known.blame = _blame(job, steps)

    def blame(self, host: Host) -> float:
        """Return how near a job is to being blamed for the deaths of its slices: from 1 on, one more might do it."""
        if not isinstance(host, WorldObject) or not host.journal.exists():
            return 0.0
        job = host.journal.load_job()
        now = 0.0 if job is None else _blame(job, host.journal.open_steps())
        known = self._known.get(host.name)
        return max(now, 0.0 if known is None else known.blame)

    # -- jobs --------------------------------------------------------------------------------------------------------

    def _check_job(self, host: WorldObject) -> str | None:
        journal = host.journal
        job = journal.load_job() if journal.exists() else None
        if job is None:
            return None
        self._check_wakeup(host, job, journal)
        if job.status not in TERMINAL:
            return f"is {job.status}"
        if journal.outbox.next_owed_ms() is not None:
            return "has still to say something"
        goes_ms = journal.due_ms(RETENTION)
        soon = goes_ms is not None and goes_ms < self._simulation.clock.now_ms() + _SOON_MS
        return "is to be deleted" if soon else None

    def _check_order(self, host: WorldObject, job: JobRow, known: _Known) -> None:
        if job.epoch < known.epoch or job.revision < known.revision:
            raise InvariantError(f"{host.name}: epoch or revision fell")
        known.epoch, known.revision = job.epoch, job.revision
        if known.end is not None and known.end[0] != job.status:
            raise InvariantError(f"{host.name} had ended {known.end[0]} and is {job.status} now")
        if job.status in TERMINAL and job.phase != "deleted":
            end = (job.status, job.result, job.error)
            if known.end is not None and known.end != end:
                raise InvariantError(f"{host.name} ended twice: {known.end} and {end}")
            known.end = end
            self._ends[host.name] = end
            if job.slice_open or job.due_at_ms is not None:
                raise InvariantError(f"{host.name} has ended and is still due")

    def _check_steps(self, host: WorldObject, job: JobRow, steps: list[StepRow], known: _Known) -> None:
        seen: dict[str, tuple[int, object]] = {}
        for row in steps:
            ended = (row.status, row.value) if row.status in {StepStatus.COMPLETED, StepStatus.FAILED} else None
            attempt, before = known.steps.get(row.key, (0, None))
            paused = job.status is JobStatus.PAUSED or attempt == 0
            if row.kind in _ONCE and row.attempt < attempt and not paused and row.attempt != 1:
                raise InvariantError(f"{host.name}: the attempts of {row.key} fell from {attempt} to {row.attempt}")
            if before is not None and ended != before and row.kind not in {"token", "start"}:
                raise InvariantError(f"{host.name}: {row.key} had ended as {before} and is {ended} now")
            seen[row.key] = (row.attempt, ended)
        gone = [key for key, (_, ended) in known.steps.items() if ended is not None and key not in seen]
        if gone:
            raise InvariantError(f"{host.name} forgot finished steps: {gone}")
        known.steps = seen

    def _check_alarm(self, host: Host) -> None:
        alarms, due_ms = self._simulation.alarms, host.next_due_ms()
        if due_ms is not None and host.alarm_ms is None and not alarms.running(host) and host.name not in alarms.lost:
            raise InvariantError(f"{host.name} is due at {due_ms}, and nothing will wake it")

    def _check_wakeup(self, host: WorldObject, job: JobRow, journal: Journal) -> None:
        alarms, now_ms = self._simulation.alarms, self._simulation.clock.now_ms()
        begins = job.slice_open and job.epoch > self._begun.get(host.name, 0)
        self._begun[host.name] = job.epoch
        if host.name in alarms.lost:
            return
        if alarms.running(host):
            if begins and (host.alarm_ms is None or host.alarm_ms < (job.due_at_ms or 0)):
                raise InvariantError(f"{host.name} is at work without a watchdog: it would not come back from a death")
            return
        paused = job.status is JobStatus.PAUSED
        for_lane = not paused and waits_for_lane(job, Tickets(host.sql))
        due_ms = (
            journal.outbox.next_due_ms() if paused else journal.next_own_ms() if for_lane else journal.next_due_ms()
        )
        if due_ms is not None:
            if host.alarm_ms is None:
                raise InvariantError(f"{host.name} is {job.status}, is due at {due_ms}, and nothing will wake it")
            if host.alarm_ms > max(due_ms, now_ms) + _SLACK_MS:
                raise InvariantError(f"{host.name} is due at {due_ms} and its alarm comes at {host.alarm_ms}")
            return
        if paused or for_lane or job.status in TERMINAL:
            return
        if not any(row.kind == "wait" and row.status is StepStatus.WAITING for row in journal.open_steps()):
            raise InvariantError(f"{host.name} is {job.status} and waits for nothing")

    # -- the end -----------------------------------------------------------------------------------------------------

    def check_end(self) -> None:
        """Check what must hold once everything is at rest.

        Raises:
            InvariantError: something is left.
        """
        for host in self._simulation.objects.values():
            journal = host.journal
            job = journal.load_job() if journal.exists() else None
            if job is None or job.phase == "deleted":
                continue
            rows = [str(row[0]) for row in host.sql.execute("select key from due where key <> ?", RETENTION)]
            if rows or Tickets(host.sql).get() is not None:
                raise InvariantError(f"{host.name} has ended and left {rows or 'its permit'}")


def _blame(job: JobRow, steps: list[StepRow]) -> float:
    most = max((row.crashes for row in steps if row.finished_at_ms is None), default=0)
    return max(most / (MAX_STEP_CRASHES - 1), job.crashes / (MAX_SLICE_CRASHES - 2))
