"""Which waiting jobs of a lane may start now: pure, exact, and quick with many thousands waiting.

Jobs with the same keys form a group, and only a group's first job matters. Groups with the same value of the first
kind of key form a line; lines take turns. What one call finds blocked stays blocked for that call, since grants only
use up room: each group is looked at once.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Iterator

import msgspec

from orchestrator.lane import KeyLimit, LanePolicy, Rate, duration

#: The lane itself among the scopes of counts and buckets; the others are ``kind=value``.
LANE = ""
_Place = tuple[int, int, str]


class Permit(msgspec.Struct, kw_only=True):
    """A request and what became of it."""

    id: str
    job_id: str
    keys: dict[str, str]
    priority: int
    since_ms: int
    #: The order of arrival, which settles ties.
    seq: int
    granted_at_ms: int | None = None
    #: The job is asked at this time whether it still holds the permit; None while it waits for it.
    lease_until_ms: int | None = None


class Scope(msgspec.Struct, frozen=True):
    """One value of a kind of key, and its limits."""

    name: str
    limit: KeyLimit


class Group:
    """Waiting jobs with the same keys, best first."""

    def __init__(self, scopes: tuple[Scope, ...]) -> None:
        self.scopes = scopes
        self.places: list[_Place] = []


class Line:
    """The groups that share a turn; ``heads`` holds each group's first place, sorted."""

    def __init__(self) -> None:
        self.groups: dict[str, Group] = {}
        self.heads: list[tuple[_Place, str]] = []


