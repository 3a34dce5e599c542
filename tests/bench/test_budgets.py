"""What the engine may write, on the real workerd and in the test world. Times are the bench's business."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from bench import stacks
from bench.bench_worker.flows import steps, walk_items
from orchestrator.lifecycle import JobStatus
from orchestrator.testing import World

#: Rows of a job's own: its record, its events, and what tells the catalog.
ROWS_PER_JOB = 40
ROWS_PER_STEP = 3
#: The watchdog and the true next time (design.md §4.5).
ALARMS_PER_SLICE = 2


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stacks.Worker]:
    with stacks.worker(tmp_path_factory.mktemp("bench") / "state", services=False) as running:
        yield running


@pytest.mark.parametrize("waits", [False, True])
def test_rows_per_step(worker: stacks.Worker, waits: bool) -> None:
    """Slices included: the longer job has several."""
    short, long = (worker.run("bench-steps", {"steps": count, "waits": waits}) for count in (10, 3_000))
    assert (short.result, long.result) == (45, 4_498_500)
    assert long.slices > short.slices
    assert short.rows_written <= ROWS_PER_STEP * 10 + ROWS_PER_JOB
    assert long.rows_written - short.rows_written <= ROWS_PER_STEP * 2_990


def test_a_cursor_loop_keeps_one_row(worker: stacks.Worker) -> None:
    few, many = (worker.run("bench-walk", {"items": count, "batch": 10}) for count in (10, 30_000))
    assert worker.storage(many.id).rows == worker.storage(few.id).rows
    assert worker.storage(many.id).rows["step"] == 1
    assert many.slices > few.slices
    assert many.rows_written - few.rows_written <= ROWS_PER_STEP * 2_999


def test_a_cursor_loop_does_not_grow_the_database(worker: stacks.Worker) -> None:
    few, many = (worker.run("bench-walk", {"items": count}) for count in (10, 1_000_000))
    assert worker.storage(many.id) == worker.storage(few.id)


@pytest.mark.parametrize("workflow", ["bench-steps", "bench-walk"])
@pytest.mark.parametrize("always_replay", [False, True])
def test_alarms_per_slice(workflow: str, always_replay: bool) -> None:
    world = World(steps, walk_items, always_replay=always_replay)
    payload = {"bench-steps": {"steps": 5_000}, "bench-walk": {"items": 50_000, "batch": 10}}[workflow]
    job_id = world.start(workflow, payload)
    at_first = world.objects[job_id].alarm_writes
    asyncio.run(world.run())
    view = world.view(job_id)
    assert view.status is JobStatus.COMPLETED
    assert view.slices > 3
    assert at_first <= 1
    assert world.objects[job_id].alarm_writes - at_first <= ALARMS_PER_SLICE * view.slices
