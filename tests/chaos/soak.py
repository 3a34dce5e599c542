"""``python -m tests.chaos.soak``: ingest and delete for a long time under faults, and look at memory and at the rest.

In the first half workerd is killed now and then, besides the other faults; in the second half it lives, so that the
memory of one process can be compared over a long time: what leaks shows there.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from local.process import LocalStack, StackError, wait_until
from tests.chaos.proxy import Proxy
from tests.workerd.corpus import text
from tests.workerd.run import ENDED, QUEUE, WAIT_S, Ingestion

#: Ingest jobs under way at a time, and ended ones that are kept before the oldest is deleted.
UNDER_WAY = 4
KEPT = 12
DOCUMENTS = 5
PARAGRAPHS = 40
FAULT_EVERY_S = 6.0
SAMPLE_EVERY_S = 2.0
#: A process's memory in the last quarter of its life may exceed that in the second quarter by this much; the first one
#: is its warm-up (docs/decisions/0054-memory-of-workerd.md).
GROWTH = 1.1
#: So many samples of one process are the least to be compared.
FEW_SAMPLES = 16
COMMIT_BYTES = 100
#: What no job may be left in; ended ones keep an alarm for their retention.
UNENDED = ("queued", "waiting", "running", "suspended", "paused", "cancelling")


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """What workerd took at a moment; each SIGKILL begins another process."""

    at_s: float
    pid: int
    memory_mb: float
    files: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a soak found; ``problems`` is empty when all is well."""

    minutes: float
    seed: int
    ingested: int
    deleted: int
    faults: dict[str, int]
    samples: list[Sample]
    growth: float | None
    problems: list[str]


class Soak:
    """One soak.

    Args:
        stack: the running stack, whose Worker reaches Postgres through ``proxy``.
        proxy: cuts connections.
        seed: of the order and kinds of faults.
    """

    def __init__(self, stack: LocalStack, proxy: Proxy, seed: int) -> None:
        self._stack = stack
        self._proxy = proxy
        self._ingestion = Ingestion(stack)
        self._random = random.Random(seed)
        self._seed = seed
        self._jobs: dict[str, str] = {}
        self._ended: list[str] = []
        self._deletes: dict[str, str] = {}
        self._deleted = 0
        self._lost_answers = 0
        self.faults: Counter[str] = Counter()
        self.samples: list[Sample] = []
        self.problems: list[str] = []
        proxy.fault = self._loses

    def run(self, minutes: float, show: Callable[[float, str], None]) -> Report:
        """Soak for so long, come to rest, and look at what is left."""
        self._ingestion.tables.prepare()
        began = time.monotonic()
        length_s = minutes * 60
        next_fault = next_sample = 0.0
        while (passed := time.monotonic() - began) < length_s:
            self._work()
            if passed >= next_fault:
                next_fault = passed + FAULT_EVERY_S
                self._fault(may_kill=passed < length_s / 2)
            if passed >= next_sample:
                next_sample = passed + SAMPLE_EVERY_S
                self.samples.append(_sample(passed, self._stack))
            show(
                passed / length_s,
                f"{len(self._jobs)} ingested, {self._deleted} deleted, {sum(self.faults.values())} faults",
            )
            time.sleep(0.2)
        self._rest()
        growth = growth_of(self.samples)
        if growth is not None and growth > GROWTH:
            self.problems.append(f"the memory of one process grew {growth:.2f} times")
        self._ingestion.__exit__(None, None, None)
        return Report(
            minutes=minutes,
            seed=self._seed,
            ingested=len(self._jobs),
            deleted=self._deleted,
            faults=dict(self.faults),
            samples=self.samples,
            growth=growth,
            problems=self.problems,
        )

    def _work(self) -> None:
        """Start what there is room for, and delete the oldest of what has ended."""
        running = [name for name in self._jobs if name not in self._ended]
        for name in running:
            job = self._ingestion.job(self._jobs[name])
            if job.status in ENDED:
                self._ended.append(name)
                if job.status != "completed":
                    self.problems.append(f"{name} is {job.status}: {job.error}")
        for _ in range(UNDER_WAY - len(running)):
            name = f"cjobsoak{len(self._jobs):016d}"
            words = " ".join(f"word{self._random.randrange(10_000)}" for _ in range(20))
            self._ingestion.add(name, [text(f"{words}. {number}\n\n" * PARAGRAPHS) for number in range(DOCUMENTS)])
            self._jobs[name] = self._ingestion.start(name)
        while len(self._ended) - self._deleted > KEPT:
            name = self._ended[self._deleted]
            body = {"body": {"jobId": name}}
            self._deletes[name] = self._ingestion.call("POST", "/trigger/delete-ingest-job", _Id, body).id
            self._deleted += 1

    def _fault(self, *, may_kill: bool) -> None:
        kinds = ["cut connections", "lose answers to commits", "evict", "duplicate messages"]
        kind = self._random.choice([*kinds, "kill workerd"] if may_kill else kinds)
        self.faults[kind] += 1
        if kind == "kill workerd":
            with self._stack.expect_restart():
                self._stack.kill_workerd()
        elif kind == "cut connections":
            self._proxy.cut()
        elif kind == "lose answers to commits":
            self._lost_answers = 3
        elif kind == "evict" and self._ended:
            # A busy object cannot be evicted from outside; an ended one must not keep its memory.
            with contextlib.suppress(StackError):  # it has been forgotten already
                self._stack.evict("JobObject", self._jobs[self._ended[-1]])
        elif kind == "duplicate messages":
            messages = [{"id": job_id} for job_id in list(self._jobs.values())[-UNDER_WAY:]]
            self._stack.deliver(QUEUE, *messages, *reversed(messages))

    def _loses(self, sent: bytes) -> bool:
        if self._lost_answers and len(sent) < COMMIT_BYTES and b"commit" in sent.lower():
            self._lost_answers -= 1
            return True
        return False

    def _rest(self) -> None:
        """Wait for everything under way, and compare what is left with what should be."""
        ingestion = self._ingestion
        jobs = [*self._jobs.values(), *self._deletes.values()]
        for job_id in jobs:
            if (job := ingestion.ended(job_id)).status != "completed":
                self.problems.append(f"{job_id} is {job.status}: {job.error}")
        left = (len(self._jobs) - self._deleted) * DOCUMENTS
        tables = ingestion.tables
        found = {
            "documents": tables.count("select count(*) from document"),
            "completed documents": tables.count("select count(*) from document where status = 'COMPLETED'"),
            "documents counted": tables.count('select "totalDocuments" from namespace'),
            "documents with vectors": tables.count("select count(distinct document_id) from wf.vector"),
        }
        self.problems += [f"{name}: {count}, not {left}" for name, count in found.items() if count != left]
        wait_until(lambda: not any(self._has_jobs(status) for status in UNENDED), timeout_s=WAIT_S)

    def _has_jobs(self, status: str) -> bool:
        return bool(self._ingestion.call("GET", f"/v1/jobs?status={status}&limit=1", _Page).jobs)


