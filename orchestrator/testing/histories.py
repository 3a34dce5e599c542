"""Journals of jobs, kept as text: later releases of the code are held to what earlier ones recorded.

A history is what the objects of some jobs had stored at one moment, as SQL. One of jobs that have ended is replayed:
the code must do what was recorded, in the same operations, and come to the same end. One of jobs under way is restored,
and they go on where they were.
"""

from __future__ import annotations

import re

from orchestrator import codec
from orchestrator.driver import Success
from orchestrator.errors import JournalMismatchError
from orchestrator.execution import Execution, stored_error
from orchestrator.lifecycle import TERMINAL, JobStatus
from orchestrator.model import JobRow
from orchestrator.retry import error_code
from orchestrator.testing.database import MemoryDatabase
from orchestrator.testing.simulation import Simulation
from orchestrator.testing.world_job import WorldObject
from orchestrator.workflow import Workflow

_HEAD = re.compile(r"^-- history of format 1, at (\d+)\n")
_OBJECT = re.compile(r"^-- object (\S+)\n", re.MULTILINE)


class ReplayError(AssertionError):
    """The code no longer does what it did when the history was recorded."""


def record(simulation: Simulation) -> str:
    """Return the history of every job of a simulation, as it stands."""
    parts = [f"-- history of format 1, at {simulation.clock.now_ms()}\n"]
    parts += [f"-- object {name}\n{host.sql.dump()}" for name, host in sorted(simulation.objects.items())]
    return "".join(parts)


def restore(
    history: str, *workflows: Workflow, services: object = None, database: MemoryDatabase | None = None
) -> Simulation:
    """Return a simulation in which the recorded jobs go on, run by the code of today.

    Raises:
        ValueError: the text is no history.
    """
    head = _HEAD.match(history)
    if head is None:
        raise ValueError("this is no history of a format that is known")
    simulation = Simulation(*workflows, services=services, database=database)
    simulation.clock.time_ms = int(head[1])
    names_and_dumps = _OBJECT.split(history[head.end() :])[1:]
    for name, dump in zip(names_and_dumps[::2], names_and_dumps[1::2], strict=True):
        simulation.object(name).sql.load(dump)
    for host in simulation.objects.values():
        simulation.insist(host, lambda engine: engine.wake())
    return simulation


def replay(history: str, *workflows: Workflow) -> int:
    """Hold the code to a history of jobs that have ended; return how many there were.

    Raises:
        ReplayError: an operation is new, is gone, or is another one; or the end is another one.
    """
    with restore(history, *workflows) as simulation:
        ended = [host for host in simulation.objects.values() if _job_of(host).status in TERMINAL]
        for host in ended:
            _replay(simulation, host)
        return len(ended)


def _replay(simulation: Simulation, host: WorldObject) -> None:
    job = _job_of(host)
    workflow = simulation.registry.get(job.workflow)
    end, job.phase = job.phase, "main"
    try:
        execution = Execution(job, workflow, host.engine.journal, simulation.clock, simulation.signer.make)
        execution.driver.advance()
        if job.status is not JobStatus.CANCELLED:
            _check(job, execution)
        execution.close()
    except JournalMismatchError as error:
        raise ReplayError(f"{job.workflow} {job.job_id}: {error}") from error
    finally:
        job.phase = end


def _check(job: JobRow, execution: Execution) -> None:
    where = f"{job.workflow} {job.job_id}"
    outcome = execution.driver.outcome
    if outcome is None:
        raise ReplayError(f"{where}: the code does what the journal does not know: {sorted(execution.open)}")
    if execution.unreached:
        raise ReplayError(f"{where}: the journal has what the code does no more: {execution.unreached}")
    if isinstance(outcome, Success):
        given, _ = codec.roundtrip(outcome.value, what="result")
        if job.status is not JobStatus.COMPLETED or given != job.result:
            raise ReplayError(f"{where} had {job.status}, and gives {outcome.value!r} now")
    elif error_code(outcome.error) != stored_error(job).code:
        raise ReplayError(f"{where} had failed with {stored_error(job).code}, and fails with {outcome.error!r} now")


def _job_of(host: WorldObject) -> JobRow:
    job = host.engine.journal.load_job()
    if job is None:
        raise ReplayError(f"{host.name}: the history holds no job")
    return job
