"""The engine of one lane: what its Durable Object does when jobs ask, give back, or its alarm fires.

A permit is a lease. When it runs out the job itself is asked whether it holds it, and only its "no" takes the permit
back. A permit that was granted to a waiting job begins as a lease that has run out, so handing it over and
verifying it are the same call, repeated until the job has answered.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable, Mapping
from typing import Protocol

from orchestrator.errors import InvalidRequestError
from orchestrator.lane import (
    KeyUse,
    LanePolicy,
    LaneView,
    PermitAnswer,
    PermitBatch,
    PermitRequest,
    Reserve,
    Reserved,
)
from orchestrator.lane_schedule import LANE, LaneState, Permit, schedule, why
from orchestrator.lane_store import LaneStore
from orchestrator.limits import (
    ALARM_LEAD_MS,
    LANE_ASK_AGAIN_MS,
    LANE_LEASE_MS,
    LANE_OFFERS,
    MAX_LANE_BATCH,
    TICK_RETRY_MAX_MS,
    TICK_RETRY_MS,
)
from orchestrator.logs import describe
from orchestrator.ports import Alarm, Clock, Sql
from orchestrator.wakeup import Armed

#: Keys that a view of a lane names.
_MAX_KEYS_SHOWN = 20


class PermitNetwork(Protocol):
    """What a lane says to jobs. Every call may be repeated."""

    async def offer(self, job_id: str, permit_id: str) -> bool:
        """Hand a permit over, or ask whether it is still held; False when the job has no use for it."""
        ...


class LanePlatform(Protocol):
    """The ports of one lane's engine."""

    @property
    def clock(self) -> Clock:
        """The wall clock."""
        ...

    @property
    def sql(self) -> Sql:
        """The object's SQLite."""
        ...

    @property
    def alarm(self) -> Alarm:
        """The object's alarm."""
        ...

    @property
    def permits(self) -> PermitNetwork:
        """The jobs."""
        ...

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Write one structured log line."""
        ...


class LaneEngine:
    """One lane.

    Args:
        platform: the ports.
    """

    def __init__(self, platform: LanePlatform) -> None:
        self._platform = platform
        self._store = LaneStore(platform.sql)
        self._state: LaneState | None = None
        self._seq = 0
        self._armed = Armed(platform)
        #: Requests for permits begin with this.
        self.look = self._armed.look
        self._failures = 0
        #: Ends of leases, earliest first; an entry counts while its permit's lease still ends then.
        self._leases: list[tuple[int, str]] = []
        #: Leases whose jobs did not answer: the next try, by permit. A restart tries at once.
        self._retry_ms: dict[str, int] = {}
        self._tries: dict[str, int] = {}

    # -- what jobs say -----------------------------------------------------------------------------------------------

    def request(self, batch: PermitBatch) -> list[PermitAnswer]:
        """Answer jobs that ask for permits, and follow the policy they bring.

        Raises:
            InvalidRequestError: too many requests in one call.
        """
        if len(batch.requests) > MAX_LANE_BATCH:
            raise InvalidRequestError(f"A lane is asked for at most {MAX_LANE_BATCH} permits in one call")
        state = self._arranged(batch.policy)
        fresh = [item for item in batch.requests if item.permit_id not in state.permits]
        added = {item.permit_id: self._add(state, item) for item in fresh}
        self._settle(state, fresh=added.keys())
        for permit in added.values():
            self._store.insert(permit)
        self._rearm(state)
        return [self._answer(state, item.permit_id) for item in batch.requests]

    def release(self, permit_ids: Iterable[str]) -> None:
        """Take permits back, and requests too; an unknown one changes nothing."""
        state = self._load()
        if state is None:
            return
        for permit_id in permit_ids:
            self._remove(state, permit_id)
        self._settle(state)
        self._rearm(state)

    def renew(self, permit_ids: Iterable[str]) -> list[bool]:
        """Lengthen leases; tells for each whether the permit is still held."""
        state = self._load()
        lease_until_ms = self._platform.clock.now_ms() + LANE_LEASE_MS
        return [state is not None and self._renew(state, permit_id, lease_until_ms) for permit_id in permit_ids]

    def explain(self, permit_id: str) -> PermitAnswer | None:
        """Return where a request stands, or None when it is not known."""
        state = self._load()
        return None if state is None or permit_id not in state.permits else self._answer(state, permit_id)

    def reserve(self, request: Reserve) -> Reserved:
        """Take the next token of this object's bucket; it may be used from the time answered on."""
        self._store.migrate()
        now_ms = self._platform.clock.now_ms()
        if self._store.paused():
            return Reserved(now_ms + LANE_ASK_AGAIN_MS, held=False)
        rate = request.rate
        level = self._store.level(LANE, rate.count)
        at_ms = max(now_ms, rate.ready_ms(level))
        if at_ms > now_ms + LANE_ASK_AGAIN_MS:
            # Tokens are promised for a while only: what a job reserves and never uses is lost to the others.
            return Reserved(now_ms + LANE_ASK_AGAIN_MS, held=False)
        self._store.set_level(LANE, rate.count, rate.take(level, at_ms))
        return Reserved(at_ms)

    # -- what operators say ------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Grant nothing more; what runs goes on."""
        self._hold(paused=True)

    def resume(self) -> None:
        """Grant again."""
        self._hold(paused=False)

    def view(self, name: str) -> LaneView:
        """Return the lane as operators see it. Looking at a lane stores nothing."""
        state = self._load()
        if state is None:
            paused = self._store.exists() and self._store.paused()
            return LaneView(name=name, policy=None, paused=paused, running=0, waiting=0)
        decision = schedule(self._platform.clock.now_ms(), state)
        most = sorted(state.counts.items(), key=lambda item: (-item[1], item[0]))[:_MAX_KEYS_SHOWN]
        return LaneView(
            name=name,
            policy=state.policy,
            paused=state.paused,
            running=state.running,
            waiting=state.waiting,
            keys=tuple(KeyUse(key, running) for key, running in most),
            reasons=decision.reasons,
            next_due_ms=decision.next_due_ms,
        )

    # -- the alarm ---------------------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Hand over and verify what is due, and grant what a rate allows now. Never raises."""
        self._armed.note(None)
        try:
            state = self._load()
            if state is not None:
                self._store.forget_full_buckets(self._platform.clock.now_ms())
                self._settle(state)
                while await self._offer_due(state):
                    self._settle(state)
                self._rearm(state)
            self._failures = 0
        except Exception as error:  # the platform's, or a bug of ours
            self._failures += 1
            self._state = None
            self._platform.log("error", "lane.tick_failed", {"error": describe(error)})
            wait_ms = min(TICK_RETRY_MAX_MS, TICK_RETRY_MS * 2 ** min(self._failures - 1, 10))
            self._armed.set(self._platform.clock.now_ms() + wait_ms)

    async def _offer_due(self, state: LaneState) -> bool:
        """Ask the jobs whose leases have run out; tell whether any permit came back."""
        due = self._leases_over(state)
        returned = False
        for start in range(0, len(due), LANE_OFFERS):
            part = due[start : start + LANE_OFFERS]
            answers = await asyncio.gather(*(self._offer(permit) for permit in part))
            if state is not self._state:
                return False  # the policy was replaced meanwhile; the alarm comes back for the rest
            for permit, held in zip(part, answers, strict=True):
                returned = self._note(state, permit, held=held) or returned
        return returned

    async def _offer(self, permit: Permit) -> bool | None:
        try:
            return await self._platform.permits.offer(permit.job_id, permit.id)
        except Exception as error:
            fields = {"job_id": permit.job_id, "permit_id": permit.id, "error": describe(error)}
            self._platform.log("warning", "lane.offer_failed", fields)
            return None

    def _note(self, state: LaneState, permit: Permit, *, held: bool | None) -> bool:
        """Act on a job's answer; tell whether its permit is free again."""
        if state.permits.get(permit.id) is not permit:
            return False  # given back while it was asked
        now_ms = self._platform.clock.now_ms()
        if held is None:
            tries = self._tries[permit.id] = self._tries.get(permit.id, 0) + 1
            self._retry_ms[permit.id] = now_ms + min(TICK_RETRY_MAX_MS, TICK_RETRY_MS * 2 ** min(tries - 1, 10))
            self._watch(permit)
            return False
        if not held:
            self._remove(state, permit.id)
            return True
        self._renew(state, permit.id, now_ms + LANE_LEASE_MS)
        return False

    def forget(self) -> None:
        """Drop what is in memory: a call failed half-way, and what is stored counts."""
        self._state = None

    # -- state -------------------------------------------------------------------------------------------------------

    def _load(self) -> LaneState | None:
        if self._state is None and self._store.exists():
            self._store.migrate()
            self._use(self._store.load())
        return self._state

    def _arranged(self, policy: LanePolicy) -> LaneState:
        self._store.migrate()
        state = self._load()
        if state is None or state.policy != policy:
            state = self._store.replace_policy(policy)
            self._use(state)
        return state

    def _use(self, state: LaneState | None) -> None:
        self._state = state
        permits = () if state is None else state.permits.values()
        self._seq = max((permit.seq for permit in permits), default=0)
        self._leases = []
        for permit in permits:
            self._watch(permit)

    def _add(self, state: LaneState, request: PermitRequest) -> Permit:
        self._seq += 1
        permit = Permit(
            id=request.permit_id,
            job_id=request.job_id,
            keys=request.keys,
            priority=request.priority,
            since_ms=request.since_ms,
            seq=self._seq,
        )
        state.add(permit)
        return permit

    def _remove(self, state: LaneState, permit_id: str) -> None:
        if state.remove(permit_id):
            self._store.delete(permit_id)
            self._retry_ms.pop(permit_id, None)
            self._tries.pop(permit_id, None)

    def _renew(self, state: LaneState, permit_id: str, lease_until_ms: int) -> bool:
        permit = state.permits.get(permit_id)
        if permit is None or permit.granted_at_ms is None:
            return False
        permit.lease_until_ms = lease_until_ms
        self._store.update(permit)
        self._retry_ms.pop(permit_id, None)
        self._tries.pop(permit_id, None)
        self._watch(permit)
        return True

    def _settle(self, state: LaneState, fresh: Iterable[str] = ()) -> None:
        """Grant what may be granted: at once to jobs that are asking now, by an offer to the others."""
        asking = set(fresh)
        now_ms = self._platform.clock.now_ms()
        granted = schedule(now_ms, state).grants
        for permit_id in granted:
            lease_until_ms = now_ms + (LANE_LEASE_MS if permit_id in asking else 0)
            permit = state.grant(permit_id, now_ms, lease_until_ms)
            self._watch(permit)
            if permit_id not in asking:
                self._store.update(permit)
            for scope, rate in state.rates(state.scopes(permit.keys)):
                self._store.set_level(scope, rate.count, state.levels[scope])

    def _answer(self, state: LaneState, permit_id: str) -> PermitAnswer:
        permit = state.permits[permit_id]
        if permit.granted_at_ms is not None:
            return PermitAnswer(granted=True)
        obstacle = why(self._platform.clock.now_ms(), state, permit)
        return PermitAnswer(granted=False, reason=obstacle.reason, due_at_ms=obstacle.due_at_ms)

    def _hold(self, *, paused: bool) -> None:
        self._store.migrate()
        self._store.set_paused(paused=paused)
        state = self._load()
        if state is not None:
            state.paused = paused
            self._settle(state)
            self._rearm(state)

    # -- leases and the alarm ----------------------------------------------------------------------------------------

    def _lease_ms(self, permit: Permit) -> int | None:
        return self._retry_ms.get(permit.id, permit.lease_until_ms) if permit.lease_until_ms is not None else None

    def _watch(self, permit: Permit) -> None:
        lease_ms = self._lease_ms(permit)
        if lease_ms is not None:
            heapq.heappush(self._leases, (lease_ms, permit.id))

    def _next_lease_ms(self, state: LaneState) -> int | None:
        while self._leases:
            lease_ms, permit_id = self._leases[0]
            permit = state.permits.get(permit_id)
            if permit is not None and self._lease_ms(permit) == lease_ms:
                return lease_ms
            heapq.heappop(self._leases)
        return None

    def _leases_over(self, state: LaneState) -> list[Permit]:
        now_ms = self._platform.clock.now_ms()
        over: dict[str, Permit] = {}
        while (lease_ms := self._next_lease_ms(state)) is not None and lease_ms <= now_ms:
            permit_id = heapq.heappop(self._leases)[1]
            over[permit_id] = state.permits[permit_id]
        return list(over.values())

    def _rearm(self, state: LaneState) -> None:
        """Arm the alarm for the earliest lease or token; an earlier alarm is never pushed later."""
        now_ms = self._platform.clock.now_ms()
        times = [self._next_lease_ms(state), schedule(now_ms, state).next_due_ms]
        due_ms = min((at_ms for at_ms in times if at_ms is not None), default=None)
        if due_ms is None:
            return
        at_ms = max(due_ms, now_ms + ALARM_LEAD_MS)
        if self._armed.at_ms is None or at_ms < self._armed.at_ms or self._armed.is_lost:
            self._armed.set(at_ms)
