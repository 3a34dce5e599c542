"""What authors get wrong: each mistake ends with a clear code, and no job hangs or is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine

import pytest
from pydantic import BaseModel

from orchestrator import (
    Batch,
    BatchSize,
    ChildOutcome,
    ChildRequest,
    JobContext,
    Page,
    RetryPolicy,
    StepFailedError,
    WorkflowOptions,
    current_step,
    workflow,
)
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import MAX_RESULT_BYTES
from orchestrator.model import JobView
from orchestrator.testing import World


class Nothing(BaseModel):
    pass


class Large(BaseModel):
    text: str


Body = Callable[[JobContext], Coroutine[object, object, object]]
QUICK = WorkflowOptions(retry=RetryPolicy(max_attempts=2, initial_interval_ms=1, max_interval_ms=1))


def run(body: Body, *, max_ticks: int = 200) -> tuple[World, JobView]:
    @workflow("mistaken", options=QUICK)
    async def mistaken(job: JobContext, payload: Nothing) -> object:
        return await body(job)

    @workflow("child")
    async def child(job: JobContext, payload: Nothing) -> str:
        return job.id

    world = World(mistaken, child)
    job_id = world.start("mistaken", {})
    asyncio.run(world.run(max_ticks=max_ticks))
    return world, world.view(job_id)


async def same(value: object) -> object:
    return value


def plain(value: object) -> object:
    """Not async."""
    return value


async def cancelled_inside() -> None:
    raise asyncio.CancelledError


async def leaves() -> None:
    raise SystemExit(3)


class WordlessError(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


async def raises(error: Exception) -> None:
    raise error


async def fails() -> object:
    raise ValueError("no")


async def count(batch: Batch[int, int]) -> int:
    return batch.state + len(batch.items)


def last(state: object, outcome: ChildOutcome) -> object:
    return outcome.result


class Twice:
    async def read(self, cursor: object, limit: int, /) -> Page[ChildRequest]:
        return Page([ChildRequest(key="a", payload={}), ChildRequest(key="a", payload={})], None, done=True)


async def not_async(job: JobContext) -> object:
    return await job.step("plain", plain, 1)  # type: ignore[arg-type, type-var]


async def forgotten(job: JobContext) -> object:
    job.step("never", same, 1)
    return "done"


async def kept_and_forgotten(job: JobContext) -> object:
    step = job.step("never", same, 1)
    return step.name


async def sleeps_for_ever(job: JobContext) -> object:
    return await job.sleep(10**17)


async def sleeps_until_never(job: JobContext) -> object:
    return await job.sleep_until(10**17)


async def waits_for_ever(job: JobContext) -> object:
    return await job.wait_for_event("go", timeout_ms=10**17)


async def token_for_ever(job: JobContext) -> object:
    return await job.create_token(timeout_ms=10**17)


async def long_step(job: JobContext) -> object:
    return await job.options(timeout_ms=3_600_000).step("same", same, 1)


async def no_window(job: JobContext) -> object:
    return await job.map_children(
        "kids", "child", [ChildRequest(key="a", payload={})], reduce=last, state=None, window=0
    )


async def negative_tolerance(job: JobContext) -> object:
    return await job.map_children(
        "kids", "child", [ChildRequest(key="a", payload={})], reduce=last, state=None, on_failure=-1
    )


async def one_child_key_twice(job: JobContext) -> object:
    return await job.map_children("kids", "child", Twice(), reduce=last, state=None)


async def no_parallelism(job: JobContext) -> object:
    return await job.map("map", [1], same, key=str, concurrency=0)


async def negative_parallelism(job: JobContext) -> object:
    return await job.gather(job.step("a", same, 1), limit=-1)


async def empty_batches(job: JobContext) -> object:
    return await job.each("walk", range(5), count, state=0, batch=BatchSize(initial=0, minimum=0))


async def upside_down_batches(job: JobContext) -> object:
    return await job.each("walk", range(5), count, state=0, batch=BatchSize(initial=10, maximum=5))


async def unstorable_result(job: JobContext) -> object:
    return object()


async def unstorable_step(job: JobContext) -> object:
    return await job.step("same", same, object())


async def large_result(job: JobContext) -> object:
    return "x" * (MAX_RESULT_BYTES)


async def unstorable_metadata(job: JobContext) -> object:
    job.set_metadata("thing", object())
    return None


async def exits(job: JobContext) -> object:
    raise SystemExit(3)


async def step_exits(job: JobContext) -> object:
    return await job.step("leave", leaves)


async def step_is_cancelled_inside(job: JobContext) -> object:
    return await job.step("cancelled", cancelled_inside)


async def wordless(job: JobContext) -> object:
    return await job.step("raise", raises, WordlessError())


async def foreign(job: JobContext) -> object:
    return await asyncio.sleep(0)


async def step_outside(job: JobContext) -> object:
    return current_step().key


MISTAKES: list[tuple[Body, str]] = [
    (not_async, "definition"),
    (forgotten, "not_awaited"),
    (kept_and_forgotten, "not_awaited"),
    (sleeps_for_ever, "invalid_request"),
    (sleeps_until_never, "invalid_request"),
    (waits_for_ever, "invalid_request"),
    (token_for_ever, "invalid_request"),
    (long_step, "invalid_request"),
    (no_window, "invalid_request"),
    (negative_tolerance, "invalid_request"),
    (one_child_key_twice, "duplicate_child"),
    (no_parallelism, "invalid_request"),
    (negative_parallelism, "invalid_request"),
    (empty_batches, "definition"),
    (upside_down_batches, "definition"),
    (unstorable_result, "value_not_encodable"),
    (unstorable_step, "value_not_encodable"),
    (large_result, "value_too_large"),
    (unstorable_metadata, "value_not_encodable"),
    (exits, "SystemExit"),
    (step_exits, "SystemExit"),
    (step_is_cancelled_inside, "CancelledError"),
    (wordless, "WordlessError"),
    (foreign, "foreign_awaitable"),
    (step_outside, "not_in_step"),
]


@pytest.mark.parametrize(("body", "code"), MISTAKES, ids=[body.__name__ for body, _ in MISTAKES])
def test_a_mistake_fails_the_job_with_a_code(body: Body, code: str) -> None:
    world, view = run(body)
    assert view.status is JobStatus.FAILED
    assert view.error is not None
    assert view.error.code == code
    assert view.crashes == 0
    assert [event for level, event, _ in world.logs if level == "error"] == []


def test_operations_that_are_awaited_or_never_begun_are_no_mistake() -> None:
    async def body(job: JobContext) -> object:
        with contextlib.suppress(StepFailedError):
            await job.gather(job.step("a", fails), job.step("b", same, 1), limit=1)
        first = job.step("c", same, 1)
        return [await job.gather(job.step("d", same, 2), first), await job.map("e", [1, 2], same, key=str)]

    assert run(body)[1].result == [[2, 1], [1, 2]]


def test_an_error_with_a_large_text_is_kept_in_part() -> None:
    async def body(job: JobContext) -> object:
        return await job.step("raise", raises, ValueError("\ud800" + "x" * 3_000_000))

    view = run(body)[1]
    assert view.error is not None
    assert view.error.code == "ValueError"
    assert 1_000 < len(view.error.message) < 10_000
    assert view.error.message.startswith("?x")


def test_a_child_may_return_as_much_as_a_checkpoint_holds() -> None:
    """Its outcome is a little larger than its result, and lies in a row of the parent's."""

    @workflow("large")
    async def large(job: JobContext, payload: Nothing) -> str:
        return "x" * (MAX_RESULT_BYTES - 6)

    @workflow("parent")
    async def parent(job: JobContext, payload: Nothing) -> int:
        found = await job.run_child("one", "large", {})
        assert isinstance(found, str)
        return len(found)

    world = World(large, parent)
    job_id = world.start("parent", {})
    asyncio.run(world.run(max_ticks=200))
    assert world.view(job_id).result == MAX_RESULT_BYTES - 6


