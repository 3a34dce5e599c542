"""``python -m local.demo``: ingest real documents twice, once with workerd killed half-way, and compare."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec
from rich.console import Console
from rich.markup import escape

from local.demo import screen
from local.demo.corpus import Corpus, collect
from local.demo.database import DemoDatabase
from local.demo.ingestion import DemoError, Ingestion, Outcome, Snapshot, differences
from local.process import LocalStack, StackError

#: workerd is killed once this much of the large document is done.
KILL_AT = 0.4
QUESTIONS = (
    "parse command line arguments and options",
    "compress and decompress data with gzip",
    "run a task in an event loop and wait for the result",
)


class _Embedding(msgspec.Struct):
    embedding: list[float]


class _Embeddings(msgspec.Struct):
    data: list[_Embedding]


class Killer:
    """Watches a run and kills workerd once, with SIGKILL, in the middle of it."""

    def __init__(self, stack: LocalStack, show: screen.Screen) -> None:
        self._stack = stack
        self._show = show
        self.kills = 0

    def __call__(self, snapshot: Snapshot) -> None:
        """Look at a snapshot."""
        self._show.show(snapshot)
        if self.kills or snapshot.large_share < KILL_AT or snapshot.large.status == "completed":
            return
        self.kills += 1
        with self._stack.expect_restart():
            pid = self._stack.kill_workerd()
            self._show.say(f"[bold red]kill -9 {pid}[/bold red]: workerd is gone, with every job half-way through")
        self._show.say("workerd runs again on the same state; nobody tells the jobs anything")


def main() -> int:
    """Run the demo; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.demo", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON, and nothing else")
    options = parser.parse_args()
    console = Console(stderr=options.json)
    began = time.monotonic()
    try:
        corpus = collect()
        with tempfile.TemporaryDirectory(prefix="demo-") as folder:
            same, outcomes = _demonstrate(console, corpus, Path(folder))
    except (DemoError, StackError, LookupError) as error:
        console.print(f"[bold red]error:[/bold red] {escape(str(error))}")
        return 1
    if options.json:
        sys.stdout.write(msgspec.json.encode({"equal": same, "runs": outcomes}).decode() + "\n")
    console.print(f"\nThe demo took {time.monotonic() - began:.0f} s.")
    return 0 if same else 1


def _demonstrate(console: Console, corpus: Corpus, folder: Path) -> tuple[bool, dict[str, Outcome]]:
    megabytes = corpus.large_bytes / 1_000_000
    console.print(
        f"Python's standard library: {len(corpus.batch)} of its sources as documents, and all of it as one "
        f"document of {megabytes:.1f} MB.\nEach run has its own workerd, Durable Objects, R2 and Postgres.\n"
    )
    kills = 0
    console.print("[bold]1. undisturbed[/bold]")
    undisturbed = _run(console, corpus, folder / "undisturbed", lambda _stack, show: show.show)[0]
    console.print("\n[bold]2. with workerd killed half-way[/bold]")
    killers: list[Killer] = []

    def kill(stack: LocalStack, show: screen.Screen) -> Callable[[Snapshot], None]:
        killers.append(Killer(stack, show))
        return killers[-1]

    disturbed, found = _run(console, corpus, folder / "disturbed", kill)
    kills = sum(killer.kills for killer in killers)
    outcomes = {"undisturbed": undisturbed, "killed": disturbed}
    console.print()
    screen.figures(console, corpus, outcomes, kills)
    for question, rows in found.items():
        screen.answers(console, question, rows)
    return _verdict(console, outcomes, kills), outcomes


def _run(
    console: Console,
    corpus: Corpus,
    state: Path,
    watcher: Callable[[LocalStack, screen.Screen], Callable[[Snapshot], None]],
) -> tuple[Outcome, dict[str, list[list[object]]]]:
    with LocalStack(state) as stack, screen.Screen(console, corpus) as show:
        ingestion = Ingestion(stack, corpus, watcher(stack, show))
        try:
            bar = show.upload()
            ingestion.upload(lambda size: show.advance(bar, size))
            outcome = ingestion.run()
        finally:
            ingestion.close()
        return outcome, {question: _search(stack, question) for question in QUESTIONS}


def _search(stack: LocalStack, question: str) -> list[list[object]]:
    answer = httpx.post(f"{stack.info.embeddings_url}/embeddings", json={"model": "default", "input": [question]})
    vector = msgspec.json.decode(answer.content, type=_Embeddings).data[0].embedding
    return DemoDatabase(stack.database_url).nearest(vector, 3)


def _verdict(console: Console, outcomes: dict[str, Outcome], kills: int) -> bool:
    first, second = (outcome.facts for outcome in outcomes.values())
    different = differences(first, second)
    for name in different:
        console.print(f"[bold red]differs[/bold red]: {name}: {first.get(name)} and {second.get(name)}")
    if not kills:
        console.print("[bold red]workerd was not killed[/bold red]: the run ended too soon")
    if different or not kills:
        return False
    console.print(
        f"\n[bold green]Equal.[/bold green] {first['chunks']} chunks with their ids, texts and vectors, "
        f"{first['documents']} document rows,\nthe counters and {first['events']} events of the killed run "
        "are those of the undisturbed one."
    )
    return True


if __name__ == "__main__":
    raise SystemExit(main())
