"""Which faults strike a simulation, and when: everything follows from the seed.

A fault may strike at points, such as the third call of one object to another. Whether it does depends on the seed and
the point's name alone, not on what happened before: faults can be taken away one by one, and the others stay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Set
from types import MappingProxyType
from typing import Literal, get_args

import msgspec

FaultKind = Literal[
    "crash_before_write",
    "crash_while_waiting",
    "crash_at_gate",
    "second_copy",
    "deploy",
    "memory",
    "call_lost",
    "call_unanswered",
    "call_twice",
    "call_slow",
    "call_overloaded",
    "call_skewed",
    "alarm_late",
    "alarm_early",
    "alarm_twice",
    "alarm_failed",
    "alarm_dropped",
    "cron_missed",
    "cron_twice",
    "queue_refuses",
    "queue_loses",
    "queue_repeats",
    "queue_delays",
    "consumer_throws",
    "blob_fails",
    "blob_slow",
    "database_fails",
    "database_deadlock",
    "database_disconnects",
    "database_commit_unknown",
]
KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
CALM: Mapping[FaultKind, float] = MappingProxyType({})


class Struck(msgspec.Struct, frozen=True):
    """A fault that struck."""

    at_ms: int
    kind: FaultKind
    point: str


class Plan:
    """The faults of one simulation.

    Args:
        seed: decides.
        rates: how often a fault of each kind strikes where it may, from 0 to 1.
        now_ms: the virtual time.
        lasts_ms: no fault strikes later than this after the beginning, so that everything can heal.
        only: strike at these points and nowhere else.
    """

    def __init__(
        self,
        seed: int,
        rates: Mapping[FaultKind, float],
        now_ms: Callable[[], int],
        *,
        lasts_ms: int = 600_000,
        only: Set[str] | None = None,
    ) -> None:
        self.seed = seed
        self.struck: list[Struck] = []
        self._rates = rates
        self._now_ms = now_ms
        self._until_ms = now_ms() + lasts_ms
        self._only = only
        self._counts: dict[tuple[str, str], int] = {}
        self._salt = str(seed).encode()

    def draw(self, *point: object) -> float:
        """Return a number in [0, 1) that belongs to a point."""
        text = "\x1f".join(map(str, point)).encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=7, key=self._salt).digest(), "big") / 2**56

    def strikes(self, kind: FaultKind, where: str) -> bool:
        """Tell whether a fault strikes now; each time it is asked is another point."""
        rate = self._rates.get(kind, 0.0)
        if not rate and self._only is None:
            return False
        point = f"{kind}:{where}:{self._next(kind, where)}"
        if self._only is not None:
            strikes = point in self._only
        else:
            strikes = self._now_ms() < self._until_ms and self.draw(point) < rate
        if strikes:
            self.struck.append(Struck(self._now_ms(), kind, point))
        return strikes

    def end(self) -> None:
        """Strike no more."""
        self._until_ms = 0
        self._only = None

    def delay_ms(self, where: str, most_ms: int) -> int:
        """Return how long something takes: mostly little."""
        drawn = self.draw("delay", where, self._next("delay", where))
        return 0 if drawn < 0.3 else round(most_ms * ((drawn - 0.3) / 0.7) ** 3)

    def _next(self, kind: str, where: str) -> int:
        count = self._counts[kind, where] = self._counts.get((kind, where), 0) + 1
        return count
