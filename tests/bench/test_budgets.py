"""What the engine may write, on the real workerd and in the test world. Times are the bench's business."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from bench import stacks
from bench.bench_worker.flows import steps, walk_items
from orchestrator import running
from orchestrator import slice as slice_module
from orchestrator.lifecycle import JobStatus
from orchestrator.testing import World
from orchestrator.testing.sql import MemorySql

#: Rows of a job's own: its record, its events, and what tells the catalog.
ROWS_PER_JOB = 40
ROWS_PER_STEP = 2
#: One checks the epoch, stores what the step has come to, and adds the line of the history.
STATEMENTS_PER_STEP = 1
STATEMENTS_PER_SLICE = 40
#: Of the watch over attempts that wait, however many there are.
TIMERS_PER_SLICE = 2
#: From nothing: the tables, the job's row, its first event, and what tells the catalog.
STATEMENTS_PER_JOB = 16
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
    assert long.rows_written - short.rows_written <= ROWS_PER_STEP * 2_990 + ROWS_PER_JOB


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


class Counter:
    """Counts calls of a method, and goes on with them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> None:
        self.calls = 0
        called = getattr(owner, name)

        def counting(*args: object, **options: object) -> object:
            self.calls += 1
            return called(*args, **options)

        monkeypatch.setattr(owner, name, counting)


@pytest.mark.parametrize("waits", [False, True])
def test_statements_tasks_and_timers_per_step(waits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement is a call into JavaScript, and a turn of its event loop costs as much: both are counted."""
    statements = Counter(monkeypatch, MemorySql, "execute")
    timers = Counter(monkeypatch, asyncio.BaseEventLoop, "call_later")
    tasks = Counter(monkeypatch, running, "start_task")
    monkeypatch.setattr(slice_module, "start_task", running.start_task)
    used: list[tuple[int, int, int]] = []
    for count in (100, 2_100):
        before = (statements.calls, timers.calls, tasks.calls)
        world = World(steps)
        job_id = world.start("bench-steps", {"steps": count, "waits": waits})
        asyncio.run(world.run())
        assert world.view(job_id).result == count * (count - 1) // 2
        used.append((statements.calls - before[0], timers.calls - before[1], tasks.calls - before[2]))
    more = [many - few for few, many in zip(*used, strict=True)]
    assert more[0] <= STATEMENTS_PER_STEP * 2_000 + STATEMENTS_PER_SLICE * world.view(job_id).slices
    assert more[1] <= TIMERS_PER_SLICE * world.view(job_id).slices
    assert more[2] == 2_000


def test_statements_to_record_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    statements = Counter(monkeypatch, MemorySql, "execute")
    world = World(steps)
    world.start("bench-steps", {"steps": 1})
    assert statements.calls <= STATEMENTS_PER_JOB
