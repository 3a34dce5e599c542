"""What workflow code may and may not do, and what it sees."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
from pydantic import BaseModel

from orchestrator import (
    JobContext,
    NonRetryableError,
    RetryableError,
    RetryPolicy,
    WorkflowOptions,
    current_step,
    workflow,
)
from orchestrator.errors import ErrorRecord
from orchestrator.lifecycle import JobStatus
from orchestrator.model import JobView
from orchestrator.testing import Crash, World
from orchestrator.workflow import Workflow


class Nothing(BaseModel):
    pass


def run(*workflows: Workflow, always_replay: bool = False, prepare: Callable[[World], None] | None = None) -> JobView:
    world = World(*workflows, always_replay=always_replay)
    if prepare is not None:
        prepare(world)
    job_id = world.start(workflows[0].name, {})
    asyncio.run(world.run())
    return world.view(job_id)


def error_of(view: JobView) -> ErrorRecord:
    assert view.status is JobStatus.FAILED
    assert view.error is not None
    return view.error


async def same(value: object) -> object:
    return value


def test_foreign_awaitables_are_refused_with_advice() -> None:
    @workflow("foreign")
    async def foreign(job: JobContext, payload: Nothing) -> None:
        await asyncio.sleep(1)

    error = error_of(run(foreign))
    assert error.code == "foreign_awaitable"
    assert "job.step" in error.message


def test_one_name_twice_in_parallel_is_refused() -> None:
    @workflow("twice")
    async def twice(job: JobContext, payload: Nothing) -> list[object]:
        return await job.gather(job.step("same", same, 1), job.step("same", same, 2))

    assert error_of(run(twice)).code == "duplicate_step"


def test_keys_make_parallel_steps_distinct() -> None:
    @workflow("keyed")
    async def keyed(job: JobContext, payload: Nothing) -> list[object]:
        return await job.gather(*(job.options(key=str(i)).step("same", same, i) for i in range(5)))

    assert run(keyed).result == [0, 1, 2, 3, 4]


def test_the_same_key_twice_is_refused() -> None:
    @workflow("same-key")
    async def same_key(job: JobContext, payload: Nothing) -> None:
        await job.options(key="a").step("s", same, 1)
        await job.options(key="a").step("s", same, 2)

    assert error_of(run(same_key)).code == "duplicate_step"


def test_branches_may_be_coroutines_with_several_steps() -> None:
    @workflow("branches")
    async def branches(job: JobContext, payload: Nothing) -> list[object]:
        async def branch(name: str) -> object:
            first = await job.step(f"{name}-1", same, name)
            await job.sleep(1_000, name=f"{name}-nap")
            return await job.step(f"{name}-2", same, f"{first}!")

        return await job.gather(branch("a"), branch("b"), branch("c"), limit=2)

    for always_replay in (False, True):
        assert run(branches, always_replay=always_replay).result == ["a!", "b!", "c!"]


def test_gather_raises_the_first_failure_in_order_after_all_ended() -> None:
    done: list[str] = []

    async def fail(code: str) -> None:
        raise NonRetryableError(code, code=code)

    async def succeed() -> None:
        done.append("ran")

    @workflow("mixed")
    async def mixed(job: JobContext, payload: Nothing) -> None:
        await job.gather(job.step("b", fail, "second"), job.step("c", succeed), job.step("a", fail, "third"))

    assert error_of(run(mixed)).code == "second"
    assert done == ["ran"]


class Point(msgspec.Struct, frozen=True):
    x: int
    label: str


async def make_point(x: int) -> Point:
    return Point(x, "p")


def test_results_keep_their_annotated_type_in_a_replay() -> None:
    @workflow("typed")
    async def typed(job: JobContext, payload: Nothing) -> str:
        point = await job.step("point", make_point, 3)
        other = await job.step("other", partial(partial(make_point), 4))
        await job.sleep(10)
        return f"{type(point).__name__} {point.x} {point.label}, {type(other).__name__} {other.x}"

    assert run(typed).result == run(typed, always_replay=True).result == "Point 3 p, Point 4"


def test_first_run_returns_what_a_replay_returns() -> None:
    async def a_tuple() -> object:
        return (1, {"k": (2, 3)})

    @workflow("tuple")
    async def shapes(job: JobContext, payload: Nothing) -> str:
        return repr(await job.step("t", a_tuple))

    assert run(shapes).result == "[1, {'k': [2, 3]}]"


def test_time_random_and_uuid_are_the_same_in_every_replay() -> None:
    seen: list[tuple[int, float, str]] = []

    @workflow("replay-safe")
    async def replay_safe(job: JobContext, payload: Nothing) -> None:
        values = (job.now_ms(), job.random(), job.uuid())
        seen.append(values)
        await job.sleep(5_000)
        await job.sleep(5_000)
        assert job.now_ms() >= values[0] + 10_000

    assert run(replay_safe, always_replay=True).status is JobStatus.COMPLETED
    assert len(seen) == 3
    assert len(set(seen)) == 1


def test_a_sleep_ends_at_the_time_fixed_when_it_began() -> None:
    @workflow("nap")
    async def nap(job: JobContext, payload: Nothing) -> int:
        began = job.now_ms()
        await job.sleep(3_600_000)
        return job.now_ms() - began

    for write in range(1, 40):
        view = run(nap, prepare=lambda world, at=write: world.crash_at(at))  # type: ignore[misc]
        assert view.status is JobStatus.COMPLETED
        assert isinstance(view.result, int)
        assert 3_600_000 <= view.result < 3_600_000 + 15_000


def test_results_that_cannot_be_stored_fail_with_a_code() -> None:
    async def unstorable() -> object:
        return object()

    async def huge() -> object:
        return "x" * 17_000_000

    @workflow("unstorable")
    async def first(job: JobContext, payload: Nothing) -> None:
        await job.step("s", unstorable)

    @workflow("huge")
    async def second(job: JobContext, payload: Nothing) -> None:
        await job.step("s", huge)

    assert error_of(run(first)).code == "value_not_encodable"
    assert error_of(run(second)).code == "value_too_large"


def test_retry_waits_grow_and_the_last_error_is_kept() -> None:
    times: list[int] = []

    async def fail() -> None:
        times.append(current_step().now_ms)
        raise RetryableError("still down")

    options = WorkflowOptions(
        retry=RetryPolicy(max_attempts=5, initial_interval_ms=1_000, max_interval_ms=3_000, jitter="none")
    )

    @workflow("retry", options=options)
    async def retry(job: JobContext, payload: Nothing) -> None:
        await job.step("s", fail)

    error = error_of(run(retry))
    assert (error.code, error.message, error.attempt) == ("retryable", "still down", 5)
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert [round(wait / 1_000) for wait in waits] == [1, 2, 3, 3]


def test_a_server_may_ask_for_its_own_wait() -> None:
    times: list[int] = []

    async def limited() -> None:
        times.append(current_step().now_ms)
        if len(times) == 1:
            raise RetryableError("slow down", retry_after_ms=77_000)

    @workflow("limited")
    async def job_main(job: JobContext, payload: Nothing) -> None:
        await job.step("s", limited)

    assert run(job_main).status is JobStatus.COMPLETED
    assert times[1] - times[0] == 77_000


def timeout_workflow(body: Callable[[], Awaitable[object]]) -> Workflow:
    @workflow("timeout", options=WorkflowOptions(retry=RetryPolicy(max_attempts=2, jitter="none")))
    async def main(job: JobContext, payload: Nothing) -> object:
        return await job.options(timeout_ms=1).step("slow", body)

    return main


def test_a_step_that_outlives_its_timeout_cannot_commit() -> None:
    attempts: list[int] = []

    async def stubborn() -> object:
        attempts.append(current_step().attempt)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "too late"
        return None

    class Ticking(World):
        """The clock moves while the step waits, as I/O would move it."""

    world = Ticking(timeout_workflow(stubborn))
    real_now = world.clock.now_ms

    def moving() -> int:
        world.clock.time_ms += 1
        return real_now()

    world.clock.now_ms = moving  # type: ignore[method-assign]
    job_id = world.start("timeout", {})
    asyncio.run(world.run())
    assert error_of(world.view(job_id)).code == "step_timeout"
    assert attempts == [1, 2]


def test_a_step_that_kills_its_slice_fails_with_that_cause_and_others_finish() -> None:
    deaths: list[int] = []

    async def killer() -> None:
        deaths.append(1)
        raise Crash

    @workflow("poisoned")
    async def poisoned(job: JobContext, payload: Nothing) -> list[object]:
        await job.step("good", same, 1)
        try:
            await job.step("killer", killer)
        except Exception as error:
            return [str(error), await job.step("after", same, 2)]
        return []

    view = run(poisoned)
    assert view.status is JobStatus.COMPLETED
    assert "killed its slice" in str(view.result)
    assert view.crashes == len(deaths) == 5


def test_workflow_code_that_kills_its_slices_fails_the_job() -> None:
    @workflow("doomed")
    async def doomed(job: JobContext, payload: Nothing) -> None:
        raise Crash

    view = run(doomed)
    assert error_of(view).code == "slice_crashed"


def test_a_batch_that_kills_its_slice_is_halved_until_it_fits() -> None:
    sizes: list[int] = []

    async def heavy(batch: object) -> int:
        items = getattr(batch, "items")  # noqa: B009
        sizes.append(len(items))
        if len(items) > 8:
            raise Crash
        return getattr(batch, "state") + len(items)  # noqa: B009

    @workflow("heavy")
    async def main(job: JobContext, payload: Nothing) -> object:
        return (await job.each("walk", range(200), heavy, state=0, batch=64)).state

    view = run(main)
    assert view.result == 200
    assert max(sizes[sizes.index(8) :]) <= 16


def test_a_journal_that_contradicts_the_code_pauses_the_job_and_keeps_it() -> None:
    kind = {"now": "step"}

    @workflow("changing")
    async def changing(job: JobContext, payload: Nothing) -> str:
        if kind["now"] == "step":
            await job.step("thing", same, 1)
        else:
            await job.sleep(5, name="thing")
        await job.sleep(60_000, name="nap")
        return "done"

    world = World(changing, always_replay=True)
    job_id = world.start("changing", {})

    async def scenario() -> None:
        await world.run(until_ms=world.clock.now_ms() + 1_000)
        kind["now"] = "sleep"
        await world.run()

    asyncio.run(scenario())
    view = world.view(job_id)
    assert view.status is JobStatus.PAUSED
    assert view.error is not None
    assert view.error.code == "journal_mismatch"
    assert "step" in view.error.message
    assert "sleep" in view.error.message


def test_reordering_and_adding_steps_in_a_deploy_is_safe() -> None:
    order = ["a", "b"]
    ran: list[str] = []

    async def note(name: str) -> str:
        ran.append(name)
        return name

    @workflow("deployed")
    async def deployed(job: JobContext, payload: Nothing) -> list[str]:
        results = [await job.step(name, note, name) for name in order]
        await job.sleep(60_000)
        return [*results, await job.step("end", note, "end")]

    world = World(deployed, always_replay=True)
    job_id = world.start("deployed", {})

    async def scenario() -> None:
        await world.run(until_ms=world.clock.now_ms() + 1_000)
        order[:] = ["new", "b", "a"]
        await world.run()

    asyncio.run(scenario())
    assert world.view(job_id).result == ["new", "b", "a", "end"]
    assert ran == ["a", "b", "new", "end"]


def test_jobs_under_way_keep_the_old_side_of_a_change_and_new_jobs_take_the_new_one() -> None:
    release = {"patched": False}

    @workflow("changing-code")
    async def changing(job: JobContext, payload: Nothing) -> list[object]:
        sides: list[object] = [await job.step("before", same, "before")]
        if release["patched"] and job.patched("new-tax"):
            sides.append(await job.step("new", same, "new"))
        else:
            sides.append(await job.step("old", same, "old"))
        await job.sleep(60_000)
        if release["patched"] and job.patched("later-change"):
            sides.append("later")
        return sides

    world = World(changing, always_replay=True)
    before = world.start("changing-code", {})

    async def scenario() -> str:
        await world.run(until_ms=world.clock.now_ms() + 1_000)
        release["patched"] = True
        after = world.start("changing-code", {})
        await world.run()
        return after

    after = asyncio.run(scenario())
    assert world.view(before).result == ["before", "old", "later"]
    assert world.view(after).result == ["before", "new", "later"]


def test_a_large_result_lies_in_object_storage_and_survives_every_crash() -> None:
    async def huge() -> object:
        return {"text": "x" * 3_000_000}

    @workflow("large")
    async def main(job: JobContext, payload: Nothing) -> int:
        first = await job.step("huge", huge)
        await job.sleep(1_000)
        again = await job.step("same", same, len(str(first)))
        return again if isinstance(again, int) else 0

    def outcome(write: int | None) -> tuple[object, list[str]]:
        world = World(main, always_replay=write is None)
        if write is not None:
            world.crash_at(write)
        job_id = world.start("large", {})
        asyncio.run(world.run())
        keys = asyncio.run(world.blobs.list("jobs/"))
        assert all(key.startswith(f"jobs/{job_id}/values/") for key in keys)
        return world.view(job_id).result, keys

    for write in (None, *range(1, 30)):
        result, keys = outcome(write)
        assert result == len(str({"text": "x" * 3_000_000}))
        assert len(keys) == 1
