"""Pytest's side: ``pytest_plugins = ["orchestrator.testing.plugin"]`` in your ``conftest.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import pytest

from orchestrator.model import JobOptions
from orchestrator.testing.database import MemoryDatabase
from orchestrator.testing.effects import Effects
from orchestrator.testing.simulate import SimulatedJob, simulate
from orchestrator.workflow import Workflow


class Simulate(Protocol):
    """What the fixture is: :func:`orchestrator.testing.simulate`, its jobs closed when the test ends."""

    def __call__(
        self,
        workflow: Workflow,
        payload: object,
        /,
        *,
        also: tuple[Workflow, ...] = (),
        services: Callable[[], object] = Effects,
        database: Callable[[], MemoryDatabase] = MemoryDatabase,
        options: JobOptions | None = None,
        seed: int = 0,
    ) -> SimulatedJob:
        """Begin a test of a workflow."""
        ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--always-replay``: every slice of every simulated job replays its workflow from the journal."""
    parser.getgroup("orchestrator").addoption(
        "--always-replay", action="store_true", help="simulated jobs forget their coroutines after every slice"
    )


@pytest.fixture(name="simulate")
def simulate_fixture(request: pytest.FixtureRequest) -> Iterator[Simulate]:
    """Begin tests of workflows."""
    begun: list[SimulatedJob] = []
    make = partial(simulate, always_replay=bool(request.config.getoption("--always-replay")))

    def begin(workflow: Workflow, payload: object, /, **options: object) -> SimulatedJob:
        begun.append(make(workflow, payload, **options))  # type: ignore[arg-type] - what simulate takes
        return begun[-1]

    yield begin
    for job in begun:
        job.close()
