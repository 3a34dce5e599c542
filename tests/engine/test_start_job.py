"""Jobs that a step starts: independent, and one per key however often the step runs."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from orchestrator import JobContext, current_step, workflow
from orchestrator.lifecycle import JobStatus
from orchestrator.model import JobOptions
from orchestrator.reuse import keyed_job_id
from orchestrator.testing import World


class Letters(BaseModel):
    count: int = 3
    text: str = "hello"


class Letter(BaseModel):
    text: str = ""


async def post_all(count: int, text: str) -> list[str]:
    options = JobOptions(tags=("letter",))
    return [
        (await current_step().start_job("letter", f"n{number}", {"text": text}, options=options)).id
        for number in range(count)
    ]


@workflow("letters")
async def letters(job: JobContext, payload: Letters) -> list[str]:
    return await job.step("post", post_all, payload.count, payload.text)


@workflow("letter")
async def letter(job: JobContext, payload: Letter) -> str:
    return payload.text


def test_each_key_is_one_job_and_nobodys_child() -> None:
    world = World(letters, letter)
    job_id = world.start("letters", {})
    asyncio.run(world.run())
    ids = [keyed_job_id("letter", f"n{number}") for number in range(3)]
    assert world.view(job_id).result == ids
    for letter_id in ids:
        view = world.view(letter_id)
        assert (view.status, view.result, view.parent_id) == (JobStatus.COMPLETED, "hello", None)
        assert view.tags == ("letter",)
    assert len(world.objects) == 4


def test_a_crash_before_any_write_starts_none_twice_and_loses_none() -> None:
    undisturbed = World(letters, letter)
    undisturbed.start("letters", {})
    asyncio.run(undisturbed.run())
    for write in range(1, undisturbed.writes + 1):
        world = World(letters, letter)
        world.crash_at(write)
        job_id = world.start("letters", {})
        asyncio.run(world.run())
        assert world.view(job_id).status is JobStatus.COMPLETED
        assert len(world.objects) == 4, f"crashed before write {write}"


def test_a_key_of_another_payload_is_refused() -> None:
    world = World(letters, letter)
    world.start("letters", {})
    asyncio.run(world.run())
    other = world.start("letters", {"text": "something else"})
    asyncio.run(world.run())
    view = world.view(other)
    assert view.error is not None
    assert view.error.code == "idempotency_conflict"
