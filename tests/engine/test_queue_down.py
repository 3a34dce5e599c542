"""A queue that takes no message: the job that sends itself again starts itself instead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest
from pydantic import BaseModel

from orchestrator import JobContext, workflow
from orchestrator.errors import OrchestratorError, RetryableError
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import REQUEUE_MS
from orchestrator.model import JobOptions
from orchestrator.testing import World
from orchestrator.testing.objects import Copy

T = TypeVar("T")


class Empty(BaseModel):
    pass


runs: list[str] = []


async def note(job_id: str) -> None:
    runs.append(job_id)


@workflow("noting")
async def noting(job: JobContext, payload: Empty) -> str:
    await job.step("note", note, job.id)
    return "done"


@pytest.fixture(autouse=True)
def no_runs() -> None:
    runs.clear()


class QueueDown(World):
    """A world whose queues take nothing; before that is known, something else may happen to the job."""

    def __init__(self, error: Exception, meanwhile: Callable[[], object] | None = None) -> None:
        super().__init__(noting)
        self.error = error
        self.meanwhile = meanwhile
        self.tries = 0

    async def send(self, sender: Copy, what: str, to: str, call: Callable[[], T]) -> T:
        if what != "enqueue":
            return await super().send(sender, what, to, call)
        self.tries += 1
        if self.meanwhile is not None:
            self.meanwhile()
        raise self.error


ERRORS = [
    RetryableError("The queue took no message", code="queue_unavailable"),
    OrchestratorError("there is no such queue", code="unknown_queue"),
]


@pytest.mark.parametrize("error", ERRORS)
def test_the_job_starts_itself(error: Exception) -> None:
    world = QueueDown(error)
    job_id = world.start("noting", {}, JobOptions(mode="queue"))
    began_ms = world.clock.now_ms()
    asyncio.run(world.run())
    view = world.view(job_id)
    assert (view.status, view.result, world.tries) == (JobStatus.COMPLETED, "done", 1)
    assert view.started_at_ms is not None
    assert REQUEUE_MS <= view.started_at_ms - began_ms < 2 * REQUEUE_MS
    assert runs.count(job_id) == 1


def test_a_message_that_came_through_after_all_changes_nothing() -> None:
    world = QueueDown(ERRORS[0])
    job_id = world.start("noting", {}, JobOptions(mode="queue"))
    world.meanwhile = lambda: world.call(job_id, lambda engine: engine.dispatch())
    asyncio.run(world.run())
    world.call(job_id, lambda engine: engine.dispatch())
    assert world.view(job_id).status is JobStatus.COMPLETED
    assert runs.count(job_id) == 1


def test_a_job_that_is_cancelled_meanwhile_does_not_start() -> None:
    world = QueueDown(ERRORS[0])
    job_id = world.start("noting", {}, JobOptions(mode="queue"))
    world.meanwhile = lambda: world.call(job_id, lambda engine: engine.cancel(""))
    asyncio.run(world.run())
    assert world.view(job_id).status is JobStatus.CANCELLED
    assert runs.count(job_id) == 0


def test_a_crash_before_any_write_loses_nothing() -> None:
    undisturbed = QueueDown(ERRORS[0])
    undisturbed.start("noting", {}, JobOptions(mode="queue"))
    asyncio.run(undisturbed.run())
    for write in range(1, undisturbed.writes + 1):
        world = QueueDown(ERRORS[0])
        world.crash_at(write)
        job_id = world.start("noting", {}, JobOptions(mode="queue"))
        asyncio.run(world.run())
        assert world.view(job_id).status is JobStatus.COMPLETED, write
