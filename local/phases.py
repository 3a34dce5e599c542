"""How long the parts of a start take."""

from __future__ import annotations

import time


class Phases:
    """Measures the parts of a start."""

    def __init__(self) -> None:
        self._started = self._last = time.monotonic()
        self.durations_ms: dict[str, int] = {}

    def mark(self, name: str) -> None:
        """Note the time since the last mark."""
        now = time.monotonic()
        self.durations_ms[f"{name}_ms"] = round((now - self._last) * 1000)
        self._last = now

    def total_ms(self) -> int:
        """Return the time since the start in milliseconds."""
        return round((time.monotonic() - self._started) * 1000)
