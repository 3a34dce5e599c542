"""Runs a program under faults and holds what it led to against the oracle."""

from __future__ import annotations

import contextlib

import msgspec

from orchestrator.errors import UnknownJobError
from orchestrator.model import JobView
from orchestrator.testing.plan import FaultKind, Struck
from orchestrator.testing.simulation import Simulation
from tests.simulation.author import ALL, Outside, database
from tests.simulation.backstage import RealBackstage
from tests.simulation.generate import Generator
from tests.simulation.judge import Judge
from tests.simulation.program import Program
from tests.simulation.scene import Scene

#: More alarms than this, and something turns without end.
MOST_TICKS = 5_000


class Case(msgspec.Struct, frozen=True):
    """Everything that decides a run."""

    seed: int
    program: Program
    faults: dict[FaultKind, float]
    #: Strike here and nowhere else.
    only: frozenset[str] | None = None
    #: Stop whichever object makes these writes, counted over all.
    crash_at: tuple[int, ...] = ()


class Run(msgspec.Struct):
    """What a run led to."""

    problem: str | None
    struck: list[Struck]
    began_ms: int
    took_ms: int
    writes: int
    view: JobView | None = None
    logs: list[tuple[str, str, dict[str, object]]] = []


def case_of(seed: int) -> Case:
    """Return the case of a number."""
    generator = Generator(seed)
    return Case(seed, generator.program(), generator.faults())


def play(case: Case) -> Run:
    """Run a case to its end."""
    services = Outside()
    with Simulation(
        *ALL,
        services=services,
        database=database(),
        always_replay=case.program.always_replay,
        seed=case.seed,
        faults=case.faults,
        only=case.only,
        backstage=RealBackstage,
    ) as simulation:
        services.simulation = simulation
        simulation.most_ticks = MOST_TICKS
        simulation.crash_at(*case.crash_at)
        began_ms = simulation.clock.time_ms
        scene = Scene(simulation, services, case.program)
        problem: str | None = None
        try:
            simulation.run()
            simulation.plan.end()
            Judge(scene).judge()
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        simulation.plan.end()
        view: JobView | None = None
        with contextlib.suppress(UnknownJobError):
            view = simulation.view(scene.request.job_id)
        took_ms = simulation.clock.time_ms - began_ms
        return Run(problem, simulation.plan.struck, began_ms, took_ms, simulation.writes, view, simulation.logs)
