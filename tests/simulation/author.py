"""The workflow that reads a program, its steps, and the outside that they act on."""

from __future__ import annotations

import asyncio
from typing import cast

import msgspec
from pydantic import BaseModel

from orchestrator import (
    Batch,
    ChildOutcome,
    ChildRequest,
    Connection,
    JobContext,
    KeyLimit,
    LanePolicy,
    NonRetryableError,
    RetryableError,
    RetryPolicy,
    StepFailedError,
    WorkflowOptions,
    current_step,
    workflow,
)
from orchestrator import (
    Rate as RatePolicy,
)
from orchestrator.errors import RequestError
from orchestrator.testing.database import MemoryDatabase
from orchestrator.testing.faults import Crash
from orchestrator.testing.host import Copy
from orchestrator.testing.loop import OWNER
from orchestrator.testing.simulation import Simulation
from tests.simulation.oracle import ATTEMPTS
from tests.simulation.program import (
    Call,
    Fan,
    Gather,
    Guard,
    Job,
    Loop,
    Ops,
    Rate,
    Sleep,
    Start,
    Step,
    Transaction,
    Undo,
    Wait,
)

#: What a step that hangs would take, and how long it may.
HANG_MS, TIMEOUT_MS, PLENTY_MS = 3_600_000, 20_000, 800_000
#: How long a wait lasts for what comes, and for what does not.
PATIENCE_MS, SHORT_MS = 10 * 3_600_000, 5_000
BIG = 2_000_000
POLICY = RetryPolicy(max_attempts=ATTEMPTS, initial_interval_ms=100, max_interval_ms=2_000)
#: For what the simulation itself lets fail: attempts that are not the program's must not use the program's up.
PATIENT = RetryPolicy(max_attempts=60, initial_interval_ms=100, max_interval_ms=20_000)


class Script(BaseModel):
    path: str = ""
    #: When a schedule meant the job to start; part of the path.
    at: str = ""
    body: list[dict[str, object]] = []


class Outside:
    """Everything beyond the jobs: it remembers what was done to it, and answers after a while."""

    def __init__(self) -> None:
        self.simulation: Simulation | None = None
        self.mended = False
        self.faults: list[str] = []
        self._seen: dict[tuple[str, str], object] = {}
        self._killed: dict[str, int] = {}
        self._asked: set[str] = set()
        self._once: set[str] = set()
        #: What loops have done, and what was undone.
        self.done: set[str] = set()
        self.undone: set[str] = set()

    @property
    def world(self) -> Simulation:
        assert self.simulation is not None
        return self.simulation

    def begin(self, *args: object) -> None:
        """Take note that a step runs: the same each time, and never once its end is durable."""
        step, copy = current_step(), cast("Copy", OWNER.get())
        before = self._seen.setdefault((step.job_id, step.key), args)
        if before != args:
            self.faults.append(f"{step.key} ran with {before} and then with {args}")
        if copy.state == "alive":
            done = self.world.objects[step.job_id].sql.execute(
                "select 1 from step where key = ? and status = 'completed'", step.key
            )
            if done:
                self.faults.append(f"{step.key} ran again after it had completed")

    def once(self, what: str) -> bool:
        """Tell whether this is the first time."""
        first = what not in self._once
        self._once.add(what)
        return first

    def kill(self, path: str, times: int) -> None:
        """End the object that runs this step, some times."""
        copy = cast("Copy", OWNER.get())
        killed = self._killed.get(path, 0)
        if times < 0 or (killed < times and self.world.may_kill(copy.host)):
            self._killed[path] = killed + 1
            if copy.state == "alive":
                self.world.kill(copy.host)
            raise Crash

    def ask(self, path: str, job_id: str, what: str, token_id: str, after_ms: int) -> None:
        """Have something sent to a job after a while; asking again changes nothing."""
        if path not in self._asked:
            self._asked.add(path)
            self.world.go(self._answer(path, job_id, what, token_id, after_ms))

    async def _answer(self, path: str, job_id: str, what: str, token_id: str, after_ms: int) -> None:
        world = self.world
        await world.sleep(after_ms)
        for _ in range(2):  # senders repeat themselves
            try:
                if what == "token":
                    await world.client.complete_token(token_id, path)
                else:
                    name = f"event {path}"
                    await world.client.call(
                        "event", job_id, lambda engine, name=name: engine.deliver_event(name, name, path)
                    )
            except RequestError:
                return  # the job has ended meanwhile


