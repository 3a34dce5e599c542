"""Events, tokens, pause, retry, deadlines: waits survive crashes, and repeats change nothing."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from orchestrator import (
    JobContext,
    NonRetryableError,
    RetryPolicy,
    StepFailedError,
    WorkflowOptions,
    current_step,
    workflow,
)
from orchestrator.errors import (
    ConflictError,
    InvalidRequestError,
    UnauthorizedError,
    UnknownTokenError,
)
from orchestrator.lifecycle import JobStatus
from orchestrator.model import JobOptions, RetryJob
from orchestrator.operations import Token
from orchestrator.testing import World
from orchestrator.tokens import TokenSigner, parse


class Nothing(BaseModel):
    pass


class Log:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.broken = True


def log() -> Log:
    found = current_step().services
    assert isinstance(found, Log)
    return found


async def note(text: str) -> str:
    log().calls.append(text)
    return text


async def hand_over(token: Token) -> None:
    log().calls.append(f"{token.id} {token.access_token}")


async def breakable() -> str:
    log().calls.append("breakable")
    if log().broken:
        raise NonRetryableError("broken for now", code="broken_for_now")
    return "mended"


@workflow("approval")
async def approval(job: JobContext, payload: Nothing) -> object:
    await job.step("ask", note, "asked")
    first = await job.wait_for_event("answer", timeout_ms=86_400_000)
    second = await job.wait_for_event("answer", timeout_ms=86_400_000)
    return [first, second]


@workflow("impatient")
async def impatient(job: JobContext, payload: Nothing) -> str:
    try:
        await job.wait_for_event("never", timeout_ms=60_000)
    except StepFailedError as error:
        return f"{error.record.code}: {error.record.message}"
    return "came"


@workflow("outside")
async def outside(job: JobContext, payload: Nothing) -> object:
    token = await job.create_token(timeout_ms=7_200_000)
    await job.step("hand over", hand_over, token)
    return await job.wait_for_token(token)


@workflow("watched")
async def watched(job: JobContext, payload: Nothing) -> list[object]:
    token = await job.create_token(timeout_ms=150_000)
    await job.step("hand over", hand_over, token)
    for looks in range(2):
        try:
            return [looks, await job.wait_for_token(token, timeout_ms=60_000)]
        except StepFailedError:
            await job.step("look", note, "looked")
    return ["at last", await job.wait_for_token(token, timeout_ms=600_000)]


async def clean_up(job: JobContext, payload: BaseModel, error: str) -> None:
    await job.step("clean up", note, f"cleaned up after: {error}")


@workflow("mendable", options=WorkflowOptions(on_failure=clean_up, on_cancel=clean_up))
async def mendable(job: JobContext, payload: Nothing) -> str:
    await job.step("first", note, "first")
    result = await job.step("fragile", breakable)
    await job.sleep(60_000)
    return result


@workflow("erasing", options=WorkflowOptions(retried_from="scratch"))
async def erasing(job: JobContext, payload: Nothing) -> str:
    await job.step("first", note, "first")
    return await job.step("fragile", breakable)


ALL = [approval, impatient, outside, watched, mendable, erasing]


def world_with(services: Log, *, always_replay: bool = False) -> World:
    return World(*ALL, services=services, always_replay=always_replay)


def settle(world: World, *, for_ms: int = 30_000) -> None:
    asyncio.run(world.run(until_ms=world.clock.now_ms() + for_ms))


def test_events_that_came_before_their_wait_are_taken_in_order() -> None:
    world = world_with(Log())
    job_id = world.start("approval", {})
    for number in (1, 2):
        world.call(job_id, lambda engine, number=number: engine.deliver_event("answer", None, number))  # type: ignore[misc]
    asyncio.run(world.run())
    assert world.view(job_id).result == [1, 2]


@pytest.mark.parametrize("always_replay", [False, True])
def test_events_before_and_after_the_wait_arrive_in_order_and_once(always_replay: bool) -> None:
    world = world_with(Log(), always_replay=always_replay)
    job_id = world.start("approval", {})
    world.call(job_id, lambda engine: engine.deliver_event("answer", "e1", {"yes": 1}))
    settle(world)
    assert world.view(job_id).status is JobStatus.SUSPENDED
    assert [wait.kind for wait in world.view(job_id).waits] == ["wait"]
    for _ in range(3):
        world.call(job_id, lambda engine: engine.deliver_event("answer", "e1", {"yes": 1}))
    settle(world)
    assert world.view(job_id).status is JobStatus.SUSPENDED
    world.call(job_id, lambda engine: engine.deliver_event("answer", "e2", {"yes": 2}))
    asyncio.run(world.run())
    assert world.view(job_id).result == [{"yes": 1}, {"yes": 2}]


def test_a_job_that_was_cancelled_waits_for_nothing_any_more() -> None:
    world = world_with(Log())
    job_id = world.start("approval", {})
    settle(world)
    world.call(job_id, lambda engine: engine.cancel("no more"))
    asyncio.run(world.run())
    assert world.view(job_id).status is JobStatus.CANCELLED
    assert world.view(job_id).waits == ()


def test_waiting_costs_no_alarm_until_the_timeout() -> None:
    world = world_with(Log())
    world.start("approval", {})
    settle(world)
    ticks = world.ticks
    settle(world, for_ms=86_000_000)
    assert world.ticks == ticks


def test_a_wait_that_times_out_says_when() -> None:
    world = world_with(Log())
    job_id = world.start("impatient", {})
    asyncio.run(world.run())
    result = world.view(job_id).result
    assert isinstance(result, str)
    assert result.startswith("wait_timeout: Waitpoint timed out at 20")
    assert result.endswith("Z")


def test_events_for_an_ended_job_are_refused() -> None:
    world = world_with(Log())
    job_id = world.start("impatient", {})
    asyncio.run(world.run())
    with pytest.raises(ConflictError) as caught:
        world.call(job_id, lambda engine: engine.deliver_event("never", None, None))
    assert caught.value.error_code == "job_ended"


def test_a_token_is_completed_once_by_its_own_bearer() -> None:
    services = Log()
    world = world_with(services)
    job_id = world.start("outside", {})
    settle(world)
    token_id, access = services.calls[0].split(" ")
    address = world.signer.check(token_id, access)
    assert (address.job_id, address.key) == (job_id, "token")
    with pytest.raises(UnauthorizedError):
        world.signer.check(token_id, access[:-1] + ("0" if access[-1] != "0" else "1"))
    with pytest.raises(UnauthorizedError):
        TokenSigner(b"another deployment").check(token_id, access)
    with pytest.raises(UnknownTokenError):
        parse("waitpoint_nonsense")
    with pytest.raises(UnknownTokenError):
        world.call(job_id, lambda engine: engine.complete_token("hand over", None))
    world.call(address.job_id, lambda engine: engine.complete_token(address.key, {"status": 200}))
    world.call(address.job_id, lambda engine: engine.complete_token(address.key, {"status": 500}))
    asyncio.run(world.run())
    assert world.view(job_id).result == {"status": 200}
    world.call(address.job_id, lambda engine: engine.complete_token(address.key, {"status": 500}))


def test_an_expired_token_fails_its_wait_and_takes_nothing_more() -> None:
    world = world_with(Log())
    job_id = world.start("outside", {})
    asyncio.run(world.run())
    before = world.view(job_id)
    assert before.status is JobStatus.FAILED
    world.call(job_id, lambda engine: engine.complete_token("token", "late"))
    asyncio.run(world.run())
    after = world.view(job_id)
    assert (after.status, after.error, after.revision) == (before.status, before.error, before.revision)


def test_a_token_survives_a_crash_before_every_write() -> None:
    for write in range(1, 60):
        services = Log()
        world = world_with(services)
        world.crash_at(write)
        job_id = world.start("outside", {})
        settle(world)
        tokens = {call.split(" ")[0] for call in services.calls}
        assert len(tokens) == 1
        world.call(job_id, lambda engine: engine.complete_token("token", "done"))
        asyncio.run(world.run())
        assert world.view(job_id).result == "done", f"crashed before write {write}"


@pytest.mark.parametrize("always_replay", [False, True])
@pytest.mark.parametrize(("after_ms", "result"), [(1_000, [0, "x"]), (61_000, [1, "x"]), (121_000, ["at last", "x"])])
def test_a_wait_may_be_shorter_than_its_token(after_ms: int, result: list[object], always_replay: bool) -> None:
    for write in range(40):
        world = world_with(Log(), always_replay=always_replay)
        world.crash_at(write)
        job_id = world.start("watched", {})
        settle(world, for_ms=after_ms + 20_000 * (write > 0))
        world.call(job_id, lambda engine: engine.complete_token("token", "x"))
        asyncio.run(world.run())
        found = world.view(job_id).result
        assert found == result or write > 0, f"crashed before write {write}"
        assert world.view(job_id).status is JobStatus.COMPLETED


def test_the_last_of_several_waits_ends_with_the_token() -> None:
    world = world_with(Log())
    job_id = world.start("watched", {})
    began_ms = world.clock.now_ms()
    asyncio.run(world.run())
    error = world.view(job_id).error
    assert error is not None
    assert (error.code, error.message.startswith("Waitpoint timed out at ")) == ("wait_timeout", True)
    assert 150_000 <= world.clock.now_ms() - began_ms < 151_000


def test_paused_time_does_not_count() -> None:
    world = world_with(Log())
    job_id = world.start("impatient", {})
    settle(world)
    world.call(job_id, lambda engine: engine.pause())
    settle(world, for_ms=3_600_000)
    assert world.view(job_id).status is JobStatus.PAUSED
    world.call(job_id, lambda engine: engine.resume())
    settle(world, for_ms=20_000)
    assert world.view(job_id).status is JobStatus.SUSPENDED
    settle(world, for_ms=20_000)
    assert world.view(job_id).status is JobStatus.COMPLETED


def test_a_failed_job_is_retried_from_its_failed_step() -> None:
    services = Log()
    world = world_with(services)
    job_id = world.start("mendable", {})
    asyncio.run(world.run())
    assert world.view(job_id).status is JobStatus.FAILED
    assert services.calls == ["first", "breakable", "cleaned up after: broken for now"]
    services.broken = False
    world.call(job_id, lambda engine: engine.retry(RetryJob()))
    asyncio.run(world.run())
    assert (world.view(job_id).status, world.view(job_id).result) == (JobStatus.COMPLETED, "mended")
    assert services.calls[3:] == ["breakable"]
    with pytest.raises(ConflictError):
        world.call(job_id, lambda engine: engine.retry(RetryJob()))


def test_a_job_cancelled_while_it_sleeps_and_retried_before_that_is_over_wakes_up() -> None:
    services = Log()
    services.broken = False
    world = world_with(services)
    job_id = world.start("mendable", {})
    settle(world)
    world.call(job_id, lambda engine: engine.cancel("by mistake"))
    settle(world, for_ms=1_000)
    assert world.view(job_id).status is JobStatus.CANCELLED
    world.call(job_id, lambda engine: engine.retry(RetryJob()))
    asyncio.run(world.run())
    assert (world.view(job_id).status, world.view(job_id).result) == (JobStatus.COMPLETED, "mended")


def test_a_failed_job_is_retried_from_scratch_or_a_named_step() -> None:
    for request, expected in (
        (RetryJob(scratch=True), ["first", "breakable"]),
        (RetryJob(from_step="first"), ["first", "breakable"]),
    ):
        services = Log()
        world = world_with(services)
        job_id = world.start("mendable", {})
        asyncio.run(world.run())
        with pytest.raises(InvalidRequestError):
            world.call(job_id, lambda engine: engine.retry(RetryJob(from_step="no such step")))
        services.broken = False
        world.call(job_id, lambda engine, request=request: engine.retry(request))  # type: ignore[misc]
        asyncio.run(world.run())
        assert world.view(job_id).status is JobStatus.COMPLETED
        assert services.calls[3:] == expected


@pytest.mark.parametrize(
    ("request_", "expected"),
    [(RetryJob(), ["first", "breakable"]), (RetryJob(from_step="fragile"), ["breakable"])],
)
def test_a_workflow_may_begin_from_scratch_unless_a_step_is_named(request_: RetryJob, expected: list[str]) -> None:
    services = Log()
    world = world_with(services)
    job_id = world.start("erasing", {})
    asyncio.run(world.run())
    assert world.view(job_id).status is JobStatus.FAILED
    services.broken = False
    services.calls.clear()
    world.call(job_id, lambda engine: engine.retry(request_))
    asyncio.run(world.run())
    assert (world.view(job_id).status, services.calls) == (JobStatus.COMPLETED, expected)


def test_cancelling_runs_the_hook_and_ends() -> None:
    services = Log()
    services.broken = False
    world = world_with(services)
    job_id = world.start("mendable", {})
    settle(world)
    assert world.view(job_id).status is JobStatus.SUSPENDED
    world.call(job_id, lambda engine: engine.cancel("no longer wanted"))
    asyncio.run(world.run())
    assert world.view(job_id).status is JobStatus.CANCELLED
    assert services.calls[-1] == "cleaned up after: no longer wanted"


def test_a_job_that_did_not_start_in_time_expires() -> None:
    world = world_with(Log())
    job_id = world.start("impatient", {}, JobOptions(mode="queue", ttl_ms=5_000))
    asyncio.run(world.run(until_ms=world.clock.now_ms() + 4_000))
    assert world.view(job_id).status is JobStatus.QUEUED
    asyncio.run(world.run())
    assert world.view(job_id).status is JobStatus.EXPIRED


def test_a_message_that_comes_too_late_starts_nothing() -> None:
    """Its alarm is later still: both may be delayed."""
    world = world_with(Log())
    job_id = world.start("impatient", {}, JobOptions(mode="queue", ttl_ms=5_000))
    world.queued.clear()
    world.clock.time_ms += 5_000
    world.call(job_id, lambda engine: engine.dispatch())
    assert world.view(job_id).status is JobStatus.QUEUED
    asyncio.run(world.run())
    assert world.view(job_id).status is JobStatus.EXPIRED


def test_a_job_that_started_in_time_is_left_alone_when_that_time_is_over() -> None:
    world = world_with(Log())
    job_id = world.start("impatient", {}, JobOptions(mode="direct", ttl_ms=5_000))
    settle(world, for_ms=20_000)
    assert (world.view(job_id).status, world.view(job_id).slices) == (JobStatus.SUSPENDED, 1)


def test_a_job_that_takes_too_long_fails_with_that_cause() -> None:
    world = world_with(Log())
    job_id = world.start("approval", {}, JobOptions(mode="direct", max_duration_ms=600_000))
    asyncio.run(world.run())
    view = world.view(job_id)
    assert view.status is JobStatus.FAILED
    assert view.error is not None
    assert view.error.code == "job_timeout"


def test_a_delayed_job_starts_when_it_is_due() -> None:
    world = world_with(Log())
    began_ms = world.clock.now_ms()
    job_id = world.start("impatient", {}, JobOptions(mode="direct", delay_ms=3_600_000))
    asyncio.run(world.run())
    started_ms = world.view(job_id).started_at_ms
    assert started_ms is not None
    assert 3_600_000 <= started_ms - began_ms < 3_601_000


async def unreliable() -> str:
    log().calls.append(f"attempt {current_step().attempt}")
    if log().broken:
        raise ConnectionError("the provider is down")
    return "up again"


@workflow("patient", options=WorkflowOptions(retry=RetryPolicy(max_attempts=3, on_exhausted="pause", jitter="none")))
async def patient(job: JobContext, payload: Nothing) -> str:
    return await job.step("call", unreliable)


@pytest.mark.parametrize("always_replay", [False, True])
def test_a_policy_may_pause_the_job_instead_of_failing_it(always_replay: bool) -> None:
    services = Log()
    world = World(patient, services=services, always_replay=always_replay)
    job_id = world.start("patient", {})
    asyncio.run(world.run())
    view = world.view(job_id)
    assert view.status is JobStatus.PAUSED
    assert view.error is not None
    assert view.error.message == "the provider is down"
    services.broken = False
    world.call(job_id, lambda engine: engine.resume())
    asyncio.run(world.run())
    assert (world.view(job_id).status, world.view(job_id).result) == (JobStatus.COMPLETED, "up again")
    assert services.calls == ["attempt 1", "attempt 2", "attempt 3", "attempt 1"]


def test_a_deploy_does_not_change_a_step_that_is_being_retried() -> None:
    policy = {"now": RetryPolicy(max_attempts=4, jitter="none")}

    @workflow("redeployed")
    async def redeployed(job: JobContext, payload: Nothing) -> str:
        return await job.options(retry=policy["now"]).step("call", unreliable)

    services = Log()
    world = World(redeployed, services=services, always_replay=True)
    job_id = world.start("redeployed", {})
    settle(world, for_ms=500)
    policy["now"] = RetryPolicy(max_attempts=1)
    asyncio.run(world.run())
    assert world.view(job_id).status is JobStatus.FAILED
    assert len(services.calls) == 4


async def note_key() -> None:
    log().calls.append(current_step().idempotency_key)


async def note_failure(job: JobContext, payload: BaseModel, error: str) -> None:
    await job.step("note", note_key)


@workflow("failing-twice", options=WorkflowOptions(on_failure=note_failure))
async def failing_twice(job: JobContext, payload: Nothing) -> None:
    await job.step("breakable", breakable)


def test_a_hook_that_runs_for_a_second_failure_has_keys_of_its_own() -> None:
    services = Log()
    world = World(failing_twice, services=services)
    job_id = world.start("failing-twice", {})
    asyncio.run(world.run())
    world.call(job_id, lambda engine: engine.retry(RetryJob()))
    asyncio.run(world.run())
    keys = [call for call in services.calls if call.startswith(job_id)]
    assert len(keys) == len(set(keys)) == 2


def test_a_pause_in_a_hook_does_not_hide_why_the_job_failed() -> None:
    async def hook(job: JobContext, payload: BaseModel, error: str) -> None:
        policy = RetryPolicy(max_attempts=1, on_exhausted="pause")
        await job.options(retry=policy).step("mend", mend)

    async def mend() -> None:
        if log().broken:
            raise ConnectionError("the mail server is away")

    async def refuse() -> None:
        raise NonRetryableError("no", code="refused")

    @workflow("hooked", options=WorkflowOptions(on_failure=hook))
    async def hooked(job: JobContext, payload: Nothing) -> None:
        await job.step("refuse", refuse)

    services = Log()
    world = World(hooked, services=services)
    job_id = world.start("hooked", {})
    asyncio.run(world.run())
    view = world.view(job_id)
    assert view.status is JobStatus.PAUSED
    assert view.error is not None
    assert view.error.step == "on_failure/mend"
    services.broken = False
    world.call(job_id, lambda engine: engine.resume())
    asyncio.run(world.run())
    view = world.view(job_id)
    assert view.status is JobStatus.FAILED
    assert view.error is not None
    assert view.error.code == "refused"


async def fail_too(job: JobContext, payload: BaseModel, error: str) -> None:
    raise NonRetryableError("the hook is broken", code="hook_broken")


@workflow("badly-hooked", options=WorkflowOptions(on_failure=fail_too))
async def badly_hooked(job: JobContext, payload: Nothing) -> None:
    await job.step("breakable", breakable)


def test_a_hook_that_fails_does_not_hide_why_the_job_did() -> None:
    world = World(badly_hooked, services=Log())
    job_id = world.start("badly-hooked", {})
    asyncio.run(world.run())
    view = world.view(job_id)
    assert view.error is not None
    assert (view.status, view.error.step) == (JobStatus.FAILED, "breakable")
    events = world.call(job_id, lambda engine: engine.journal.history.after(0, 100))
    assert "hook.failed" in [event.kind for event in events]
