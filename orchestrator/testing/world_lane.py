"""The lanes of a world: objects like the jobs', and the faults of the calls between the two."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Literal, TypeVar

from orchestrator.admission import Tickets
from orchestrator.engine import JobEngine
from orchestrator.errors import RetryableError
from orchestrator.journal import Journal
from orchestrator.lane import LanePolicy, PermitAnswer, PermitBatch, PermitRequest, Release, Reserve, Reserved
from orchestrator.lane_engine import LaneEngine
from orchestrator.lane_schedule import schedule
from orchestrator.lane_store import LaneStore
from orchestrator.lifecycle import JobStatus
from orchestrator.testing.host import Copy, EngineHost

if TYPE_CHECKING:
    from orchestrator.testing.objects import Objects

T = TypeVar("T")
#: What happens to a call: it never arrives, its answer never arrives, or it arrives twice.
CallFault = Literal["lost", "unanswered", "twice"]


class LaneCopy(Copy):
    """Implements :class:`orchestrator.lane_engine.LanePlatform`."""

    @property
    def permits(self) -> LaneCopy:
        """The jobs."""
        return self

    async def offer(self, job_id: str, permit_id: str) -> bool:
        """Call the job; sending waits for durable writes, as the output gate does."""
        self.gate()
        world = self.world

        async def permit(engine: JobEngine) -> bool:
            await engine.look()
            return engine.permit(permit_id)

        return await world.lanes.faulty_later(lambda: world.wait_for(self, "offer", world.object(job_id), permit))


class WorldLane(EngineHost[LaneEngine]):
    """One lane of the world: durable SQL and alarm, and an engine that a crash forgets."""

    def boot(self) -> Copy:
        """See :class:`orchestrator.testing.host.Host`."""
        copy = LaneCopy(self.world, self)
        self.engine = LaneEngine(copy)
        return copy

    def tick(self) -> Coroutine[object, object, None]:
        """See :class:`orchestrator.testing.host.Host`."""
        return self.engine.tick()

    def call(self, call: Callable[[LaneEngine], T]) -> T:
        """Call the lane, durably; a crash of the lane's is not the caller's."""
        return self.world.insist(self, call)


class Lanes:
    """The lanes of a world, by name, and what jobs say to them."""

    def __init__(self, world: Objects) -> None:
        self._world = world
        self.by_name: dict[str, WorldLane] = {}
        #: Faults of calls between jobs and lanes, by the number of the call (1-based).
        self.faults: dict[int, CallFault] = {}
        self.calls = 0

    def get(self, name: str) -> WorldLane:
        """Return a lane, made when it is first named."""
        found = self.by_name.get(name)
        if found is None:
            found = self.by_name[name] = WorldLane(self._world, name)
        return found

    def faulty(self, call: Callable[[], T]) -> T:
        """Make a call with the fault chosen for it."""
        self.calls += 1
        fault = self.faults.get(self.calls)
        if fault == "lost":
            raise RetryableError("the call did not arrive", code="object_unreachable")
        result = call()
        if fault == "twice":
            result = call()
        if fault == "unanswered":
            raise RetryableError("the answer did not arrive", code="object_unreachable")
        return result

    async def faulty_later(self, call: Callable[[], Coroutine[object, object, T]]) -> T:
        """Make a call that waits with the fault chosen for it."""
        self.calls += 1
        fault = self.faults.get(self.calls)
        if fault == "lost":
            raise RetryableError("the call did not arrive", code="object_unreachable")
        result = await call()
        if fault == "twice":
            result = await call()
        if fault == "unanswered":
            raise RetryableError("the answer did not arrive", code="object_unreachable")
        return result

    async def request(self, sender: Copy, policy: LanePolicy, request: PermitRequest) -> PermitAnswer:
        """See :class:`orchestrator.ports.Network`."""
        batch = PermitBatch(policy, (request,))

        async def ask(engine: LaneEngine) -> PermitAnswer:
            await engine.look()
            return engine.request(batch)[0]

        lane = self.get(policy.name)
        return await self.faulty_later(lambda: self._world.wait_for(sender, "request permit", lane, ask))

    def release(self, release: Release) -> None:
        """See :class:`orchestrator.ports.Network`."""
        self.faulty(lambda: self._reach(release.lane, lambda engine: engine.release([release.permit_id])))

    def reserve(self, request: Reserve) -> Reserved:
        """See :class:`orchestrator.ports.Network`."""
        return self.faulty(lambda: self._reach(request.bucket, lambda engine: engine.reserve(request)))

    def explain(self, lane: str, permit_id: str) -> PermitAnswer | None:
        """See :class:`orchestrator.ports.Network`."""
        return self._reach(lane, lambda engine: engine.explain(permit_id))

    def _reach(self, name: str, call: Callable[[LaneEngine], T]) -> T:
        return self._world.reach(self.get(name), call)

    def check(self) -> None:
        """Assert that no lane is over its limits, and that each held permit is one its lane has out."""
        for lane in self.by_name.values():
            self.check_limits(lane)

    def check_limits(self, lane: WorldLane) -> None:
        """Assert that a lane is not over its limits, and has each permit out that a job holds."""
        state = LaneStore(lane.sql).load() if LaneStore(lane.sql).exists() else None
        if state is None:
            return
        limit = state.policy.concurrency
        if limit is not None and state.running > limit:
            raise AssertionError(f"lane {lane.name} has {state.running} permits out and allows {limit}")
        for item in state.policy.keys:
            for scope, count in state.counts.items():
                if scope.startswith(f"{item.name}=") and item.concurrency is not None and count > item.concurrency:
                    raise AssertionError(f"lane {lane.name} has {count} permits out for {scope}")
        stray = self._held(lane.name) - {item.id for item in state.permits.values() if item.granted_at_ms is not None}
        if stray:
            raise AssertionError(f"jobs hold permits that lane {lane.name} does not know of: {stray}")

    def _held(self, name: str) -> set[str]:
        tickets = [Tickets(item.sql).get() for item in self._world.objects.values()]
        return {item.permit_id for item in tickets if item is not None and item.held and item.lane == name}

    def check_stranded(self) -> None:
        """Assert that everything that waits for a lane will get its turn."""
        for item in self._world.objects.values():
            journal = Journal(item.sql)
            job = journal.load_job() if journal.exists() else None
            if job is None or job.status is not JobStatus.WAITING or item.alarm_ms is not None:
                continue
            ticket = Tickets(item.sql).get()
            lane = None if ticket is None else self.by_name.get(ticket.lane)
            state = None if lane is None else LaneStore(lane.sql).load()
            if ticket is None or lane is None or state is None or ticket.permit_id not in state.permits:
                raise AssertionError(f"{item.job_id} waits for a lane that does not know it")
            idle = not state.running and not state.paused and lane.alarm_ms is None
            if idle or (lane.alarm_ms is None and schedule(self._world.clock.now_ms(), state).grants):
                raise AssertionError(f"lane {lane.name} has jobs waiting and nothing will wake it")
