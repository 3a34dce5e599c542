"""Jobs under the platform's faults, in virtual time: everything happens at once, and the same for the same seed.

Objects run beside each other: their alarms fire late, early, twice or not at all, calls between them take time and get
lost, and any of them may end at any moment. ``docs/testing.md`` lists what is modelled and on which evidence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Set
from contextvars import copy_context
from functools import partial
from typing import Self, TypeVar

from orchestrator.engine import JobEngine
from orchestrator.errors import RetryableError
from orchestrator.model import Created, CreateJob, DeletedJob, JobSummary
from orchestrator.new_job import is_awaited
from orchestrator.ports import Blobs, Database
from orchestrator.testing.catalog import SWEEP_MS, Backstage, SmallBackstage
from orchestrator.testing.client import Client
from orchestrator.testing.database import MemoryDatabase
from orchestrator.testing.faults import Crash
from orchestrator.testing.host import Copy, EngineHost, Host, ObjectResetError
from orchestrator.testing.loop import OWNER, VirtualLoop
from orchestrator.testing.objects import Objects
from orchestrator.testing.plan import CALM, FaultKind, Plan
from orchestrator.testing.queues import Queues
from orchestrator.testing.sim_alarms import Alarms
from orchestrator.testing.sim_resources import DatabaseFaults, SimBlobs
from orchestrator.testing.skew import skewed
from orchestrator.testing.watch import Watch
from orchestrator.workflow import Workflow

E = TypeVar("E")
T = TypeVar("T")
#: A call between objects takes up to this long, and a slow one this much longer.
CALL_MS, SLOW_CALL_MS = 40, 15_000
#: A simulation that has not come to rest after this much virtual time never will.
LIMIT_MS = 24 * 3_600_000


class StuckError(AssertionError):
    """Something did not come to its end."""


class Simulation(Objects):
    """Jobs, their lanes, queues, catalog and sweeper, under faults.

    Args:
        *workflows: what jobs may run.
        services: what ``current_step().services`` is.
        database: the database of ``job.transaction``.
        always_replay: drop coroutines after every slice.
        seed: of everything.
        faults: how often each fault strikes where it may.
        only: strike at these points and nowhere else; see :class:`orchestrator.testing.plan.Plan`.
        backstage: makes the catalog, sweeper and queue consumers.
    """

    def __init__(
        self,
        *workflows: Workflow,
        services: object = None,
        database: MemoryDatabase | None = None,
        always_replay: bool = False,
        seed: int = 0,
        faults: Mapping[FaultKind, float] = CALM,
        only: Set[str] | None = None,
        backstage: Callable[[Simulation], Backstage] | None = None,
    ) -> None:
        super().__init__(*workflows, services=services, always_replay=always_replay, seed=seed)
        self.server = database or MemoryDatabase()
        self.plan = Plan(seed, faults, self.clock.now_ms, only=only)
        self.loop = VirtualLoop(self.clock, self._after_turn)
        self.alarms = Alarms(self)
        self.queues = Queues(self)
        self.client = Client(self)
        self.watch = Watch(self)
        #: What callers and queue consumers are still doing.
        self.outside: set[asyncio.Task[object]] = set()
        self.kills: dict[str, int] = {}
        #: More alarms than this, and something turns without end.
        self.most_ticks = 100_000
        self._written: dict[Host, None] = {}
        self.backstage: Backstage = (backstage or SmallBackstage)(self)
        self._began = self._closed = False

    # -- running -----------------------------------------------------------------------------------------------------

    def run(self, *, until_ms: int | None = None) -> None:
        """Run until everything has come to rest, or until a time.

        Raises:
            StuckError: something never came to rest.
            AssertionError: an invariant was broken (design.md §8).
        """
        if until_ms is not None:
            self.run_until(lambda: False, within_ms=until_ms - self.clock.time_ms)
        elif self.run_until(self.is_at_rest, within_ms=LIMIT_MS):
            self.watch.check_end()
        else:
            raise StuckError("; ".join(self.watch.unrest()) or "something outside never ended")

    def run_until(self, done: Callable[[], bool], *, within_ms: int) -> bool:
        """Run until something holds, which is asked whenever time would pass; tell whether it came to hold in time."""
        if not self._began:
            self._began = True
            self.spawn(self._tick_every_minute())
        self._after_turn()
        return self.loop.run(done, until_ms=self.clock.time_ms + within_ms)

    def advance(self, by_ms: int) -> None:
        """Let time pass."""
        self.run(until_ms=self.clock.time_ms + by_ms)

    def close(self) -> None:
        """End everything that still runs."""
        self._closed = True
        self.loop.close_tasks()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    def is_at_rest(self) -> bool:
        """Tell whether nobody outside is doing anything and every job has ended and told everybody."""
        return not self.outside and not self.watch.unrest()

    def spawn(self, work: Coroutine[object, object, T], owner: object = None) -> asyncio.Task[T]:
        """Run a coroutine beside everything else; what ends its owner ends it too."""
        context = copy_context()
        context.run(OWNER.set, owner)
        task = self.loop.create_task(work, context=context)
        if owner is None:
            task.add_done_callback(self._gone)
        return task

    def go(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Run something of the outside, which has to end before the simulation is at rest."""
        task = self.spawn(work)
        self.outside.add(task)
        return task

    async def _tick_every_minute(self) -> None:
        """Be the platform's cron, which promises neither that every tick comes nor that it comes once."""
        while True:
            await self.sleep(SWEEP_MS)
            if self.plan.strikes("cron_missed", "everything"):
                continue
            for _ in range(2 if self.plan.strikes("cron_twice", "everything") else 1):
                self.spawn(self.backstage.tick())

    async def sleep(self, delay_ms: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(delay_ms / 1000)

    def _gone(self, task: asyncio.Task[T]) -> None:
        self.outside.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.loop.failures.append(error)

    def _after_turn(self) -> None:
        """End the group of writes that each object has made at once; what was written holds all that it should."""
        while self._written and not self._closed:
            written, self._written = self._written, {}
            for host in written:
                host.end_turn()
                self.alarms.arm(host)
                self.watch.check(host)

    # -- life and death ----------------------------------------------------------------------------------------------

    def may_kill(self, host: Host) -> bool:
        """Tell whether an object may be killed once more: never so often in a row that its job has to be blamed."""
        return self.watch.blame(host) < 1

    def kill(self, host: Host, *, reset: bool = False) -> None:
        """End the present copy of an object: at once, or so that only its storage refuses it from now on."""
        self.kills[host.name] = self.kills.get(host.name, 0) + 1
        copy = host.copy
        keep = int(self.plan.draw("keep", host.name, self.kills[host.name]) * (host.sql.groups + 1))
        self.alarms.counted = not reset
        if reset:
            copy.state = "reset"
            host.replace(keep)
        else:
            host.crash(keep)
            for task in self.loop.tasks_of(copy):
                task.cancel()
        self.touched(host)

    def kill_all(self, *, reset: bool) -> None:
        """Reset every object, as a deploy does, or end them all, as one that exceeds the memory of its isolate does."""
        for host in self.hosts():
            if self.may_kill(host):
                self.kill(host, reset=reset)

    def hosts(self) -> list[Host]:
        """Return every object."""
        return [*self.objects.values(), *self.lanes.by_name.values(), *self.backstage.hosts()]

    async def pass_time(self, copy: Copy | None, what: str) -> None:
        """Let time pass while a copy waits for something outside; anything may happen to it meanwhile."""
        where = "outside" if copy is None else copy.host.name
        if copy is not None and copy.state == "dead":
            raise Crash
        await self.sleep(self.plan.delay_ms(f"{where} {what}", CALL_MS))
        if copy is None:
            return
        if copy.state == "alive":
            self._strike(copy.host)
        if copy.state == "dead":
            raise Crash

    def _strike(self, host: Host) -> None:
        if self.plan.strikes("crash_while_waiting", host.name) and self.may_kill(host):
            self.kill(host)
        elif self.plan.strikes("second_copy", host.name) and self.may_kill(host):
            self.kill(host, reset=True)
        if self.plan.strikes("deploy", "everything"):
            self.kill_all(reset=True)
        if self.plan.strikes("memory", "everything"):
            self.kill_all(reset=False)

    # -- what objects do ---------------------------------------------------------------------------------------------

    def writing(self, host: Host) -> None:
        """See :class:`orchestrator.testing.objects.Objects`."""
        try:
            if host.counted:
                super().writing(host)
        except Crash:
            self.kill(host)
            raise
        if self.plan.strikes("crash_before_write", host.name) and self.may_kill(host):
            self.kill(host)
            raise Crash
        self.touched(host)

    def touched(self, host: Host) -> None:
        """See :class:`orchestrator.testing.objects.Objects`."""
        self._written[host] = None

    def gate(self, host: Host) -> None:
        """See :class:`orchestrator.testing.objects.Objects`."""
        if host.sql.undurable and self.plan.strikes("crash_at_gate", host.name) and self.may_kill(host):
            self.kill(host)
            raise Crash
        self.make_durable(host)

    def make_durable(self, host: Host) -> None:
        """Have everything an object has written be durable."""
        if host.sql.undurable:
            host.end_turn()
            host.commit()
            self.alarms.durable(host)
            self.watch.note(host)

    def taking_back(self, host: Host) -> None:
        """See :class:`orchestrator.testing.objects.Objects`."""
        self.alarms.lost.add(host.name)

    def alarm_failed(self, host: Host) -> None:
        """See :class:`orchestrator.testing.objects.Objects`."""
        self.alarms.failed(host)

    def open_database(self, copy: Copy) -> Database:
        """See :class:`orchestrator.testing.objects.Objects`."""
        return self.server.connect(DatabaseFaults(self, copy))

    def open_blobs(self, copy: Copy) -> Blobs:
        """See :class:`orchestrator.testing.objects.Objects`."""
        return SimBlobs(self, copy)

    # -- calls -------------------------------------------------------------------------------------------------------

    async def send(self, sender: Copy | None, what: str, to: str, call: Callable[[], T]) -> T:
        """See :class:`orchestrator.testing.objects.Objects`."""
        plan, way = self.plan, f"{what} {to}"
        if plan.strikes("call_slow", way):
            await self.sleep(SLOW_CALL_MS * plan.draw("slow", way, self.clock.time_ms))
        await self.pass_time(sender, what)
        if plan.strikes("call_lost", way):
            raise RetryableError("The call did not arrive", code="object_unreachable")
        if plan.strikes("call_overloaded", to):
            raise RetryableError("Durable Object is overloaded", code="object_overloaded")
        if plan.strikes("call_twice", way):
            later_s = SLOW_CALL_MS * plan.draw("again", way, self.clock.time_ms) / 1000
            self.loop.call_later(later_s, partial(_quietly, call))
        result: T | None = None
        error: Exception | None = None
        try:
            result = call()
        except Exception as failure:
            error = failure
        await self.pass_time(sender, what)
        if plan.strikes("call_unanswered", way):
            raise RetryableError("The answer did not arrive", code="object_unreachable")
        if error is not None:
            raise error
        return result  # type: ignore[return-value] - there is no error, so there is a result

    def reach(self, host: EngineHost[E], call: Callable[[E], T]) -> T:
        """See :class:`orchestrator.testing.objects.Objects`."""
        copy = host.copy
        try:
            try:
                return call(host.engine)
            finally:
                self.gate(host)  # answers wait for it as every message does
        except Crash:
            if host.copy is copy:
                self.kill(host)
            raise RetryableError("The object was reset", code="object_unreachable") from None

    async def ask(self, sender: Copy | None, what: str, host: EngineHost[E], call: Callable[[E], T]) -> T:
        """Call an object; it may not answer."""
        if sender is not None:
            sender.gate()
        return await self.send(sender, what, host.name, lambda: self.reach(host, call))

    async def wait_for(
        self, sender: Copy | None, what: str, host: EngineHost[E], call: Callable[[E], Coroutine[object, object, T]]
    ) -> T:
        """Call an object's method that waits for others itself; it may not answer."""
        if sender is not None:
            sender.gate()
        task = await self.send(sender, what, host.name, lambda: self._begin_call(host, call))
        await asyncio.wait([task])
        if task.cancelled():
            raise RetryableError("The object was reset", code="object_unreachable")
        return task.result()

    def _begin_call(self, host: EngineHost[E], call: Callable[[E], Coroutine[object, object, T]]) -> asyncio.Task[T]:
        copy = host.copy

        async def run() -> T:
            try:
                try:
                    return await call(host.engine)
                finally:
                    if host.copy is copy:
                        self.gate(host)
            except (Crash, ObjectResetError) as error:
                if host.copy is copy and isinstance(error, Crash):
                    self.kill(host)
                raise RetryableError("The object was reset", code="object_unreachable") from None

        return self.spawn(run(), owner=copy)

    def create(self, engine: JobEngine, request: CreateJob) -> Created:
        """See :class:`orchestrator.testing.objects.Objects`."""
        created = super().create(engine, request)
        self.announce(request.job_id)
        return created

    def announce(self, job_id: str) -> None:
        """Have a job tell the catalog what a call has changed, beside everything else."""
        host = self.object(job_id)
        self.spawn(host.engine.announce(), owner=host.copy)

    def carry(self, value: T) -> T:
        """See :class:`orchestrator.testing.objects.Objects`."""
        if self.plan.strikes("call_skewed", type(value).__name__):
            return skewed(value)
        return super().carry(value)

    def enqueue(self, queue: str, job_id: str) -> None:
        """See :class:`orchestrator.testing.objects.Objects`."""
        self.queues.send(queue, job_id)

    async def publish(self, sender: Copy, summary: JobSummary) -> None:
        """See :class:`orchestrator.testing.objects.Objects`."""
        await self.backstage.publish(sender, summary)

    async def forget(self, sender: Copy, job: DeletedJob) -> None:
        """See :class:`orchestrator.testing.objects.Objects`."""
        self.deleted.append(job)
        await self.backstage.forget(sender, job)

    async def expect(self, sender: Copy, job_id: str) -> None:
        """See :class:`orchestrator.testing.objects.Objects`."""
        await self.backstage.expect(sender, job_id, firm=True)

    async def create_job(self, sender: Copy, request: CreateJob) -> Created:
        """See :class:`orchestrator.testing.objects.Objects`."""
        if is_awaited(request):
            return await super().create_job(sender, request)
        created, _ = await asyncio.gather(
            super().create_job(sender, request), self.backstage.expect(sender, request.job_id)
        )
        return created


def _quietly(call: Callable[[], object]) -> None:
    try:
        call()
    except Exception:
        return  # nobody waits for this answer
