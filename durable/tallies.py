"""What became of jobs, added up: per workflow, for metrics and alerts. Pure values; adding is in any order."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import starmap
from operator import add
from typing import Final

import msgspec

from orchestrator.lifecycle import TERMINAL, JobStatus
from orchestrator.model import JobSummary

#: Upper bounds of the histograms' buckets; jobs take from a moment to half a day.
BOUNDS_MS: Final = (100, 500, 1_000, 5_000, 15_000, 60_000, 300_000, 900_000, 3_600_000, 14_400_000, 43_200_000)
_NOTHING: Final = (0,) * (len(BOUNDS_MS) + 1)


class Histogram(msgspec.Struct, frozen=True):
    """Durations by bucket, the last one without a bound, and their sum."""

    counts: tuple[int, ...] = _NOTHING
    sum_ms: int = 0

    @property
    def count(self) -> int:
        """How many durations there are."""
        return sum(self.counts)


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs that ended, by how, how long they waited to start and ran, and what they cost."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    wait: Histogram = Histogram()
    run: Histogram = Histogram()
    slices: int = 0
    crashes: int = 0
    rows_written: int = 0


class WorkflowTally(msgspec.Struct, frozen=True):
    """The tally of one workflow."""

    workflow: str
    tally: Tally


def tally_of(job: JobSummary) -> Tally:
    """Return the tally of one job that has ended.

    Raises:
        ValueError: it has not ended.
    """
    if job.status not in TERMINAL or job.finished_at_ms is None:
        raise ValueError(f"{job.id} is {job.status}")
    ready_ms = job.ready_at_ms or job.created_at_ms
    started_ms = job.started_at_ms
    return Tally(
        completed=int(job.status is JobStatus.COMPLETED),
        failed=int(job.status is JobStatus.FAILED),
        cancelled=int(job.status is JobStatus.CANCELLED),
        expired=int(job.status is JobStatus.EXPIRED),
        wait=Histogram() if started_ms is None else _histogram(started_ms - ready_ms),
        run=Histogram() if started_ms is None else _histogram(job.finished_at_ms - started_ms),
        slices=job.slices,
        crashes=job.crashes,
        rows_written=job.rows_written,
    )


def plus(one: Tally, other: Tally) -> Tally:
    """Return the sum of two tallies."""
    return Tally(
        completed=one.completed + other.completed,
        failed=one.failed + other.failed,
        cancelled=one.cancelled + other.cancelled,
        expired=one.expired + other.expired,
        wait=_both(one.wait, other.wait),
        run=_both(one.run, other.run),
        slices=one.slices + other.slices,
        crashes=one.crashes + other.crashes,
        rows_written=one.rows_written + other.rows_written,
    )


def total(tallies: Iterable[Tally]) -> Tally:
    """Return the sum of tallies."""
    found = Tally()
    for item in tallies:
        found = plus(found, item)
    return found


def by_workflow(tallies: Iterable[WorkflowTally]) -> list[WorkflowTally]:
    """Return one tally per workflow, in the order of their names."""
    found: dict[str, Tally] = {}
    for item in tallies:
        found[item.workflow] = plus(found.get(item.workflow, Tally()), item.tally)
    return [WorkflowTally(name, found[name]) for name in sorted(found)]


def error_rate(tally: Tally) -> float | None:
    """Return the share of failed jobs among those that completed or failed; None when there were none."""
    judged = tally.completed + tally.failed
    return tally.failed / judged if judged else None


def _histogram(duration_ms: int) -> Histogram:
    # Clocks of two objects may differ by a little.
    duration_ms = max(0, duration_ms)
    bucket = bisect_left(BOUNDS_MS, duration_ms)
    return Histogram(tuple(int(index == bucket) for index in range(len(_NOTHING))), duration_ms)


def _both(one: Histogram, other: Histogram) -> Histogram:
    return Histogram(_sums(one.counts, other.counts), one.sum_ms + other.sum_ms)


def _sums(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    return tuple(starmap(add, zip(one, other, strict=True)))
