"""The command: tries every mutant, two at a time, and shows the table."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.mutants.mutant import Mutant, every_mutant
from tests.mutants.trial import WIDE_LIMIT_S, Outcome, run, try_out


class Line(msgspec.Struct):
    """A mutant and what became of it."""

    mutant: str
    fault: str
    breaks: str
    files: list[str]
    outcome: Outcome


def try_all(mutants: Sequence[Mutant], *, jobs: int, wide: bool, console: Console) -> list[Line]:
    """Try mutants, with a bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    lines: dict[str, Line] = {}
    with Progress(*columns, console=console) as progress, ThreadPoolExecutor(jobs) as pool:
        task = progress.add_task("mutants", total=len(mutants))
        trials = {pool.submit(try_out, mutant, wide=wide): mutant for mutant in mutants}
        for done in as_completed(trials):
            mutant, outcome = trials[done], done.result()
            files = [change.path for change in mutant.changes]
            lines[mutant.name] = Line(mutant.name, mutant.fault, mutant.breaks, files, outcome)
            caught = sum(line.outcome.verdict == "caught" for line in lines.values())
            progress.update(task, advance=1, description=f"mutants, {len(lines) - caught} not caught")
    return [lines[name] for name in sorted(lines)]


def markdown(lines: Iterable[Line]) -> str:
    """Return the table as it stands in docs/testing.md."""
    rows = ["| mutant | what it does | caught by |", "|---|---|---|"]
    rows += [f"| `{line.mutant}` | {line.fault} | {_noticed(line.outcome, '`')} |" for line in lines]
    return "\n".join(rows)


def _noticed(outcome: Outcome, quote: str = "") -> str:
    if outcome.verdict != "caught":
        return outcome.verdict
    return quote + outcome.by.removeprefix("tests/").replace(".py::", "::") + quote


def main() -> int:
    """Try mutants; the exit code says whether all were caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only mutants of these names, or that begin so")
    parser.add_argument("--jobs", type=int, choices=(1, 2), default=2, help="trials at a time")
    parser.add_argument("--narrow", action="store_true", help="run the expected tests only")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/testing.md")
    options = parser.parse_args()
    console = Console(stderr=options.json or options.markdown, soft_wrap=True)
    mutants = [item for item in every_mutant() if not options.only or item.name.startswith(tuple(options.only))]
    if not mutants:
        console.print("no such mutant", style="red")
        return 2
    console.print("first the tests as they are, which must pass ...")
    tests = sorted({test for mutant in mutants for test in mutant.catchers})
    baseline = run({}, tests, limit_s=WIDE_LIMIT_S)
    if baseline.verdict != "survived":
        console.print(f"without a mutant, {baseline.by} fails: {baseline.why}", style="bold red", markup=False)
        return 2
    lines = try_all(mutants, jobs=options.jobs, wide=not options.narrow, console=console)
    if options.json:
        json.dump(msgspec.to_builtins(lines), sys.stdout, indent=2)
    elif options.markdown:
        print(markdown(lines))
    else:
        _show(lines, console)
    caught = sum(line.outcome.verdict == "caught" for line in lines)
    console.print(f"{caught} of {len(lines)} mutants caught")
    return 0 if caught == len(lines) else 1


def _show(lines: Iterable[Line], console: Console) -> None:
    table = Table("mutant", "what it does", "caught by", "s")
    for line in lines:
        outcome = line.outcome
        style = "" if outcome.verdict == "caught" else "bold red"
        noticed = _noticed(outcome) if outcome.verdict == "caught" else f"{outcome.verdict}: {outcome.by} {outcome.why}"
        unexpected = "" if outcome.expected else " (not the expected test)"
        table.add_row(line.mutant, line.fault, noticed + unexpected, f"{outcome.took_s:.1f}", style=style)
    console.print(table)
