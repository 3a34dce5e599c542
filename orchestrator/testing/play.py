"""One run of a job under test, on a simulation of its own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TypeVar

import msgspec

from orchestrator.engine import JobEngine
from orchestrator.lifecycle import TERMINAL, JobStatus, StepStatus
from orchestrator.model import JobOptions, JobView
from orchestrator.testing.database import MemoryDatabase
from orchestrator.testing.plan import FaultKind
from orchestrator.testing.simulation import Simulation, StuckError
from orchestrator.testing.world_job import WorldObject
from orchestrator.views import job_view
from orchestrator.workflow import Workflow

T = TypeVar("T")
#: Kinds of operations that somebody outside ends, and that other jobs end.
_OUTSIDE, _FAMILY = frozenset({"wait"}), frozenset({"children", "join"})
#: A token or an end that has not come after this much virtual time never will.
PATIENCE_MS = 30 * 86_400_000


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What every run of a job under test has in common."""

    workflows: tuple[Workflow, ...]
    payload: object
    options: JobOptions
    services: Callable[[], object]
    database: Callable[[], MemoryDatabase]
    always_replay: bool
    seed: int
    faults: Mapping[FaultKind, float]
    crash_at: tuple[int, ...] = ()


class Play:
    """A job, from its creation on.

    Args:
        setup: the job and its surroundings.
    """

    def __init__(self, setup: Setup) -> None:
        self.services = setup.services()
        self.simulation = Simulation(
            *setup.workflows,
            services=self.services,
            database=setup.database(),
            always_replay=setup.always_replay,
            seed=setup.seed,
            faults=setup.faults,
        )
        self.simulation.crash_at(*setup.crash_at)
        request = self.simulation.client.request(setup.workflows[0].name, setup.payload, setup.options)
        self.job_id = request.job_id
        self._wait_for(self.simulation.client.create(request))

    @property
    def host(self) -> WorldObject:
        """The job's object."""
        return self.simulation.objects[self.job_id]

    def view(self) -> JobView:
        """Return the job's status."""
        return self.simulation.call(self.job_id, lambda engine: job_view(engine.known(), engine.journal))

    def call(self, call: Callable[[JobEngine], object]) -> None:
        """Call the job's object as the API does, until it answers."""
        self._wait_for(self.simulation.client.call("test", self.job_id, call))

    def run(self) -> None:
        """Run until the job has ended and told everybody, or until nothing goes on without somebody outside.

        Raises:
            StuckError: neither happens.
        """
        if not self._until(self._rests):
            raise StuckError("; ".join(self.simulation.watch.unrest()) or "something outside never ended")

    def advance(self, by_ms: int) -> None:
        """Let time pass."""
        self.simulation.advance(by_ms)

    def complete_token(self, data: object, name: str) -> None:
        """Complete the oldest open token of a name, once the job has made it.

        Raises:
            AssertionError: it makes none.
        """
        if not self._until(lambda: self._open_token(name) is not None or self._rests()):
            raise AssertionError(f"the job makes no token {name!r}")
        key = self._open_token(name)
        if key is None:
            raise AssertionError(f"the job has no open token {name!r}")
        self.call(lambda engine: engine.complete_token(key, data))

    def close(self) -> None:
        """End everything that still runs."""
        self.simulation.close()

    def _wait_for(self, work: Coroutine[object, object, T]) -> T:
        task = self.simulation.go(work)
        self._until(task.done)
        return task.result()

    def _until(self, done: Callable[[], bool]) -> bool:
        return self.simulation.run_until(done, within_ms=PATIENCE_MS)

    def _open_token(self, name: str) -> str | None:
        journal = self.host.journal
        rows = journal.steps() if journal.exists() else []
        open_ones = (row for row in rows if row.kind == "token" and row.status is StepStatus.WAITING)
        return next((row.key for row in open_ones if row.key.split("#")[0].split("[")[0] == name), None)

    def _rests(self) -> bool:
        simulation = self.simulation
        if simulation.is_at_rest():
            return True
        if simulation.outside or simulation.queues.under_way:
            return False
        unfinished = [host for host in simulation.objects.values() if not _has_ended(host)]
        return all(_is_blocked(simulation, host) for host in unfinished)


def _has_ended(host: WorldObject) -> bool:
    journal = host.journal
    job = journal.load_job() if journal.exists() else None
    return job is None or (job.status in TERMINAL and journal.outbox.next_owed_ms() is None)


def _is_blocked(simulation: Simulation, host: WorldObject) -> bool:
    """Tell whether only somebody outside, or another job, can move this one on."""
    journal = host.journal
    job = journal.load_job()
    if job is None or simulation.alarms.running(host) or journal.outbox.next_due_ms() is not None:
        return False
    if job.status is JobStatus.PAUSED or job.due_at_ms is not None:
        return job.status is JobStatus.PAUSED
    kinds: Sequence[str] = [row.kind for row in journal.open_steps() if row.kind != "token"]
    return job.status is JobStatus.SUSPENDED and bool(kinds) and set(kinds) <= _OUTSIDE | _FAMILY
