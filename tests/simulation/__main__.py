"""Explores seeds on every core, and tells the smallest story of one that fails: ``make simulate``."""

from __future__ import annotations

import argparse
import collections
import json
import os
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tests.simulation.explore import Run, case_of, play
from tests.simulation.program import text_of
from tests.simulation.shrink import Shrinker
from tests.simulation.swarm import Report, crash_everywhere, explore

#: Seeds that a process takes at a time.
CHUNK = 20
#: Failures that are shrunk; the others are only named.
SHRUNK = 3
#: Programs of the first seeds are also stopped before every single write.
CRASHED_EVERYWHERE = 15


def explore_all(first: int, count: int, *, crashed: int, jobs: int, console: Console) -> Report:
    """Run many seeds on several cores, with a bar."""
    chunks = [(at, min(at + CHUNK, first + count), first + crashed) for at in range(first, first + count, CHUNK)]
    report, faults = Report(), collections.Counter[str]()
    began_s = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        Progress(*columns, TimeRemainingColumn(), console=console) as progress,
        ProcessPoolExecutor(jobs) as pool,
    ):
        task = progress.add_task("seeds", total=count)
        for done in as_completed([pool.submit(explore, chunk) for chunk in chunks]):
            part = done.result()
            report.seeds += part.seeds
            report.runs += part.runs
            faults.update(part.faults)
            report.failures.update(part.failures)
            progress.update(task, advance=part.seeds, description=f"seeds, {len(report.failures)} failed")
    report.faults = dict(sorted(faults.items()))
    report.took_s = round(time.monotonic() - began_s, 1)
    return report


def tell(seed: int, console: Console) -> bool:
    """Run one seed and tell what happened, as small as it gets; tell whether it held."""
    warnings.simplefilter("ignore")
    case = case_of(seed)
    run = play(case)
    if run.problem is None:
        console.print(text_of(case.program), highlight=False, markup=False)
        _print_faults(run, console)
        console.print(f"seed {seed} holds: the job {run.view.status if run.view else 'is unknown'}")
        crashed = next((found for found in crash_everywhere(case) if found.problem is not None), None)
        if crashed is not None:
            console.print(crashed.problem, style="bold red", markup=False)
        return crashed is None
    shrinker = Shrinker(case, run)
    small = shrinker.shrink()
    console.print(f"seed {seed}: {run.problem}", style="bold red", markup=False)
    console.print(f"\nThe smallest program that fails so, after {shrinker.runs} runs:\n", markup=False)
    console.print(text_of(small.program), highlight=False, markup=False)
    _print_faults(shrinker.run, console)
    console.print(f"{shrinker.run.problem}", style="red", markup=False)
    return False


def _print_faults(run: Run, console: Console) -> None:
    console.print()
    for fault in run.struck:
        console.print(
            f"{(fault.at_ms - run.began_ms) / 1000:>9.3f} s  {fault.point}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    for level, event, fields in run.logs:
        if level != "info":
            facts = " ".join(f"{name}={value}" for name, value in fields.items())
            console.print(f"{level:>11}  {event} {facts}"[:200], highlight=False, markup=False, style="dim")
    console.print()


def main() -> int:
    """Explore, or tell one seed's story; the exit code says whether everything held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5_000, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="run only this one, and shrink it if it fails")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--crashed", type=int, default=CRASHED_EVERYWHERE, help="programs stopped before every write")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args()
    console = Console(stderr=options.json, soft_wrap=True)
    if options.seed is not None:
        return 0 if tell(options.seed, console) else 1
    report = explore_all(options.first, options.seeds, crashed=options.crashed, jobs=options.jobs, console=console)
    if options.json:
        json.dump(msgspec.to_builtins(report), sys.stdout, indent=2)
    else:
        _print_report(report, console)
    for seed in sorted(report.failures)[:SHRUNK]:
        tell(seed, console)
    return 1 if report.failures else 0


def _print_report(report: Report, console: Console) -> None:
    table = Table("fault", "struck")
    for kind, count in report.faults.items():
        table.add_row(kind, f"{count:,}")
    console.print(table)
    console.print(
        f"{report.seeds:,} seeds and {report.runs:,} runs in {report.took_s} s, "
        f"{sum(report.faults.values()):,} faults, {len(report.failures)} failed"
    )
    for seed, problem in sorted(report.failures.items()):
        console.print(f"make simulate SEED={seed}   {problem}"[:300], markup=False)


if __name__ == "__main__":
    sys.exit(main())
