"""Runs many seeds: what one process does with its share."""

from __future__ import annotations

import collections
import warnings
from collections.abc import Iterator

import msgspec

from tests.simulation.explore import Case, Run, case_of, play


class Report(msgspec.Struct):
    """What some seeds led to."""

    seeds: int = 0
    runs: int = 0
    faults: dict[str, int] = {}
    failures: dict[int, str] = {}
    took_s: float = 0.0


def explore(seeds: tuple[int, int, int]) -> Report:
    """Run some seeds, one after the other."""
    warnings.simplefilter("ignore")  # coroutines of objects that died are never awaited
    first, last, crashed = seeds
    faults: collections.Counter[str] = collections.Counter()
    report = Report()
    for seed in range(first, last):
        case = case_of(seed)
        runs = [play(case)]
        if seed < crashed:
            runs += crash_everywhere(case)
        problem = next((run.problem for run in runs if run.problem is not None), None)
        if problem is not None:
            report.failures[seed] = problem
        faults.update(fault.kind for run in runs for fault in run.struck)
        report.runs += len(runs)
    report.seeds, report.faults = last - first, dict(faults)
    return report


def crash_everywhere(case: Case) -> Iterator[Run]:
    """Run a program without other faults, stopped before each of its writes in turn."""
    calm = msgspec.structs.replace(case, faults={}, only=frozenset[str]())
    undisturbed = play(calm)
    yield undisturbed
    for write in range(1, undisturbed.writes + 1):
        run = play(msgspec.structs.replace(calm, crash_at=(write,)))
        if run.problem is not None:
            run.problem = f"crashed before write {write}: {run.problem}"
        yield run