def outside() -> Outside:
    return cast("Outside", current_step().services)


async def act(path: str, op: dict[str, object]) -> str:
    step = msgspec.convert(op, Step)
    world = outside()
    world.begin(path)
    world.kill(path, step.kills)
    attempt = current_step().attempt
    if step.ms:
        await asyncio.sleep(step.ms / 1000)
    if step.broken == "always" or (step.broken and not world.mended):
        raise NonRetryableError("broken", code="broken")
    if attempt <= step.hangs:
        await asyncio.sleep(HANG_MS / 1000)
    if attempt <= step.hangs + step.fails:
        raise RetryableError("not yet", code="shaky")
    return path


async def act_big(path: str, op: dict[str, object]) -> str:
    return (await act(path, op)).ljust(BIG)


async def book(connection: Connection, path: str, fails: int) -> str:
    outside().begin(path)
    await connection.execute("insert into booking (path) values ($1)", path)
    if current_step().attempt <= fails:
        raise RetryableError("not yet", code="shaky")
    return path


async def undo(path: str, fails: int) -> None:
    outside().begin(path)
    if current_step().attempt <= fails:
        raise RetryableError("not yet", code="shaky")
    outside().undone.add(path)


async def unbook(connection: Connection, path: str, fails: int) -> None:
    outside().begin(path)
    await connection.execute("insert into unbooking (path) values ($1)", path)
    if current_step().attempt <= fails:
        raise RetryableError("not yet", code="shaky")


async def ask(path: str, job_id: str, what: str, token_id: str, after_ms: int) -> None:
    outside().begin(path, token_id)
    outside().ask(path, job_id, what, token_id, after_ms)


def database() -> MemoryDatabase:
    return MemoryDatabase("create table booking (path text)", "create table unbooking (path text)")


