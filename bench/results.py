"""What was measured: named series of samples, and the conditions they were taken under."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec


class Series(msgspec.Struct, frozen=True):
    """Samples of one quantity, in the order in which they were taken."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle sample."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The smallest sample."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The largest sample."""
        return max(self.values)

    def percentile(self, share: float) -> float:
        """Return the sample that this share (0 to 1) of all samples does not exceed."""
        return sorted(self.values)[max(0, min(len(self.values), round(share * len(self.values))) - 1)]


class Results:
    """Collects samples by name."""

    def __init__(self) -> None:
        self._samples: dict[str, list[float]] = {}
        #: What could not be measured, and why.
        self.left_out: dict[str, str] = {}

    def add(self, name: str, *values: float) -> None:
        """Add samples to a series."""
        self._samples.setdefault(name, []).extend(values)

    def get(self, name: str) -> Series | None:
        """Return a series, or None when nothing was measured under this name."""
        values = self._samples.get(name)
        return Series(tuple(values)) if values else None

    def median(self, name: str) -> float | None:
        """Return a series' median, or None when nothing was measured under this name."""
        series = self.get(name)
        return series.median if series else None

    def ratio(self, name: str, base: str) -> float | None:
        """Return how many times ``base`` a series is, by the smallest samples: those that were disturbed least."""
        series, other = self.get(name), self.get(base)
        return series.low / other.low if series and other and other.low else None


class Machine(msgspec.Struct, frozen=True):
    """Where the numbers come from. ``load``: processes that were busy before the bench began, in the last minute."""

    processor: str
    cores: int
    system: str
    python: str
    load: float


def this_machine() -> Machine:
    """Describe the machine."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        load=os.getloadavg()[0],
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines: Sequence[str] = info.read_text().splitlines() if info.is_file() else ()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
