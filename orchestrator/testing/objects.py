"""The objects of a world, what they share, and the way from one to another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Protocol, TypeVar

import msgspec

from orchestrator.engine import JobEngine
from orchestrator.errors import UnknownJobError
from orchestrator.ids import new_job_id
from orchestrator.model import Created, CreateJob, DeletedJob, JobOptions, JobSummary, JobView
from orchestrator.ports import Blobs, Database
from orchestrator.testing.blobs import MemoryBlobs
from orchestrator.testing.faults import Crash, SeededEntropy, VirtualClock
from orchestrator.testing.host import Copy, EngineHost, Host
from orchestrator.testing.world_job import WorldObject
from orchestrator.testing.world_lane import Lanes
from orchestrator.tokens import TokenSigner
from orchestrator.views import job_view
from orchestrator.workflow import Registry, Workflow

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)
T = TypeVar("T")
#: The platform's first retry of an alarm whose handler did not end (platform.md §1.4).
ALARM_RETRY_MS = 2_000


class Callee(Protocol[E_co]):
    """An object that is called: a crash leaves it what was committed, and a new engine."""

    @property
    def engine(self) -> E_co:
        """What answers calls."""
        ...

    def commit(self) -> None:
        """Make what was written durable."""
        ...

    def crash(self) -> None:
        """Lose what was not."""
        ...


class Objects:
    """Jobs, their lanes, and everything outside of them.

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

    def writing(self, host: Host) -> None:
        """Take note that an object is about to write."""
        self.before_write()

    def object(self, job_id: str) -> WorldObject:
        """Return a job's object, made when it is first named."""
        found = self.objects.get(job_id)
        if found is None:
            found = self.objects[job_id] = WorldObject(self, job_id)
        return found

    def call(self, job_id: str, call: Callable[[JobEngine], T]) -> T:
        """Call a job's object, durably. A crash of the callee is not the caller's: it is called again."""
        return self.insist(self.object(job_id), call)

    def insist(self, host: Callee[E], call: Callable[[E], T]) -> T:
        """Call an object until it answers."""
        for _ in range(10):
            try:
                result = call(host.engine)
                host.commit()
            except Crash:
                host.crash()
            else:
                return result
        raise AssertionError("the callee crashed ten times in a row")

    async def insist_later(self, host: Callee[E], call: Callable[[E], Awaitable[T]]) -> T:
        """Call an object's method that waits for something itself, until it answers."""
        for _ in range(10):
            try:
                result = await call(host.engine)
                host.commit()
            except Crash:
                host.crash()
            else:
                return result
        raise AssertionError("the callee crashed ten times in a row")

    # What objects do to each other. A calm world does it at once.

    async def send(self, sender: Copy, what: str, to: str, call: Callable[[], T]) -> T:
        """Carry a call of an object's to its receiver, and the answer back."""
        return call()

    def reach(self, host: EngineHost[E], call: Callable[[E], T]) -> T:
        """Have an object take a call that has arrived."""
        return self.insist(host, call)

    async def wait_for(
        self, sender: Copy | None, what: str, host: EngineHost[E], call: Callable[[E], Coroutine[object, object, T]]
    ) -> T:
        """Call an object's method that waits for something itself."""
        return await self.insist_later(host, call)

    def create(self, engine: JobEngine, request: CreateJob) -> Created:
        """Have a job's object record the job."""
        return engine.create(request)

    def carry(self, value: T) -> T:
        """Return what arrives of a value: calls between objects are JSON."""
        return msgspec.json.decode(msgspec.json.encode(value), type=type(value))

    def enqueue(self, queue: str, job_id: str) -> None:
        """Take a message into a queue."""
        self.queued.append(job_id)

    async def publish(self, sender: Copy, summary: JobSummary) -> None:
        """Tell the catalog how a job is."""
        await self.send(sender, "publish", "catalog", lambda: self.catalog.__setitem__(summary.id, summary))

    async def forget(self, sender: Copy, job: DeletedJob) -> None:
        """Take a deleted job off the catalog."""
        await self.send(sender, "forget", "catalog", lambda: self.catalog.pop(job.id, None))
        self.deleted.append(job)

    async def expect(self, sender: Copy, job_id: str) -> None:
        """Have the catalog look at a job that nobody waits for any more."""

    async def create_job(self, sender: Copy, request: CreateJob) -> Created:
        """Have a job recorded on behalf of another one."""
        return await self.send(
            sender,
            "create",
            request.job_id,
            lambda: self.reach(self.object(request.job_id), lambda engine: self.create(engine, request)),
        )

    def open_database(self, copy: Copy) -> Database:
        """Return the database of a slice."""
        if self.database is None:
            raise AssertionError("this world has no database: World(..., database=…)")
        return self.database()

    def open_blobs(self, copy: Copy) -> Blobs:
        """Return the object storage of a slice."""
        return self.blobs

    async def pass_time(self, copy: Copy, what: str) -> None:
        """Let time pass while a copy waits for its platform."""

    def gate(self, host: Host) -> None:
        """Make an object's writes durable before something leaves it."""
        host.commit()

    def touched(self, host: Host) -> None:
        """Take note that an object has set its alarm."""

    def taking_back(self, host: Host) -> None:
        """Take note that an object takes an alarm back that was given up: only others wake it until it sets one."""

    def alarm_failed(self, host: Host) -> None:
        """Have an alarm whose handler did not end run again."""
        host.retry_alarm(self.clock.now_ms() + ALARM_RETRY_MS)

    def start(self, workflow: str, payload: object, options: JobOptions | None = None) -> str:
        """Create a job and dispatch it; return its id."""
        job_id = new_job_id(self.clock, self.entropy)
        request = CreateJob(
            job_id=job_id, workflow=workflow, payload=payload, options=options or JobOptions(mode="direct")
        )
        self.call(job_id, lambda engine: engine.create(request))
        return job_id

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
