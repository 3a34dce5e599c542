"""Time, randomness and sudden ends of a simulated world."""

from __future__ import annotations

import random


class Crash(BaseException):
    """The object stops here. A BaseException, since author code must not survive it."""


class VirtualClock:
    """Time that moves only when the world moves it."""

    def __init__(self) -> None:
        self.time_ms = 1_700_000_000_000

    def now_ms(self) -> int:
        """Return the virtual time."""
        return self.time_ms


class SeededEntropy:
    """Randomness from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a simulation wants repeatable numbers

    def random(self) -> float:
        """Return the next float."""
        return self._random.random()

    def random_bytes(self, size: int) -> bytes:
        """Return the next bytes."""
        return self._random.randbytes(size)
