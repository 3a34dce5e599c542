"""``python -m bench``: measure, and print a table."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench.measure import FULL, PARTS, QUICK, Screen, measure
from bench.report import Report, rows, show
from bench.results import this_machine
from bench.stacks import BenchError
from local.process import StackError

#: Wide enough for the table where no terminal says otherwise.
WIDTH = 150


class Bars(Screen):
    """A progress bar per group of measurements."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def begin(self, title: str, samples: float) -> None:
        """See :class:`bench.measure.Screen`."""
        self._task = self._progress.add_task(title, total=samples)

    def advance(self, samples: float = 1) -> None:
        """See :class:`bench.measure.Screen`."""
        if self._task is not None:
            self._progress.advance(self._task, samples)


def main(arguments: list[str] | None = None) -> int:
    """Run the bench; return the process's exit code. A missed aim is shown, and is no failure."""
    given = _parser().parse_args(arguments)
    parts: set[str] = set(PARTS) if given.only is None else set(given.only.split(","))
    if unknown := parts - set(PARTS):
        print(f"error: no such part: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    plan = QUICK if given.quick else FULL
    console = Console(stderr=True)
    machine, began = this_machine(), time.monotonic()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:24}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
    )
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
            Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress,
        ):
            results = measure(parts, plan, Path(folder), Bars(progress))
    except (StackError, BenchError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    report = Report(machine, plan, time.monotonic() - began, rows(results, plan), results.left_out)
    if given.json:
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        output = Console()
        show(report, output if output.is_terminal else Console(width=WIDTH))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the engine beside its peers.")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller samples")
    parser.add_argument("--only", metavar="a,b,…", help=f"parts to measure, of {','.join(PARTS)}")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
