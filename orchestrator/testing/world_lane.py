"""The lanes of a world: objects like the jobs', and the faults of the calls between the two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, TypeVar

from orchestrator.admission import Tickets
from orchestrator.errors import RetryableError
from orchestrator.journal import Journal
from orchestrator.lane import LanePolicy, PermitAnswer, PermitBatch, PermitRequest, Release, Reserve, Reserved
from orchestrator.lane_engine import LaneEngine
from orchestrator.lane_schedule import schedule
from orchestrator.lane_store import LaneStore
from orchestrator.lifecycle import JobStatus
from orchestrator.testing.faults import Crash, VirtualClock
from orchestrator.testing.sql import MemorySql

if TYPE_CHECKING:
    from orchestrator.testing.world import World

T = TypeVar("T")
#: What happens to a call: it never arrives, its answer never arrives, or it arrives twice.
CallFault = Literal["lost", "unanswered", "twice"]


class WorldLane:
    """One lane of the world: durable SQL and alarm, and an engine that a crash forgets."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.sql = MemorySql(world.before_write)
        self.alarm = self
        self.permits = self
        self.alarm_ms: int | None = None
        self.fired = 0
        self._durable_alarm_ms: int | None = None
        self.engine = LaneEngine(self)

    @property
    def clock(self) -> VirtualClock:
        """The world's clock."""
        return self.world.clock

    def set(self, at_ms: int) -> None:
        """Arm the alarm."""
        if at_ms <= self.clock.now_ms():
            raise AssertionError("an alarm in the past is dropped by workerd inside alarm()")
        self.alarm_ms = at_ms

    def clear(self) -> None:
        """Disarm the alarm."""
        self.alarm_ms = None

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Keep a log line."""
        self.world.logs.append((level, event, {"lane": self.name, **fields}))

    async def offer(self, job_id: str, permit_id: str) -> bool:
        """Call the job; sending waits for durable writes, as the output gate does."""
        self.commit()
        return self.world.lanes.faulty(lambda: self.world.call(job_id, lambda engine: engine.permit(permit_id)))

    def commit(self) -> None:
        """Make the writes and the alarm durable together."""
        self.sql.commit()
        self._durable_alarm_ms = self.alarm_ms

    def crash(self) -> None:
        """Lose memory and whatever was not durable."""
        self.sql.discard()
        self.alarm_ms = self._durable_alarm_ms
        self.engine = LaneEngine(self)
        self.world.crashes += 1

    async def fire(self) -> None:
        """Run the alarm."""
        self.fired += 1
        fired_ms, self.alarm_ms = self.alarm_ms, None
        try:
            await self.engine.tick()
            self.commit()
        except Crash:
            self.crash()
            if self.alarm_ms is None or self.alarm_ms == fired_ms:
                self.alarm_ms = self._durable_alarm_ms = self.clock.now_ms() + 2_000  # the platform's retry

    def call(self, call: Callable[[LaneEngine], T]) -> T:
        """Call the lane, durably; a crash of the lane's is not the caller's."""
        for _ in range(10):
            try:
                result = call(self.engine)
                self.commit()
            except Crash:
                self.crash()
            else:
                return result
        raise AssertionError("the lane crashed ten times in a row")


class Lanes:
    """The lanes of a world, by name, and what jobs say to them."""

    def __init__(self, world: World) -> None:
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

    def request(self, policy: LanePolicy, request: PermitRequest) -> PermitAnswer:
        """See :class:`orchestrator.ports.Network`."""
        batch = PermitBatch(policy, (request,))
        return self.faulty(lambda: self.get(policy.name).call(lambda engine: engine.request(batch)[0]))

    def release(self, release: Release) -> None:
        """See :class:`orchestrator.ports.Network`."""
        self.faulty(lambda: self.get(release.lane).call(lambda engine: engine.release([release.permit_id])))

    def reserve(self, request: Reserve) -> Reserved:
        """See :class:`orchestrator.ports.Network`."""
        return self.faulty(lambda: self.get(request.bucket).call(lambda engine: engine.reserve(request)))

    def check(self) -> None:
        """Assert that no lane is over its limits, and that each held permit is one its lane has out."""
        held: dict[str, set[str]] = {}
        for item in self._world.objects.values():
            journal = Journal(item.sql)
            ticket = Tickets(item.sql).get() if journal.exists() else None
            if ticket is not None and ticket.held:
                held.setdefault(ticket.lane, set()).add(ticket.permit_id)
        for name, lane in self.by_name.items():
            state = LaneStore(lane.sql).load() if LaneStore(lane.sql).exists() else None
            if state is None:
                continue
            limit = state.policy.concurrency
            if limit is not None and state.running > limit:
                raise AssertionError(f"lane {name} has {state.running} permits out and allows {limit}")
            for item in state.policy.keys:
                for scope, count in state.counts.items():
                    if scope.startswith(f"{item.name}=") and item.concurrency is not None and count > item.concurrency:
                        raise AssertionError(f"lane {name} has {count} permits out for {scope}")
            out = {permit.id for permit in state.permits.values() if permit.granted_at_ms is not None}
            stray = held.get(name, set()) - out
            if stray:
                raise AssertionError(f"jobs hold permits that lane {name} does not know of: {stray}")

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
