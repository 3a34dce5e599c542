"""A deterministic world of jobs: objects with SQLite and an alarm, a queue, and time that jumps to what is due next.

The fault it makes is the one every platform makes: an object stops before any chosen write, loses what was not
durable and its memory, and comes back when its alarm fires.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from orchestrator.admission import Tickets, waits_for_lane
from orchestrator.engine import JobEngine
from orchestrator.errors import ConflictError, RetryableError, UnknownJobError
from orchestrator.ids import new_job_id
from orchestrator.journal import Journal
from orchestrator.lane import LanePolicy, PermitAnswer, PermitRequest, Release, Reserve, Reserved
from orchestrator.lifecycle import TERMINAL, JobStatus
from orchestrator.model import (
    ChildNotice,
    ChildOutcome,
    Created,
    CreateJob,
    DeletedJob,
    JobOptions,
    JobSummary,
    JobView,
    ParentRef,
)
from orchestrator.operations import Token
from orchestrator.ports import Database
from orchestrator.state import RETENTION
from orchestrator.testing.blobs import MemoryBlobs
from orchestrator.testing.faults import Crash, SeededEntropy, VirtualClock
from orchestrator.testing.sql import MemorySql
from orchestrator.testing.world_lane import Lanes
from orchestrator.testing.world_resources import WorldResources
from orchestrator.tokens import TokenSigner
from orchestrator.views import job_view
from orchestrator.workflow import Registry, Workflow

T = TypeVar("T")


class WorldObject:
    """One Durable Object of the world: durable SQL and alarm, and an engine that a crash forgets."""

    def __init__(self, world: World, job_id: str) -> None:
        self.world = world
        self.job_id = job_id
        self.sql = MemorySql(self._before_write)
        self._dead = False
        self.alarm = self
        self.alarm_ms: int | None = None
        self._durable_alarm_ms: int | None = None
        self.alarm_writes = 0
        self.engine = self._boot()

    def _boot(self) -> JobEngine:
        return JobEngine(self, self.world.registry, always_replay=self.world.always_replay)

    # Alarm port: the alarm's time is a row of the object, so it commits and is lost with the writes around it.

    def set(self, at_ms: int) -> None:
        """Arm the alarm."""
        if at_ms <= self.clock.now_ms():
            raise AssertionError("an alarm in the past is dropped by workerd inside alarm()")
        self.alarm_ms = at_ms
        self.alarm_writes += 1

    def clear(self) -> None:
        """Disarm the alarm."""
        self.alarm_ms = None

    # Platform port

    @property
    def clock(self) -> VirtualClock:
        """The world's clock."""
        return self.world.clock

    @property
    def entropy(self) -> SeededEntropy:
        """The world's randomness."""
        return self.world.entropy

    @property
    def network(self) -> WorldNetwork:
        """The other objects; sending waits for durable writes, as the output gate does."""
        return WorldNetwork(self.world, self)

    def make_token(self, job_id: str, key: str, expires_at_ms: int) -> Token:
        """Make a token signed with the world's secret."""
        return self.world.signer.make(job_id, key, expires_at_ms)

    def resources(self) -> WorldResources:
        """Open what a slice needs."""
        return WorldResources(self)

    async def sync(self) -> None:
        """Make the writes durable."""
        self.commit()

    async def wipe(self) -> None:
        """Lose everything, the alarm included."""
        self.sql.wipe()
        self.alarm_ms = self._durable_alarm_ms = None

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Keep a log line."""
        self.world.logs.append((level, event, dict(fields)))

    def is_kept(self) -> bool:
        """Tell whether nothing but the deletion of an ended job is left to do here, and not yet."""
        if not self.sql.execute("select 1 from sqlite_master where name = 'outbox'"):
            return False
        found = self.sql.execute(
            """select 1 from job, due where due.key = ? and due.at_ms > ? and finished_at_ms is not null
            and not exists (select 1 from outbox)""",
            RETENTION,
            self.clock.now_ms(),
        )
        return bool(found)

    # Life and death

    def commit(self) -> None:
        """Make the writes and the alarm durable together."""
        if not self._dead:
            self.sql.commit()
            self._durable_alarm_ms = self.alarm_ms

    async def _commit_every_turn(self) -> None:
        """Only what is written between two turns of the event loop commits together (platform.md §1.3)."""
        while True:
            self.commit()
            await asyncio.sleep(0)

    def _before_write(self) -> None:
        if self._dead:
            raise Crash
        try:
            self.world.before_write()
        except Crash:
            # Gone at this very moment: what unwinds through the rest of the code stores nothing more.
            self._dead = True
            self.sql.discard()
            raise

    def crash(self) -> None:
        """Lose memory and whatever was not durable."""
        self.sql.discard()
        self._dead = False
        self.alarm_ms = self._durable_alarm_ms
        self.engine = self._boot()

    async def fire(self) -> None:
        """Run the alarm. The runtime keeps it until the handler ends, unless the handler sets another."""
        fired_ms = self.alarm_ms
        self.alarm_ms = None
        turns = asyncio.ensure_future(self._commit_every_turn())
        try:
            await self.engine.tick()
            self.commit()
        except Crash:
            self.crash()
            if self.alarm_ms is None or self.alarm_ms == fired_ms:
                self.alarm_ms = self._durable_alarm_ms = self.clock.now_ms() + 2_000  # the platform's retry
            self.world.crashes += 1
        finally:
            turns.cancel()


class WorldNetwork:
    """Calls between objects, delivered at once."""

    def __init__(self, world: World, sender: WorldObject) -> None:
        self._world = world
        self._sender = sender

    async def create(self, request: CreateJob) -> Created:
        """See :class:`orchestrator.ports.Network`."""
        self._sender.commit()
        return self._world.call(request.job_id, lambda engine: engine.create(request))

    async def finished(self, parent_id: str, notice: ChildNotice) -> None:
        """See :class:`orchestrator.ports.Network`."""
        self._sender.commit()
        if parent_id in self._world.unreachable:
            raise RetryableError("The object does not answer", code="object_unreachable")
        if not self._world.lose_notices:
            self._world.call(parent_id, lambda engine: engine.child_finished(notice))

    async def inspect(self, job_id: str, key: str) -> ChildOutcome | None:
        """See :class:`orchestrator.ports.Network`."""
        self._sender.commit()
        try:
            return self._world.call(job_id, lambda engine: engine.outcome(key))
        except UnknownJobError:
            return None

    async def watch(self, job_id: str, watcher: ParentRef) -> ChildOutcome | None:
        """See :class:`orchestrator.ports.Network`."""
        self._sender.commit()
        return self._world.call(job_id, lambda engine: engine.watch(watcher))

    async def cancel(self, job_id: str, reason: str) -> JobStatus | None:
        """See :class:`orchestrator.ports.Network`."""
        self._sender.commit()
        try:
            return self._world.call(job_id, lambda engine: engine.cancel(reason))
        except (ConflictError, UnknownJobError):
            return None

    async def enqueue(self, queue: str, job_id: str) -> None:
        """See :class:`orchestrator.ports.Network`."""
        self._sender.commit()
        self._world.queued.append(job_id)

    async def publish(self, summary: JobSummary) -> None:
        """See :class:`orchestrator.ports.Network`."""
        self._sender.commit()
        self._world.catalog[summary.id] = summary

    async def forget(self, job: DeletedJob) -> None:
        """See :class:`orchestrator.ports.Network`."""
        self._sender.commit()
        self._world.catalog.pop(job.id, None)
        self._world.deleted.append(job)

    async def alive(self, job_id: str) -> bool:
        """See :class:`orchestrator.ports.Network`."""
        self._sender.commit()
        return self._world.call(job_id, lambda engine: engine.exists())

    async def request_permit(self, lane: LanePolicy, request: PermitRequest) -> PermitAnswer:
        """See :class:`orchestrator.ports.Network`."""
        self._sender.commit()
        return self._world.lanes.request(lane, request)

    async def release_permit(self, release: Release) -> None:
        """See :class:`orchestrator.ports.Network`."""
        self._sender.commit()
        self._world.lanes.release(release)

    async def explain_permit(self, lane: str, permit_id: str) -> PermitAnswer | None:
        """See :class:`orchestrator.ports.Network`."""
        self._sender.commit()
        return self._world.lanes.get(lane).call(lambda engine: engine.explain(permit_id))

    async def reserve(self, request: Reserve) -> Reserved:
        """See :class:`orchestrator.ports.Network`."""
        self._sender.commit()
        return self._world.lanes.reserve(request)


class World:
    """Jobs, virtual time and faults.

    Args:
        *workflows: what jobs may run.
        services: what ``current_step().services`` is.
        database: gives the database of ``job.transaction``.
        always_replay: drop coroutines after every slice.
        seed: of the world's randomness.
    """

    def __init__(
        self,
        *workflows: Workflow,
        services: object = None,
        database: Callable[[], Database] | None = None,
        always_replay: bool = False,
        seed: int = 0,
    ) -> None:
        self.registry = Registry(list(workflows))
        self.services = services
        self.database = database
        self.always_replay = always_replay
        self.clock = VirtualClock()
        self.entropy = SeededEntropy(seed)
        self.blobs = MemoryBlobs()
        self.signer = TokenSigner(b"the world's secret")
        self.objects: dict[str, WorldObject] = {}
        self.lanes = Lanes(self)
        self.queued: list[str] = []
        self.catalog: dict[str, JobSummary] = {}
        self.deleted: list[DeletedJob] = []
        self.logs: list[tuple[str, str, dict[str, object]]] = []
        self.lose_notices = False
        #: Parents that their children cannot reach.
        self.unreachable: set[str] = set()
        self.crashes = 0
        self.writes = 0
        self.ticks = 0
        self._crash_at: set[int] = set()

    def crash_at(self, *writes: int) -> None:
        """Stop whichever object makes the n-th write of the world (1-based), right before it."""
        self._crash_at.update(writes)

    def before_write(self) -> None:
        """Count a write; crash when it was chosen."""
        self.writes += 1
        if self.writes in self._crash_at:
            raise Crash

    def call(self, job_id: str, call: Callable[[JobEngine], T]) -> T:
        """Call a job's object, durably. A crash of the callee is not the caller's: it is called again."""
        found = self.objects.get(job_id)
        if found is None:
            found = self.objects[job_id] = WorldObject(self, job_id)
        for _ in range(10):
            try:
                result = call(found.engine)
                found.commit()
            except Crash:
                found.crash()
                self.crashes += 1
            else:
                return result
        raise AssertionError("the callee crashed ten times in a row")

    def start(self, workflow: str, payload: object, options: JobOptions | None = None) -> str:
        """Create a job and dispatch it; return its id."""
        job_id = new_job_id(self.clock, self.entropy)
        request = CreateJob(
            job_id=job_id, workflow=workflow, payload=payload, options=options or JobOptions(mode="direct")
        )
        self.call(job_id, lambda engine: engine.create(request))
        return job_id

    async def step(self, *, until_ms: int | None = None) -> bool:
        """Deliver the queue, then jump to the earliest alarm and run it; False when nothing is left to do.

        Without ``until_ms``, the deletion of ended jobs does not count: time does not go there by itself.
        """
        while self.queued:
            self.call(self.queued.pop(0), lambda engine: engine.dispatch())
        everything = [*self.objects.items(), *self.lanes.by_name.items()]
        armed = [(item.alarm_ms, name, item) for name, item in everything if item.alarm_ms is not None]
        if until_ms is None and armed and _is_kept(min(armed, key=lambda item: item[:2])[2]):
            armed = [item for item in armed if not _is_kept(item[2])]
        if not armed:
            return False
        at_ms, _, found = min(armed, key=lambda item: item[:2])
        if until_ms is not None and at_ms > until_ms:
            self.clock.time_ms = until_ms
            return False
        self.clock.time_ms = max(self.clock.time_ms, at_ms)
        self.ticks += 1
        await found.fire()
        self.lanes.check()
        return True

    async def run(self, *, max_ticks: int = 100_000, until_ms: int | None = None) -> None:
        """Run until nothing is due.

        Raises:
            AssertionError: the world is still busy after ``max_ticks``, or a job is stranded.
        """
        for _ in range(max_ticks):
            if not await self.step(until_ms=until_ms):
                break
        else:
            raise AssertionError(f"still busy after {max_ticks} ticks")
        if until_ms is None:
            self.check()

    def check(self) -> None:
        """Assert that no unfinished job is without something that will wake it (design.md §8)."""
        for item in self.objects.values():
            journal = Journal(item.sql)
            job = journal.load_job() if journal.exists() else None
            resting = job is None or job.status in TERMINAL or job.status is JobStatus.PAUSED
            for_lane = job is not None and waits_for_lane(job, Tickets(item.sql))
            if not resting and not for_lane and item.alarm_ms is None:
                raise AssertionError(f"{item.job_id} is unfinished and nothing will wake it")
        self.lanes.check_stranded()

    def view(self, job_id: str) -> JobView:
        """Return a job's status.

        Raises:
            UnknownJobError: there is no such job.
        """
        found = self.objects.get(job_id)
        if found is None:
            raise UnknownJobError
        ticket = self.call(job_id, lambda engine: engine.waiting_ticket())
        lane = None
        if ticket is not None:
            lane = self.lanes.get(ticket.lane).call(lambda engine: engine.explain(ticket.permit_id))
        return self.call(job_id, lambda engine: job_view(engine.known(), engine.journal, lane))


def _is_kept(item: object) -> bool:
    return isinstance(item, WorldObject) and item.is_kept()
