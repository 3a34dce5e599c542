"""A job whose every effect is counted outside, so that a lost or repeated one shows."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from orchestrator import (
    JobContext,
    NonRetryableError,
    RetryableError,
    RetryPolicy,
    WorkflowOptions,
    current_step,
    workflow,
)
from steps.services import services


class LoadPayload(BaseModel):
    """What one job of the load test is to do."""

    model_config = ConfigDict(extra="forbid")

    number: int
    #: Where effects are counted.
    counter_url: str
    #: Suspend this long between the two effects, or until the event ``go``.
    sleep_ms: int = Field(default=0, ge=0, le=60_000)
    waits: bool = False
    fails: bool = False


async def count(counter_url: str, number: int, place: str) -> int:
    """Have an effect."""
    key = current_step().idempotency_key
    answer = await services().http.request("POST", f"{counter_url}/{number}/{place}", headers={"idempotency-key": key})
    if answer.status != 200:
        raise RetryableError(f"the counter answered {answer.status}", code="not_counted")
    return number


async def fail(number: int) -> None:
    """Fail for good."""
    raise NonRetryableError(f"job {number} is meant to fail", code="meant_to_fail")


@workflow("load-test", options=WorkflowOptions(retry=RetryPolicy(max_attempts=5, initial_interval_ms=100)))
async def load(job: JobContext, payload: LoadPayload) -> int:
    """Count, wait, and count again, or fail."""
    await job.step("first", count, payload.counter_url, payload.number, "first")
    if payload.waits:
        await job.wait_for_event("go")
    await job.sleep(payload.sleep_ms)
    if payload.fails:
        await job.step("fail", fail, payload.number)
    return await job.step("second", count, payload.counter_url, payload.number, "second")