class LaneState:
    """The permits of a lane, arranged for the schedule.

    Args:
        policy: the limits in force; with another policy the state is built anew.
    """

    def __init__(self, policy: LanePolicy) -> None:
        self.policy = policy
        self.paused = False
        self.permits: dict[str, Permit] = {}
        self.running = 0
        #: Permits out, by scope.
        self.counts: dict[str, int] = {}
        #: Levels of the buckets, by scope (:class:`orchestrator.lane.Rate`).
        self.levels: dict[str, int] = {}
        #: Lines by the value of the first kind of key, the next to have its turn first.
        self.lines: OrderedDict[str, Line] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many requests have no permit yet."""
        return len(self.permits) - self.running

    def scopes(self, keys: dict[str, str]) -> tuple[Scope, ...]:
        """Return what limits a job with these keys, the lane aside."""
        return tuple(Scope(f"{item.name}={keys[item.name]}", item) for item in self.policy.keys if item.name in keys)

    def add(self, permit: Permit) -> None:
        """Add a request that waits, or a permit that is out."""
        self.permits[permit.id] = permit
        if permit.granted_at_ms is not None:
            self._count(permit, 1)
            return
        line = self.lines.setdefault(self._turn(permit), Line())
        name = self._group(permit)
        group = line.groups.get(name)
        if group is None:
            group = line.groups[name] = Group(self.scopes(permit.keys))
        place = self._place(permit)
        if not group.places or place < group.places[0]:
            if group.places:
                _discard(line.heads, (group.places[0], name))
            insort(line.heads, (place, name))
        insort(group.places, place)

    def grant(self, permit_id: str, now_ms: int, lease_until_ms: int) -> Permit:
        """Move a request from waiting to running, its line to the end of the turns, and take its tokens."""
        permit = self.permits[permit_id]
        self._leave(permit)
        permit.granted_at_ms, permit.lease_until_ms = now_ms, lease_until_ms
        self._count(permit, 1)
        turn = self._turn(permit)
        if turn in self.lines:
            self.lines.move_to_end(turn)
        for scope, rate in self.rates(self.scopes(permit.keys)):
            self.levels[scope] = rate.take(self.levels.get(scope, 0), now_ms)
        return permit

    def remove(self, permit_id: str) -> bool:
        """Forget a permit or request; tell whether it was known."""
        permit = self.permits.get(permit_id)
        if permit is None:
            return False
        if permit.granted_at_ms is None:
            self._leave(permit)
        else:
            self._count(permit, -1)
        del self.permits[permit_id]
        return True

    def rates(self, scopes: tuple[Scope, ...]) -> Iterator[tuple[str, Rate]]:
        """Yield each bucket that a job with these scopes takes a token from."""
        if self.policy.rate is not None:
            yield LANE, self.policy.rate
        for scope in scopes:
            if scope.limit.rate is not None:
                yield scope.name, scope.limit.rate

    def _leave(self, permit: Permit) -> None:
        turn, name, place = self._turn(permit), self._group(permit), self._place(permit)
        line = self.lines[turn]
        group = line.groups[name]
        if place == group.places[0]:
            _discard(line.heads, (place, name))
            if len(group.places) > 1:
                insort(line.heads, (group.places[1], name))
        _discard(group.places, place)
        if not group.places:
            del line.groups[name]
        if not line.groups:
            del self.lines[turn]

    def _count(self, permit: Permit, change: int) -> None:
        self.running += change
        for scope in self.scopes(permit.keys):
            left = self.counts.get(scope.name, 0) + change
            if left:
                self.counts[scope.name] = left
            else:
                self.counts.pop(scope.name, None)

    def _turn(self, permit: Permit) -> str:
        return permit.keys.get(self.policy.keys[0].name, "") if self.policy.fair and self.policy.keys else ""

    def _group(self, permit: Permit) -> str:
        return "\x1f".join(scope.name for scope in self.scopes(permit.keys))

    def _place(self, permit: Permit) -> _Place:
        return permit.since_ms - permit.priority * self.policy.aging_ms, permit.seq, permit.id


class Decision(msgspec.Struct, frozen=True):
    """What may happen now."""

    #: Requests that get their permits, in this order.
    grants: tuple[str, ...]
    #: When a rate lets the next job start if nothing else happens; None when only a release can change anything.
    #: Exact when nothing is granted.
    next_due_ms: int | None
    #: What keeps others waiting, each once; the first few.
    reasons: tuple[str, ...]


class Obstacle(msgspec.Struct, frozen=True):
    """Why a job may not start now, and from when on it may if time alone can change it."""

    reason: str
    due_at_ms: int | None


_MAX_REASONS = 5


def schedule(now_ms: int, state: LaneState) -> Decision:
    """Decide which waiting jobs start now. Changes nothing: :meth:`LaneState.grant` does, once per grant."""
    if state.paused or not state.lines:
        return Decision((), None, ("lane paused",) if state.paused and state.lines else ())
    trial = _Trial(now_ms, state)
    turns = iter(state.lines.values())
    again: deque[Line] = deque()
    while not trial.full and not trial.hopeless:
        line = next(turns, None) or (again.popleft() if again else None)
        if line is None:
            break
        if trial.serve(line):
            again.append(line)
    if trial.full:
        trial.reasons[_lane_is_full(state.policy, trial.running)] = None
    due_ms = None if trial.full else trial.due_ms
    return Decision(tuple(trial.grants), due_ms, tuple(trial.reasons)[:_MAX_REASONS])


def why(now_ms: int, state: LaneState, permit: Permit) -> Obstacle:
    """Return why one request has no permit."""
    if state.paused:
        return Obstacle("lane paused", None)
    trial = _Trial(now_ms, state)
    found = trial.obstacle(state.scopes(permit.keys))
    if trial.full:
        return Obstacle(_lane_is_full(state.policy, trial.running), None)
    return found or Obstacle("others go first", None)


class _Trial:
    """The state of a lane as it would be after the grants so far."""

    def __init__(self, now_ms: int, state: LaneState) -> None:
        self._now_ms = now_ms
        self._state = state
        self._counts: dict[str, int] = {}
        self._levels: dict[str, int] = {}
        self._heaps: dict[int, list[tuple[_Place, str]]] = {}
        self._taken: dict[int, int] = {}
        self._lane_due_ms = self._ready_ms(LANE, state.policy.rate)
        self.running = state.running
        self.grants: list[str] = []
        self.reasons: dict[str, None] = {}
        self.due_ms: int | None = None

    @property
    def full(self) -> bool:
        """Whether the lane's own concurrency is used up."""
        limit = self._state.policy.concurrency
        return limit is not None and self.running >= limit

    @property
    def hopeless(self) -> bool:
        """Whether the lane's own rate is used up and the time of its next token is known to be what counts."""
        return self._lane_due_ms > self._now_ms and self.due_ms == self._lane_due_ms

    def serve(self, line: Line) -> bool:
        """Grant the line's best job that nothing blocks; tell whether there was one."""
        heap = self._heaps.setdefault(id(line), list(line.heads))  # a sorted list is a heap
        while heap:
            place, name = heap[0]
            group = line.groups[name]
            obstacle = self.obstacle(group.scopes)
            if obstacle is None:
                self._grant(place[2], group)
                taken = self._taken[id(group)] = self._taken.get(id(group), 0) + 1
                if taken < len(group.places):
                    heapq.heapreplace(heap, (group.places[taken], name))
                else:
                    heapq.heappop(heap)
                return True
            heapq.heappop(heap)
            self.reasons[obstacle.reason] = None
            due_ms = obstacle.due_at_ms
            if due_ms is not None and (self.due_ms is None or due_ms < self.due_ms):
                self.due_ms = due_ms
                if self.hopeless:
                    break
        return False

    def obstacle(self, scopes: tuple[Scope, ...]) -> Obstacle | None:
        """Return what blocks a job with these scopes, the lane's concurrency aside."""
        for scope in scopes:
            limit, used = scope.limit.concurrency, self._count(scope.name)
            if limit is not None and used >= limit:
                return Obstacle(f"key {scope.name}: {used} of {limit}", None)
        due_ms, slowest = 0, ""
        for name, rate in self._state.rates(scopes):
            ready_ms = self._ready_ms(name, rate)
            if ready_ms > max(due_ms, self._now_ms):
                due_ms, slowest = ready_ms, f"rate of {name or 'the lane'}, {rate.text()}"
        if not due_ms:
            return None
        return Obstacle(f"{slowest}: next in {duration(due_ms - self._now_ms)}", due_ms)

    def _grant(self, permit_id: str, group: Group) -> None:
        self.grants.append(permit_id)
        self.running += 1
        for scope in group.scopes:
            self._counts[scope.name] = self._count(scope.name) + 1
        for name, rate in self._state.rates(group.scopes):
            self._levels[name] = rate.take(self._level(name), self._now_ms)
        self._lane_due_ms = self._ready_ms(LANE, self._state.policy.rate)

    def _count(self, name: str) -> int:
        found = self._counts.get(name)
        return self._state.counts.get(name, 0) if found is None else found

    def _level(self, name: str) -> int:
        found = self._levels.get(name)
        return self._state.levels.get(name, 0) if found is None else found

    def _ready_ms(self, name: str, rate: Rate | None) -> int:
        return 0 if rate is None else rate.ready_ms(self._level(name))


def _lane_is_full(policy: LanePolicy, running: int) -> str:
    return f"lane {policy.name}: {running} of {policy.concurrency} running"


def _discard(items: list[_Place] | list[tuple[_Place, str]], item: object) -> None:
    index = bisect_left(items, item)  # type: ignore[type-var]
    del items[index]
