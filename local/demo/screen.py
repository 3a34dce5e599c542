"""What the demo shows: progress bars while it runs, tables at its end."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from local.demo.corpus import Corpus
from local.demo.ingestion import Outcome, Snapshot

_MEGABYTE = 1_000_000


class Screen:
    """Progress of a run, drawn as it goes.

    Args:
        console: where to draw.
        corpus: what is ingested.
    """

    def __init__(self, console: Console, corpus: Corpus) -> None:
        self.console = console
        self._corpus = corpus
        self._progress = Progress(
            TextColumn("{task.description:<34}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]:>16}"),
            TimeRemainingColumn(),
            console=console,
        )
        self._batch: TaskID | None = None
        self._large: TaskID | None = None

    def __enter__(self) -> Screen:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def upload(self) -> TaskID:
        """Begin the bar of the upload."""
        total = self._corpus.batch_bytes + self._corpus.large_bytes
        return self._progress.add_task("put documents into R2", total=total, rate="")

    def advance(self, task: TaskID, amount: int) -> None:
        """Move a bar on."""
        self._progress.advance(task, amount)

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._progress.console.print(text)

    def show(self, snapshot: Snapshot) -> None:
        """Draw a snapshot."""
        corpus = self._corpus
        if self._batch is None or self._large is None:
            documents = len(corpus.batch)
            self._batch = self._progress.add_task(f"ingest {documents} documents", total=documents, rate="")
            megabytes = corpus.large_bytes / _MEGABYTE
            self._large = self._progress.add_task(
                f"ingest 1 document of {megabytes:.0f} MB", total=corpus.large_bytes, rate=""
            )
        elapsed_s = max(snapshot.elapsed_s, 0.001)
        done = snapshot.batch.progress.done if snapshot.batch.progress else 0
        if snapshot.batch.status == "completed":
            done = len(corpus.batch)
        share = 1.0 if snapshot.large.status == "completed" else snapshot.large_share
        self._progress.update(self._batch, completed=done, rate=f"{done / elapsed_s:.0f} documents/s")
        stored = share * corpus.large_bytes
        self._progress.update(self._large, completed=stored, rate=f"{stored / elapsed_s / _MEGABYTE:.2f} MB/s")


def figures(console: Console, corpus: Corpus, outcomes: dict[str, Outcome], kills: int) -> None:
    """Print what the runs did, side by side."""
    table = Table(title="What happened", title_justify="left")
    table.add_column("")
    for name in outcomes:
        table.add_column(name, justify="right")
    megabytes = (corpus.batch_bytes + corpus.large_bytes) / _MEGABYTE

    def add(label: str, *values: object) -> None:
        table.add_row(label, *(f"{value:,}" if isinstance(value, int) else str(value) for value in values))

    runs = list(outcomes.values())
    for name in ("documents", "chunks", "tokens", "pages"):
        add(name, *(run.facts[name] for run in runs))
    add("megabytes", *(f"{megabytes:.1f}" for _ in runs))
    add("seconds", *(f"{run.elapsed_s:.1f}" for run in runs))
    add("MB/s", *(f"{megabytes / run.elapsed_s:.2f}" for run in runs))
    add("jobs", *(len(run.jobs) for run in runs))
    add("slices", *(run.total("slices") for run in runs))
    add("SIGKILLs of workerd", *([0] * (len(runs) - 1) + [kills]))
    add("slices that died and came back", *(run.total("crashes") for run in runs))
    add("steps", *(run.total("steps") for run in runs))
    add("rows written", *(run.total("rows_written") for run in runs))
    add("rows written per job", *(f"{run.total('rows_written') / len(run.jobs):.1f}" for run in runs))
    add("rows written per step", *(f"{run.total('rows_written') / run.total('steps'):.1f}" for run in runs))
    console.print(table)


def answers(console: Console, question: str, rows: list[list[object]]) -> None:
    """Print the documents found for a question."""
    console.print(f"\n[bold]{question}[/bold]")
    for name, score, body in rows:
        lines = [line.strip() for line in str(body).splitlines() if line.strip()]
        console.print(
            f"  {float(str(score)):.3f}  [cyan]{name}[/cyan]  {lines[0][:80] if lines else ''}", highlight=False
        )
