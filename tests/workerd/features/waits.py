"""Workflows that wait, fan out, say they live, keep large values, and meet another version of themselves."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from orchestrator import (
    ChildOutcome,
    ChildRequest,
    JobContext,
    NonRetryableError,
    RetryPolicy,
    StepFailedError,
    WorkflowOptions,
    current_step,
    workflow,
)

#: What a deploy would change; all objects share this interpreter.
DEPLOYED = {"new": False}


class Nothing(BaseModel):
    pass


class Deploy(BaseModel):
    new: bool


class Size(BaseModel):
    size: int


class Item(BaseModel):
    fails: bool = False


async def same(value: object) -> object:
    return value


async def flip(new: bool) -> None:
    DEPLOYED["new"] = new


@workflow("feature-deploy")
async def deploy(job: JobContext, payload: Deploy) -> None:
    await job.step("flip", flip, payload.new)


@workflow("feature-approval")
async def approval(job: JobContext, payload: Nothing) -> list[object]:
    """Take an event that may have come before, then a token's value, then nothing in time."""
    token = await job.create_token(timeout_ms=600_000)
    job.set_metadata("token", [token.id, token.access_token])
    await job.sleep(200)
    said = await job.wait_for_event("said")
    approved = str(await job.wait_for_token(token))
    try:
        await job.wait_for_event("never", timeout_ms=100)
    except StepFailedError as error:
        return [said, approved[:5], len(approved), error.record.code]
    return []


async def hang_once() -> object:
    step = current_step()
    if step.last_heartbeat is None:
        step.heartbeat({"part": 7})
        await asyncio.Event().wait()
    return step.last_heartbeat


@workflow("feature-heartbeat", options=WorkflowOptions(retry=RetryPolicy(initial_interval_ms=10)))
async def heartbeat(job: JobContext, payload: Nothing) -> object:
    return await job.options(heartbeat_ms=300).step("hang once", hang_once)


async def hang() -> None:
    await asyncio.Event().wait()


@workflow("feature-timeout", options=WorkflowOptions(retry=RetryPolicy(max_attempts=2, initial_interval_ms=10)))
async def timeout(job: JobContext, payload: Nothing) -> None:
    await job.options(timeout_ms=100).step("hang", hang)


@workflow("feature-nap")
async def nap(job: JobContext, payload: Nothing) -> str:
    await job.sleep(3_600_000)
    return "rested"


async def long_text(size: int) -> str:
    return "x" * size


@workflow("feature-large")
async def large(job: JobContext, payload: Size) -> int:
    text = await job.step("make", long_text, payload.size)
    await job.wait_for_event("go")
    return len(text)


@workflow("feature-item")
async def item(job: JobContext, payload: Item) -> int:
    if payload.fails:
        raise NonRetryableError("as the test asks", code="feature_failure")
    return 1


def count(total: int, outcome: ChildOutcome) -> int:
    return total + (outcome.result if isinstance(outcome.result, int) else 0)


@workflow("feature-fan")
async def fan(job: JobContext, payload: Nothing) -> list[int]:
    requests = [ChildRequest(key=str(n), payload={"fails": n % 4 == 3}) for n in range(12)]
    found = await job.map_children("items", "feature-item", requests, reduce=count, state=0, window=3, on_failure=3)
    return [found.state, found.succeeded, found.failed]


@workflow("feature-fan-fast")
async def fan_fast(job: JobContext, payload: Nothing) -> None:
    requests = [ChildRequest(key=str(n), payload={"fails": n == 0}) for n in range(4)]
    await job.map_children("items", "feature-item", requests, reduce=count, state=0, window=1, on_failure="fail_fast")


@workflow("feature-patched")
async def patched(job: JobContext, payload: Nothing) -> object:
    await job.step("before", same, 1)
    if DEPLOYED["new"] and job.patched("change"):
        return await job.step("new", same, "new")
    await job.wait_for_event("go")
    return await job.step("old", same, "old")


@workflow("feature-mismatch")
async def mismatch(job: JobContext, payload: Nothing) -> str:
    if DEPLOYED["new"]:
        await job.sleep(1, name="begin")
    else:
        await job.step("begin", same, 1)
    await job.wait_for_event("go")
    return "done"


async def fails_until_deployed() -> str:
    if not DEPLOYED["new"]:
        raise NonRetryableError("not yet", code="feature_failure")
    return "done"


@workflow("feature-retried")
async def retried(job: JobContext, payload: Nothing) -> list[object]:
    first = await job.step("first", same, 1)
    return [first, await job.step("second", fails_until_deployed)]


ALL = [
    deploy, approval, heartbeat, timeout, nap, large, item, fan, fan_fast, patched, mismatch, retried,
]  # fmt: skip
