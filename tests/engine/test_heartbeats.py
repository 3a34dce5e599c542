"""Steps that say they live, and what the attempt after a death knows of the one before."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from orchestrator import JobContext, RetryPolicy, WorkflowOptions, current_step, workflow
from orchestrator.errors import InvalidRequestError, StepTimeoutError
from orchestrator.lifecycle import JobStatus
from orchestrator.model import JobView
from orchestrator.step_context import StepContext
from orchestrator.testing import Crash, World
from orchestrator.workflow import Workflow

PARTS = 10


class Nothing(BaseModel):
    pass


class Moving(World):
    """The clock moves while a step waits, as I/O would move it."""

    def __init__(self, *workflows: Workflow) -> None:
        super().__init__(*workflows)
        still = self.clock.now_ms

        def moving() -> int:
            self.clock.time_ms += 1
            return still()

        self.clock.now_ms = moving  # type: ignore[method-assign]


class Uploads:
    """A workflow whose one step sends parts, and goes on where the attempt before it was."""

    def __init__(self, *, dies_at: tuple[int, ...] = (), fails_at: tuple[int, ...] = (), part_ms: int = 0) -> None:
        self.sent: list[int] = []
        self.world = World(self._workflow({*dies_at, *fails_at}, dies_at, part_ms))

    def run(self) -> JobView:
        job_id = self.world.start("upload", {})
        asyncio.run(self.world.run())
        return self.world.view(job_id)

    def _workflow(self, left: set[int], dies_at: tuple[int, ...], part_ms: int) -> Workflow:
        async def upload() -> str:
            step = current_step()
            begin = step.last_heartbeat if isinstance(step.last_heartbeat, int) else 0
            for part in range(begin, PARTS):
                if part in left:
                    left.remove(part)
                    raise Crash if part in dies_at else ConnectionError("cut off")
                self.sent.append(part)
                self.world.clock.time_ms += part_ms
                step.heartbeat(part + 1)
            return f"{len(self.sent)} sent"

        @workflow("upload", options=WorkflowOptions(retry=RetryPolicy(max_attempts=5)))
        async def upload_all(job: JobContext, payload: Nothing) -> str:
            return await job.options(heartbeat_ms=60_000).step("upload", upload)

        return upload_all


def test_an_attempt_goes_on_where_the_failed_one_before_it_was() -> None:
    uploads = Uploads(fails_at=(4, 7))  # no time passes in it: only the failure itself stores what was said
    assert uploads.run().result == "10 sent"
    assert uploads.sent == list(range(PARTS))


def test_a_death_costs_what_was_said_since_the_details_were_stored() -> None:
    uploads = Uploads(dies_at=(6,), part_ms=400)
    assert uploads.run().status is JobStatus.COMPLETED
    assert set(uploads.sent) == set(range(PARTS))
    assert PARTS < len(uploads.sent) <= PARTS + 3, "at most what a second holds is sent again"


def test_a_crash_at_every_write() -> None:
    undisturbed = Uploads(part_ms=400)
    undisturbed.run()
    assert undisturbed.world.writes > 5
    for write in range(1, undisturbed.world.writes + 1):
        uploads = Uploads(part_ms=400)
        uploads.world.crash_at(write)
        assert uploads.run().status is JobStatus.COMPLETED, f"crashed before write {write}"
        assert sorted(set(uploads.sent)) == list(range(PARTS)), f"crashed before write {write}"


def test_a_silent_step_is_given_up_long_before_its_timeout_and_hears_of_it() -> None:
    attempts: list[int] = []
    told: list[str] = []

    async def hang() -> None:
        step = current_step()
        attempts.append(step.attempt)
        step.heartbeat({"at": step.attempt})
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            with pytest.raises(StepTimeoutError):
                step.heartbeat()
            told.append("given up")

    @workflow("hangs", options=WorkflowOptions(retry=RetryPolicy(max_attempts=2, jitter="none")))
    async def hangs(job: JobContext, payload: Nothing) -> None:
        await job.options(timeout_ms=800_000, heartbeat_ms=20).step("hang", hang)

    world = Moving(hangs)
    began_ms = world.clock.time_ms
    job_id = world.start("hangs", {})
    asyncio.run(world.run())
    view = world.view(job_id)
    assert view.error is not None
    assert (view.status, view.error.code) == (JobStatus.FAILED, "heartbeat_timeout")
    assert (attempts, told) == ([1, 2], ["given up", "given up"])
    assert world.clock.time_ms - began_ms < 800_000


def test_a_step_that_says_something_in_time_may_take_longer_than_its_silence() -> None:
    async def chat() -> int:
        for _ in range(30):
            current_step().heartbeat()
            await asyncio.sleep(0.001)
        return current_step().attempt

    @workflow("chats")
    async def chats(job: JobContext, payload: Nothing) -> int:
        return await job.options(timeout_ms=800_000, heartbeat_ms=40).step("chat", chat)

    world = Moving(chats)
    job_id = world.start("chats", {})
    asyncio.run(world.run())
    assert world.view(job_id).result == 1


def test_what_a_step_says_is_not_what_it_returns() -> None:
    kept: list[StepContext] = []

    async def says() -> None:
        kept.append(current_step())
        current_step().heartbeat("said")

    @workflow("quiet")
    async def quiet(job: JobContext, payload: Nothing) -> object:
        return await job.step("says", says)

    world = World(quiet)
    job_id = world.start("quiet", {})
    asyncio.run(world.run())
    assert world.view(job_id).result is None
    with pytest.raises(StepTimeoutError):
        kept[0].heartbeat("after the end")


@pytest.mark.parametrize("details", [object(), "x" * 70_000])
def test_details_that_cannot_be_stored_fail_the_step_with_their_cause(details: object) -> None:
    async def says() -> None:
        current_step().heartbeat(details)

    @workflow("wrong", options=WorkflowOptions(retry=RetryPolicy(max_attempts=1)))
    async def wrong(job: JobContext, payload: Nothing) -> None:
        await job.step("says", says)

    world = World(wrong)
    job_id = world.start("wrong", {})
    asyncio.run(world.run())
    error = world.view(job_id).error
    assert error is not None
    assert error.code in {"value_not_encodable", "value_too_large"}


def test_a_silence_longer_than_the_timeout_contradicts_it() -> None:
    @workflow("contradiction")
    async def contradiction(job: JobContext, payload: Nothing) -> None:
        with pytest.raises(InvalidRequestError):
            job.options(timeout_ms=10, heartbeat_ms=11).step("never", asyncio.sleep, 0)

    world = World(contradiction)
    job_id = world.start("contradiction", {})
    asyncio.run(world.run())
    assert world.view(job_id).status is JobStatus.COMPLETED
