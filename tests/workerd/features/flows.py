"""Workflows that use one feature of the engine each."""

from __future__ import annotations

from pydantic import BaseModel

from orchestrator import JobContext, JobOptions, NonRetryableError, workflow
from orchestrator.child_operations import OnParentEnd


class Family(BaseModel):
    naps_ms: int = 0
    key: str | None = None
    on_parent_end: OnParentEnd = "cancel_unless_completed"
    waits: bool = True


async def add(number: int) -> int:
    return number + 1


@workflow("feature-child")
async def child(job: JobContext, payload: Family) -> int:
    await job.sleep(payload.naps_ms)
    return await job.step("add", add, 41)


@workflow("feature-parent")
async def parent(job: JobContext, payload: Family) -> dict[str, object]:
    """Start a child, and wait for it, for an event, or for nothing."""
    handle = await job.start_child(
        "start",
        "feature-child",
        {"naps_ms": payload.naps_ms},
        options=JobOptions(idempotency_key=payload.key, tags=("feature",)),
        on_parent_end=payload.on_parent_end,
    )
    job.set_metadata("child", handle.id)
    if not payload.waits:
        await job.wait_for_event("go")
    result = await job.wait_for_child(handle)
    return {"child": handle.id, "deduplicated": handle.deduplicated, "result": result}


@workflow("feature-stopper")
async def stopper(job: JobContext, payload: Family) -> dict[str, object]:
    """Start a child that sleeps for long, and stop it."""
    handle = await job.start_child("start", "feature-child", {"naps_ms": 86_400_000}, on_parent_end="keep")
    ended = await job.stop_job(handle.id, reason="no more", workflows=["feature-child"])
    nobody = await job.stop_job("run_00000000000000000000000000", name="stop nobody")
    return {"child": handle.id, "ended": ended, "nobody": nobody}


class Note(BaseModel):
    text: str


@workflow("feature-note")
async def note(job: JobContext, payload: Note) -> str:
    return payload.text


async def fail() -> None:
    raise NonRetryableError("as the test asks", code="feature_failure")


@workflow("feature-saga")
async def saga(job: JobContext, payload: Family) -> None:
    """Register three undo steps, wait for a while, and fail."""
    for number in (1, 2, 3):
        job.compensate("undo", add, number)
    await job.sleep(payload.naps_ms)
    await job.step("fail", fail)


class Loop(BaseModel):
    naps_ms: int = 1


@workflow("feature-restless")
async def restless(job: JobContext, payload: Loop) -> None:
    """Never end: wake up, look, sleep."""
    while True:
        await job.sleep(payload.naps_ms)


ALL = [child, parent, stopper, note, restless, saga]
