"""What plays at full size have in common: their command lines, and when stillness can be told at their end."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

S = TypeVar("S", bound=msgspec.Struct)
P = TypeVar("P", bound=msgspec.Struct)

#: Later, the first ended jobs are about to be forgotten, and their alarms look like those of jobs at work.
QUIET_WITHIN_S = 200.0
#: Gets how much is done so far, or left, and how often workerd was killed.
Show = Callable[[int, int], None]


def main(
    name: str,
    purpose: str | None,
    numbers: Mapping[str, int],
    size_of: type[S],
    play: Callable[[S, Path, Show], P],
    total_of: Callable[[S], int],
    place: Callable[[int, int, int], tuple[int, str]],
    tell: Callable[[P], tuple[str, str]],
) -> int:
    """Play something at the size that the command line asks for, and print what it did.

    Args:
        name: of the module and of the play.
        purpose: the module's docstring.
        numbers: the options, with what they are if left out; the members of the size.
        size_of: makes a size of them.
        play: plays it.
        total_of: returns the end of the progress bar.
        place: returns the bar's place and text by its end and what the play shows.
        tell: returns what was done, and the verdict.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tests.workerd.{name}", description=purpose)
    for option, default in numbers.items():
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    given = vars(parser.parse_args())
    as_json = given.pop("json")
    size, console = size_of(**given), Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory(prefix=f"{name}-") as folder,
        Progress(*columns, console=console) as progress,
    ):
        total = total_of(size)
        task = progress.add_task(name, total=total, state="preparing")

        def show(count: int, kills: int) -> None:
            completed, state = place(total, count, kills)
            progress.update(task, completed=completed, state=state)

        played = play(size, Path(folder), show)
    if as_json:
        sys.stdout.write(msgspec.json.encode(played).decode() + "\n")
        return 0
    done, verdict = tell(played)
    console.print(done)
    console.print(f"[bold green]{verdict}[/bold green]")
    return 0
