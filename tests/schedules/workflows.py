"""Workflows that tests schedule."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from orchestrator import JobContext, workflow


class Report(BaseModel):
    model_config = ConfigDict(extra="forbid")

    at: str = ""
    sleep_ms: int = 0


@workflow("report")
async def report(job: JobContext, payload: Report) -> str:
    """Sleep if asked to, and return what time it was for."""
    if payload.sleep_ms:
        await job.sleep(payload.sleep_ms)
    return payload.at
