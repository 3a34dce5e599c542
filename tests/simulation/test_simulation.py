"""The simulator itself: the same seed is the same story, and every workflow survives every fault."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from orchestrator.lifecycle import JobStatus
from orchestrator.model import JobView
from orchestrator.testing.plan import KINDS, FaultKind, Struck
from orchestrator.testing.simulation import Simulation
from tests.engine import workflows
from tests.engine.test_engine import EXPECTED

STORM: Mapping[FaultKind, float] = dict.fromkeys(KINDS, 0.03)
SEEDS = 15


def play(name: str, seed: int, *, always_replay: bool = False) -> tuple[JobView, list[Struck], int]:
    n, _, _ = EXPECTED[name]
    services = workflows.World()
    with Simulation(
        *workflows.ALL, services=services, seed=seed, faults=STORM, always_replay=always_replay
    ) as simulation:
        request = simulation.client.request(name, {"n": n})
        simulation.go(simulation.client.create(request))
        simulation.run()
        return simulation.view(request.job_id), simulation.plan.struck, simulation.clock.time_ms


@pytest.mark.parametrize("name", EXPECTED)
def test_every_workflow_comes_to_its_end_whatever_strikes(name: str) -> None:
    _, status, result = EXPECTED[name]
    struck = 0
    for seed in range(SEEDS):
        view, faults, _ = play(name, seed, always_replay=seed % 3 == 0)
        assert (view.status, view.result) == (status, result), f"seed {seed}"
        struck += len(faults)
    assert struck > SEEDS


@pytest.mark.parametrize("name", ["fan", "parallel"])
def test_the_same_seed_is_the_same_story(name: str) -> None:
    assert play(name, 4) == play(name, 4)
    assert play(name, 4)[1] != play(name, 5)[1]


def test_every_kind_of_fault_strikes() -> None:
    kinds = {fault.kind for seed in range(30) for fault in play("fan", seed)[1]}
    # A workflow of this shape has no use for the others; `tests/simulation/test_explore.py` has.
    elsewhere = {
        kind for kind in KINDS if kind.startswith(("queue", "consumer", "blob", "database", "alarm_twice", "cron"))
    }
    assert kinds >= set(KINDS) - elsewhere


def test_time_moves_when_nothing_can_run_and_never_with_work() -> None:
    async def busy() -> list[int]:
        times = [simulation.clock.now_ms()]
        for _ in range(1_000):
            await asyncio.sleep(0)
        times.append(simulation.clock.now_ms())
        await asyncio.sleep(3_600)
        return [*times, simulation.clock.now_ms()]

    with Simulation() as simulation:
        working = simulation.go(busy())
        simulation.run()
    first, second, third = working.result()
    assert (second - first, third - first) == (0, 3_600_000)


def test_a_test_can_stop_at_a_time_and_look() -> None:
    with Simulation(*workflows.ALL, services=workflows.World()) as simulation:
        job_id = simulation.start("napping", {})
        simulation.advance(10_000)
        assert simulation.view(job_id).status is JobStatus.SUSPENDED
        simulation.run()
        before, after = simulation.view(job_id).result or (0, 0)  # type: ignore[misc]
    assert after - before >= 60_000
