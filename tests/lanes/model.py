"""A lane as plainly as it can be said, to judge the real schedule by: lists, fractions, one grant at a time."""

from __future__ import annotations

from fractions import Fraction

from orchestrator.lane import LanePolicy, Rate
from orchestrator.lane_schedule import Permit


class Bucket:
    """Tokens that flow in continuously up to a capacity."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.tokens = Fraction(rate.capacity)
        self.at_ms = 0

    def fill(self, now_ms: int) -> None:
        flowed = Fraction((now_ms - self.at_ms) * self.rate.count, self.rate.per_ms)
        self.tokens = min(Fraction(self.rate.capacity), self.tokens + flowed)
        self.at_ms = now_ms

    def full_token_at_ms(self, now_ms: int) -> int:
        self.fill(now_ms)
        missing = max(Fraction(0), 1 - self.tokens)
        wait = missing * self.rate.per_ms / self.rate.count
        return now_ms + -(-wait.numerator // wait.denominator)


class Model:
    """The lane."""

    def __init__(self, policy: LanePolicy) -> None:
        self.policy = policy
        self.paused = False
        self.waiting: list[Permit] = []
        self.running: list[Permit] = []
        self.buckets: dict[str, Bucket] = {}
        self.turns: list[str] = []

    def ask(self, permit: Permit) -> None:
        self.waiting.append(permit)
        turn = self.turn(permit)
        if turn not in self.turns:
            self.turns.append(turn)

    def remove(self, permit_id: str) -> None:
        self.waiting = [item for item in self.waiting if item.id != permit_id]
        self.running = [item for item in self.running if item.id != permit_id]
        self.drop_idle_turns()

    def drop_idle_turns(self) -> None:
        waiting = {self.turn(item) for item in self.waiting}
        self.turns = [turn for turn in self.turns if turn in waiting]

    def turn(self, permit: Permit) -> str:
        return permit.keys.get(self.policy.keys[0].name, "") if self.policy.keys and self.policy.fair else ""

    def has_room(self, permit: Permit) -> bool:
        if self.policy.concurrency is not None and len(self.running) >= self.policy.concurrency:
            return False
        for limit in self.policy.keys:
            value = permit.keys.get(limit.name)
            used = sum(1 for item in self.running if item.keys.get(limit.name) == value)
            if value is not None and limit.concurrency is not None and used >= limit.concurrency:
                return False
        return True

    def buckets_of(self, permit: Permit) -> list[Bucket]:
        found = [("", self.policy.rate)]
        found += [
            (f"{limit.name}={permit.keys[limit.name]}", limit.rate)
            for limit in self.policy.keys
            if limit.name in permit.keys
        ]
        return [self.buckets.setdefault(name, Bucket(rate)) for name, rate in found if rate is not None]

    def ready_ms(self, permit: Permit, now_ms: int) -> int:
        return max([now_ms, *(bucket.full_token_at_ms(now_ms) for bucket in self.buckets_of(permit))])

    def grants(self, now_ms: int) -> list[str]:
        """Grant one after the other until nobody may start."""
        granted: list[str] = []
        while not self.paused:
            able = [item for item in self.waiting if self.has_room(item) and self.ready_ms(item, now_ms) == now_ms]
            if not able:
                break
            first = min(able, key=lambda item: (self.turns.index(self.turn(item)), self.place(item)))
            for bucket in self.buckets_of(first):
                bucket.tokens -= 1
            self.waiting.remove(first)
            self.running.append(first)
            granted.append(first.id)
            turn = self.turn(first)
            self.turns.remove(turn)
            if any(self.turn(item) == turn for item in self.waiting):
                self.turns.append(turn)
        return granted

    def next_due_ms(self, now_ms: int) -> int | None:
        """Return when the next job may start if only time passes; nothing may be grantable now."""
        if self.paused:
            return None
        return min((self.ready_ms(item, now_ms) for item in self.waiting if self.has_room(item)), default=None)

    def place(self, permit: Permit) -> tuple[int, int]:
        return permit.since_ms - permit.priority * self.policy.aging_ms, permit.seq
