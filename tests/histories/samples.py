"""Workflows whose journals are kept per release. They stay as they are: changing one changes jobs under way."""

from __future__ import annotations

import asyncio

import msgspec
from pydantic import BaseModel

from orchestrator import (
    Batch,
    ChildOutcome,
    ChildRequest,
    Connection,
    JobContext,
    NonRetryableError,
    RetryableError,
    RetryPolicy,
    StepFailedError,
    WorkflowOptions,
    current_step,
    workflow,
)
from orchestrator.testing import MemoryDatabase

SOON = RetryPolicy(max_attempts=4, initial_interval_ms=60_000, max_interval_ms=60_000, jitter="none")


class Wish(BaseModel):
    n: int = 3


class Sum(msgspec.Struct, frozen=True):
    total: int = 0
    last: str = ""


async def add(a: int, b: int) -> int:
    return a + b


async def make(text: str) -> Sum:
    return Sum(len(text), text)


async def flaky() -> int:
    if current_step().attempt < 3:
        raise RetryableError("not yet")
    return current_step().attempt


async def refuse() -> None:
    raise NonRetryableError("no", code="refused")


async def walk(batch: Batch[int, Sum]) -> Sum:
    await asyncio.sleep(0.3)
    return Sum(batch.state.total + sum(batch.items), str(batch.items[-1]))


async def book(connection: Connection, amount: int) -> int:
    await connection.execute("insert into booking (amount) values ($1)", amount)
    return amount


def database() -> MemoryDatabase:
    return MemoryDatabase("create table booking (amount integer)")


@workflow("everyday")
async def everyday(job: JobContext, payload: Wish) -> dict[str, object]:
    """Steps by name and occurrence, values of several types, what is drawn, a transaction, a caught failure."""
    total = 0
    for number in range(payload.n):
        total = await job.step("add", add, total, number)
    made = await job.step("make", make, "text")
    drawn = [job.random(), job.uuid()]
    job.now_ms()
    job.progress(1, 2)
    job.set_metadata("made", made.last)
    job.log("half-way", total=total)
    booked = await job.transaction("book", book, total)
    try:
        await job.step("refuse", refuse)
    except StepFailedError as error:
        code = error.record.code
    else:
        code = "none"
    return {"total": total, "made": made.total, "booked": booked, "code": code, "drawn": drawn}


@workflow("looping")
async def looping(job: JobContext, payload: Wish) -> list[object]:
    result = await job.each("walk", range(payload.n), walk, state=Sum(), batch=5)
    return [result.state.total, result.state.last, result.items]


@workflow("retried")
async def retried(job: JobContext, payload: Wish) -> int:
    return await job.options(retry=SOON).step("flaky", flaky)


@workflow("parallel")
async def parallel(job: JobContext, payload: Wish) -> list[object]:
    async def branch(number: int) -> int:
        await job.sleep(60_000 * number, key=str(number))
        return await job.options(key=str(number)).step("add", add, number, 1)

    first = await job.map("map", list(range(payload.n)), _double, key=lambda item: item)
    return [*first, *await job.gather(*(branch(number) for number in range(payload.n)))]


async def _double(item: int) -> int:
    return 2 * item


@workflow("waiting")
async def waiting(job: JobContext, payload: Wish) -> list[object]:
    event = await job.wait_for_event("go")
    token = await job.create_token(timeout_ms=86_400_000)
    return [event, await job.wait_for_token(token)]


@workflow("leaf")
async def leaf(job: JobContext, payload: Wish) -> int:
    await job.sleep(1_000 * payload.n)
    return await job.step("add", add, payload.n, payload.n)


def add_up(state: Sum, outcome: ChildOutcome) -> Sum:
    return Sum(state.total + (outcome.result if isinstance(outcome.result, int) else 0), state.last)


@workflow("family")
async def family(job: JobContext, payload: Wish) -> list[object]:
    requests = [ChildRequest(key=str(number), payload={"n": number}) for number in range(payload.n)]
    result = await job.map_children("kids", "leaf", requests, reduce=add_up, state=Sum(), window=2)
    started = await job.start_child("one more", "leaf", {"n": 50})
    return [result.state.total, result.succeeded, await job.wait_for_child(started)]


async def tidy_up(job: JobContext, payload: BaseModel, error: str) -> None:
    await job.sleep(60_000)
    await job.step("add", add, 1, 1)


@workflow("failing", options=WorkflowOptions(on_failure=tidy_up))
async def failing(job: JobContext, payload: Wish) -> None:
    await job.step("add", add, 1, 1)
    await job.step("refuse", refuse)


ALL = (everyday, looping, retried, parallel, waiting, leaf, family, failing)