def test_a_row_is_never_larger_than_production_allows() -> None:
    """Payload, metadata and result of a job together: production refuses what the local runtime takes."""

    @workflow("full")
    async def full(job: JobContext, payload: Large) -> str:
        job.set_metadata("first", "m" * 700_000)
        await job.sleep(1_000)
        job.set_metadata("second", "m" * 700_000)
        await job.sleep(1_000)
        return "r" * 1_500_000

    for always_replay in (False, True):
        world = World(full, always_replay=always_replay)
        job_id = world.start("full", {"text": "p" * 2_900_000})
        asyncio.run(world.run())
        view = world.view(job_id)
        assert (view.status, len(str(view.result))) == (JobStatus.COMPLETED, 1_500_000)
        assert {name: len(str(value)) for name, value in view.metadata.items()} == {"first": 700_000, "second": 700_000}
        sql = world.objects[job_id].sql
        for (table,) in sql.execute("select name from sqlite_master where type = 'table'"):
            names = [row[1] for row in sql.execute(f"pragma table_info({table})")]  # type: ignore[arg-type]
            sizes = " + ".join(f"coalesce(length(cast({name} as blob)), 0)" for name in names)
            largest = sql.execute(f"select max({sizes}) from {table}")[0][0] or 0  # type: ignore[arg-type]
            assert isinstance(largest, (int, float))
            assert largest < 2_000_000, table
