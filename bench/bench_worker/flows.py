"""The workflows that are measured. Their steps do nothing, so that what is left is the engine."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import msgspec
from pydantic import BaseModel, Field

from orchestrator import Batch, BatchSize, JobContext, workflow


class StepsPayload(BaseModel):
    """How many steps to run, and which."""

    steps: int = Field(ge=0)
    #: Whether each step waits for something once, so that what came before becomes durable on its own.
    waits: bool = False


class WalkPayload(BaseModel):
    """How many items to walk, and how many of them are committed at a time; 0 leaves that to the engine."""

    items: int = Field(ge=10)
    batch: int = Field(default=0, ge=0)


class Mark(msgspec.Struct, frozen=True):
    """How many items were done at some moment."""

    items: int
    at_ms: float


class Walk(msgspec.Struct, frozen=True):
    """The state a cursor loop carries: a sum, and when it passed the ends of the first and the ninth tenth."""

    total: int = 0
    done: int = 0
    began: Mark | None = None
    first_tenth: Mark | None = None
    last_tenth: Mark | None = None
    ended: Mark | None = None


async def add(total: int, number: int) -> int:
    """Return the sum: a step as small as a step can be."""
    return total + number


async def add_later(total: int, number: int) -> int:
    """Return the sum after a turn of the event loop, as after any input or output."""
    await asyncio.sleep(0)
    return total + number


async def walk(items: int, batch: Batch[int, Walk]) -> Walk:
    """Add the batch's items up."""
    before = batch.state
    now = Mark(before.done, time.time() * 1000)
    after = Walk(
        total=before.total + sum(batch.items),
        done=before.done + len(batch.items),
        began=before.began or now,
        first_tenth=before.first_tenth or (now if before.done >= items // 10 else None),
        last_tenth=before.last_tenth or (now if before.done >= items - items // 10 else None),
    )
    if after.done < items:
        return after
    return msgspec.structs.replace(after, ended=Mark(after.done, time.time() * 1000))


@workflow("bench-steps")
async def steps(job: JobContext, payload: StepsPayload) -> int:
    """Run steps one after the other."""
    total = 0
    for number in range(payload.steps):
        total = await job.step("add", add_later if payload.waits else add, total, number)
    return total


@workflow("bench-walk")
async def walk_items(job: JobContext, payload: WalkPayload) -> dict[str, object]:
    """Walk a long source."""
    fixed = payload.batch
    size = BatchSize(initial=fixed, minimum=fixed, maximum=fixed) if fixed else BatchSize()
    source = range(payload.items)
    body = partial(walk, payload.items)
    loop = await job.each("walk", source, body, state=Walk(), batch=size)
    return {"batches": loop.batches, "walk": msgspec.to_builtins(loop.state)}


ALL = [steps, walk_items]
