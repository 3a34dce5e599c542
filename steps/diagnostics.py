"""The orchestrator's self-test: a workflow that does nothing, step by step, to check a deployment or to time it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from orchestrator import JobContext, NonRetryableError, Schedule, workflow

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
