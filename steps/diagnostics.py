"""The orchestrator's self-test: a workflow that does nothing, step by step, to check a deployment or to time it."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel, ConfigDict, Field

from orchestrator import (
    JobContext,
    KeyLimit,
    LanePolicy,
    NonRetryableError,
    Schedule,
    WorkflowOptions,
    current_step,
    workflow,
)

#: Steps between two reports of progress.
_REPORT_EVERY = 100


class EchoPayload(BaseModel):
    """What ``diagnostic-echo`` is to do."""

    model_config = ConfigDict(extra="forbid")

    #: Trivial steps to run.
    steps: int = Field(default=1, ge=0, le=20_000)
    #: Suspend this long once, half-way.
    sleep_ms: int = Field(default=0, ge=0, le=86_400_000)
    #: Fail in this step (the first is 1) with the code ``diagnostic_failure``.
    fail_at: int | None = Field(default=None, ge=1)


class EchoResult(BaseModel):
    """What it did."""

    steps: int
    total: int


class LaneProbePayload(BaseModel):
    """What ``diagnostic-lane`` is to do."""

    model_config = ConfigDict(extra="forbid")

    #: Keep the permit this long.
    hold_ms: int = Field(default=0, ge=0, le=10_000)


class LaneProbeResult(BaseModel):
    """While the job certainly had its permit, in Unix ms."""

    from_ms: int
    until_ms: int


async def hold(hold_ms: int) -> int:
    """Wait, and return since when."""
    began_ms = current_step().now_ms
    await asyncio.sleep(hold_ms / 1_000)
    return began_ms


async def clock() -> int:
    """Return the time."""
    return current_step().now_ms


async def echo(number: int) -> int:
    """Return ``number``: a step with no side effect."""
    return number


async def fail(number: int) -> int:
    """Fail as a broken step does."""
    raise NonRetryableError(f"step {number} failed because the payload asks for it", code="diagnostic_failure")


@workflow("diagnostic-echo")
async def diagnostic_echo(job: JobContext, payload: EchoPayload) -> EchoResult:
    """Run trivial steps one after the other, suspend once if asked to, and return how many ran and their sum."""
    total = 0
    for number in range(1, payload.steps + 1):
        total += await job.step("echo", fail if number == payload.fail_at else echo, number)
        if number % _REPORT_EVERY == 0:
            job.progress(number, payload.steps, "steps")
        if payload.sleep_ms and number == (payload.steps + 1) // 2:
            await job.sleep(payload.sleep_ms)
    return EchoResult(steps=payload.steps, total=total)


#: Paused, so that it costs nothing. Run by hand, it shows that a deployment's schedules work.
diagnostic_schedule = Schedule(
    id="diagnostic-hourly", workflow="diagnostic-echo", cron="0 * * * *", tags=("diagnostic",), paused=True
)


#: Three at a time, and two of one ``lane_key``.
PROBE_LANE = LanePolicy(name="diagnostic", concurrency=3, keys=(KeyLimit("key", 2),))


@workflow("diagnostic-lane", options=WorkflowOptions(lane=PROBE_LANE))
async def diagnostic_lane(job: JobContext, payload: LaneProbePayload) -> LaneProbeResult:
    """Hold a permit of the diagnostic lane for a while, and return from when to when."""
    from_ms = await job.step("hold", hold, payload.hold_ms)
    return LaneProbeResult(from_ms=from_ms, until_ms=await job.step("clock", clock))


class RateProbePayload(BaseModel):
    """What ``diagnostic-rate`` is to do."""

    model_config = ConfigDict(extra="forbid")

    bucket: str = Field(default="diagnostic", min_length=1, max_length=100)
    count: int = Field(default=5, ge=1, le=1_000)
    per_ms: int = Field(default=1_000, ge=1, le=60_000)


@workflow("diagnostic-rate")
async def diagnostic_rate(job: JobContext, payload: RateProbePayload) -> int:
    """Take one token of a shared bucket, and return when, in Unix ms."""
    await job.rate_limit(payload.bucket, count=payload.count, per_ms=payload.per_ms)
    return await job.step("clock", clock)