def growth_of(samples: Sequence[Sample]) -> float | None:
    """Return how the memory of the longest-lived process in its last quarter compares to that in its second."""
    lives: dict[int, list[float]] = {}
    for sample in samples:
        lives.setdefault(sample.pid, []).append(sample.memory_mb)
    longest = max(lives.values(), key=len, default=list[float]())
    if len(longest) < FEW_SAMPLES:
        return None
    quarter = len(longest) // 4
    return statistics.median(longest[-quarter:]) / statistics.median(longest[quarter : 2 * quarter])


class _Id(msgspec.Struct, frozen=True):
    id: str


class _Page(msgspec.Struct, frozen=True):
    jobs: list[_Id]


def _sample(at_s: float, stack: LocalStack) -> Sample:
    process = psutil.Process(stack.info.workerd_pid)
    return Sample(round(at_s, 1), process.pid, round(process.memory_info().rss / 1_000_000, 1), process.num_fds())


def main(arguments: list[str] | None = None) -> int:
    """Soak; return the process's exit code, 1 when there were problems."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the report as JSON, and nothing else")
    given = parser.parse_args(arguments)
    console = Console(stderr=given.json)
    columns = (TextColumn("soak"), BarColumn(), TextColumn("{task.fields[state]}"), TimeRemainingColumn())
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
        Proxy() as proxy,
        LocalStack(Path(folder), arguments=("--database-port", str(proxy.port))) as stack,
        Progress(*columns, console=console) as progress,
    ):
        proxy.pass_on_to(stack.database_url)
        task = progress.add_task("soak", total=1.0, state="")
        soak = Soak(stack, proxy, given.seed)
        report = soak.run(given.minutes, lambda share, state: progress.update(task, completed=share, state=state))
    if given.json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        _show(console, report)
    return 1 if report.problems else 0


def _show(console: Console, report: Report) -> None:
    table = Table(title=f"{report.minutes:g} minutes, seed {report.seed}", show_header=False)
    table.add_row("ingest jobs", str(report.ingested))
    table.add_row("of them deleted", str(report.deleted))
    for kind, count in sorted(report.faults.items()):
        table.add_row(kind, str(count))
    for name, values in (
        ("memory of workerd, MB", [sample.memory_mb for sample in report.samples]),
        ("its open files", [sample.files for sample in report.samples]),
    ):
        table.add_row(name, f"{min(values, default=0):.0f} to {max(values, default=0):.0f}  {sparkline(values)}")
    table.add_row("last quarter of a life to its second", "-" if report.growth is None else f"{report.growth:.2f}")
    console.print(table)
    for problem in report.problems[:20]:
        console.print(f"[bold red]problem[/bold red]: {problem}", markup=True, highlight=False)
    if not report.problems:
        console.print("[bold green]Nothing lost, nothing doubled, nothing left over.[/bold green]")


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Draw values over time, from 0 to the greatest."""
    top = max(values, default=0) or 1
    chosen = values[:: max(1, len(values) // width)]
    return "".join("▁▂▃▄▅▆▇█"[min(7, int(value / top * 8))] for value in chosen)


if __name__ == "__main__":
    raise SystemExit(main())