class Player:
    """Runs a body of operations."""

    def __init__(self, job: JobContext) -> None:
        self._job = job

    async def body(self, body: tuple[Ops, ...], path: str, *, parallel: bool = False) -> list[object]:
        return [await self.op(op, f"{path}/{number}", parallel=parallel) for number, op in enumerate(body)]

    async def op(self, op: Ops, path: str, *, parallel: bool) -> object:
        job, key = self._job, path if parallel else None
        if isinstance(op, Step):
            result = await self._step(op, path, key)
            return result.rstrip() if op.big else result
        if isinstance(op, Transaction):
            return await job.options(key=key, retry=PATIENT).transaction("book", book, path, op.fails)
        if isinstance(op, Loop):
            return await self._loop(op, path, key)
        if isinstance(op, Sleep):
            return await job.sleep(op.ms, key=key)
        if isinstance(op, Wait):
            return await self._wait(op, path, key)
        if isinstance(op, Undo):
            options = job.options(key=key, retry=PATIENT)
            if op.transaction:
                options.compensate_transaction("unbook", unbook, path, op.fails)
            else:
                options.compensate("undo", undo, path, op.fails)
            return None
        if isinstance(op, Rate):
            return await job.rate_limit("shared", count=20, name=f"rate {path}" if parallel else "rate")
        if isinstance(op, Guard):
            try:
                return await self.body(op.body, path, parallel=parallel)
            except StepFailedError as failure:
                return failure.record.code
        if isinstance(op, Gather):
            branches = enumerate(op.branches)
            return await job.gather(*(self.body(part, f"{path}.{n}", parallel=True) for n, part in branches))
        if isinstance(op, (Call, Start, Fan)):
            return await self._children(op, path, key)
        return self._notes(path, key)

    async def _step(self, op: Step, path: str, key: str | None) -> str:
        timeout_ms = TIMEOUT_MS if op.hangs else PLENTY_MS
        retry = PATIENT if op.big else POLICY
        options = self._job.options(key=key, retry=retry, timeout_ms=timeout_ms)
        return await options.step("act", act_big if op.big else act, path, msgspec.to_builtins(op))

    async def _loop(self, op: Loop, path: str, key: str | None) -> int:
        async def handle(batch: Batch[int, int]) -> int:
            world = outside()
            if batch.index == op.fails_in and world.once(f"{path}:{batch.index} failed"):
                raise RetryableError("not yet", code="shaky")
            await asyncio.sleep(0.01)
            world.done |= {f"{path}:{item}" for item in batch.items}
            return batch.state + sum(batch.items)

        job = self._job
        result = await job.each("walk", range(op.items), handle, state=0, batch=op.batch, key=key, retry=POLICY)
        return result.state

    async def _wait(self, op: Wait, path: str, key: str | None) -> object:
        job, timeout_ms = self._job, PATIENCE_MS if op.comes else SHORT_MS
        token = None
        if op.what == "token":
            token = await job.create_token(timeout_ms=timeout_ms, key=key)
        if op.comes:
            options = job.options(key=key and f"{key} ask", retry=POLICY)
            await options.step("ask", ask, path, job.id, op.what, "" if token is None else token.id, op.after_ms)
        if token is not None:
            return await job.wait_for_token(token, key=key)
        return await job.wait_for_event(f"event {path}", timeout_ms=timeout_ms, key=key)

    async def _children(self, op: Call | Start | Fan, path: str, key: str | None) -> object:
        job = self._job
        if isinstance(op, Start):
            child = await job.start_child("start", op.job.workflow, payload_of(op.job, f"{path}.0"), key=key)
            return await job.wait_for_child(child, key=key) if op.waits else None
        if isinstance(op, Call):
            return await job.run_child("call", op.job.workflow, payload_of(op.job, f"{path}.0"), key=key)
        requests = [
            ChildRequest(key=str(number), payload=payload_of(item, f"{path}.{number}"))
            for number, item in enumerate(op.jobs)
        ]
        result = await job.map_children(
            "fan",
            op.jobs[0].workflow,
            requests,
            reduce=add_up,
            state=Sum(),
            window=op.window,
            on_failure="collect" if op.collect else "fail_fast",
            key=key,
        )
        return sorted(result.state.ends)

    def _notes(self, path: str, key: str | None) -> None:
        job = self._job
        job.progress(1, 2)
        job.set_metadata("at", path)
        job.log("note", path=path)
        job.patched("a change")
        outside_of_steps = (job.now_ms(key=key), job.random(key=key), job.uuid(key=key))
        job.set_metadata("drawn", list(outside_of_steps))


class Sum(msgspec.Struct, frozen=True):
    """What a fan-out adds up: each child once."""

    ends: tuple[list[object], ...] = ()


def add_up(state: Sum, outcome: ChildOutcome) -> Sum:
    return Sum((*state.ends, [outcome.key, outcome.result if outcome.ok else None]))


def payload_of(job: Job, path: str) -> dict[str, object]:
    return {"path": path, "body": msgspec.to_builtins(job.body)}


async def main(job: JobContext, payload: Script) -> list[object]:
    return await Player(job).body(msgspec.convert(payload.body, tuple[Ops, ...]), payload.path + payload.at)


async def tidy_up(job: JobContext, payload: BaseModel, error: str) -> None:
    """A hook of some steps of its own."""
    await job.step("tidy", note_hook, job.id)
    await job.sleep(100)
    await job.step("tidy", note_hook, job.id)


async def note_hook(job_id: str) -> None:
    outside().begin(job_id)


NARROW = LanePolicy(name="narrow", concurrency=1)
KEYED = LanePolicy(name="keyed", concurrency=2, keys=(KeyLimit("org", 1),), rate=RatePolicy(count=50))

plain = workflow("plain", options=WorkflowOptions(retry=POLICY))(main)
hooked = workflow("hooked", options=WorkflowOptions(retry=POLICY, on_failure=tidy_up, on_cancel=tidy_up))(main)
narrow = workflow("narrow", options=WorkflowOptions(retry=POLICY, lane=NARROW))(main)
keyed = workflow("keyed", options=WorkflowOptions(retry=POLICY, lane=KEYED, on_failure=tidy_up))(main)
ALL = [plain, hooked, narrow, keyed]
