"""Workflows that the engine's tests run."""

from __future__ import annotations

import msgspec
from pydantic import BaseModel

from orchestrator import (
    Batch,
    ChildOutcome,
    ChildRequest,
    JobContext,
    NonRetryableError,
    RetryableError,
    RetryPolicy,
    StepFailedError,
    WorkflowOptions,
    current_step,
    workflow,
)


class Number(BaseModel):
    """How many."""

    n: int = 3


class World:
    """What steps do to the outside: every call, in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fail_first: int = 0


def outside() -> World:
    """Return the world of the running step."""
    services = current_step().services
    assert isinstance(services, World)
    return services


async def add(a: int, b: int) -> int:
    outside().calls.append(f"add {a} {b}")
    return a + b


async def flaky(label: str) -> str:
    world = outside()
    world.calls.append(f"{label} attempt {current_step().attempt}")
    if current_step().attempt <= world.fail_first:
        raise RetryableError("not yet")
    return label


async def broken() -> None:
    outside().calls.append("broken")
    raise NonRetryableError("cannot be mended", code="broken_thing")


@workflow("sums")
async def sums(job: JobContext, payload: Number) -> int:
    total = 0
    for i in range(payload.n):
        total = await job.step("add", add, total, i)
    return total


@workflow("retrying", options=WorkflowOptions(retry=RetryPolicy(max_attempts=4, jitter="none")))
async def retrying(job: JobContext, payload: Number) -> str:
    return await job.step("flaky", flaky, "x")


async def note_failure(job: JobContext, payload: BaseModel, error: str) -> None:
    await job.step("note", flaky, f"hook: {error}")


@workflow("failing", options=WorkflowOptions(on_failure=note_failure))
async def failing(job: JobContext, payload: Number) -> None:
    await job.step("first", add, 1, 1)
    await job.step("bad", broken)


@workflow("catching")
async def catching(job: JobContext, payload: Number) -> str:
    try:
        await job.step("bad", broken)
    except StepFailedError as error:
        return error.record.code
    return "no error"


class Tally(msgspec.Struct, frozen=True):
    total: int = 0
    last: int = -1


async def tally_batch(batch: Batch[int, Tally]) -> Tally:
    outside().calls.append(f"batch {batch.index} of {len(batch.items)}")
    return Tally(batch.state.total + sum(batch.items), batch.items[-1])


@workflow("looping")
async def looping(job: JobContext, payload: Number) -> dict[str, int]:
    result = await job.each("walk", range(payload.n), tally_batch, state=Tally(), batch=10)
    return {"total": result.state.total, "last": result.state.last, "items": result.items}


@workflow("napping")
async def napping(job: JobContext, payload: Number) -> list[int]:
    before = job.now_ms()
    await job.sleep(60_000)
    after = job.now_ms()
    return [before, after]


@workflow("parallel")
async def parallel(job: JobContext, payload: Number) -> list[str]:
    return await job.map("work", [f"item {i}" for i in range(payload.n)], flaky, key=lambda item: item, concurrency=3)


def total_of(state: int, outcome: ChildOutcome) -> int:
    return state + (outcome.result if isinstance(outcome.result, int) else 0)


@workflow("fan")
async def fan(job: JobContext, payload: Number) -> dict[str, int]:
    requests = [ChildRequest(key=str(i), payload={"n": i}) for i in range(payload.n)]
    result = await job.map_children(
        "kids", "sums", requests, reduce=total_of, state=0, window=4, on_failure="collect", total=payload.n
    )
    return {"total": result.state, "succeeded": result.succeeded, "failed": result.failed}


@workflow("fan-failing")
async def fan_failing(job: JobContext, payload: Number) -> dict[str, int]:
    requests = [ChildRequest(key=str(i), payload={"n": i}) for i in range(payload.n)]
    result = await job.map_children("kids", "failing", requests, reduce=total_of, state=0, on_failure="fail_fast")
    return {"succeeded": result.succeeded}


ALL = [sums, retrying, failing, catching, looping, napping, parallel, fan, fan_failing]
