"""The measurements. What is compared is sampled in turns, so that a busy moment of the machine hits all alike."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import msgspec

from bench import deletion, ingestion, stacks
from bench.bench_worker.flows import Mark
from bench.results import Results
from bench.stacks import BenchError, Peer, Worker
from local import postgres
from local.bundle import ROOT

PARTS: tuple[str, ...] = ("a", "b", "c", "d", "e", "f", "g", "h")
#: What is not counted, since it meets cold caches.
WARM_UP_STARTS = 5
WARM_UP_STEPS = 1_000
WARM_UP_ITEMS = 20_000
FEW_ITEMS = 10
ADMISSIONS_PER_BATCH = 100

#: Takes one sample.
Sample = Callable[[], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much to measure.

    Attributes:
        rounds: samples of everything that is not named here.
        steps: steps of one job.
        workflow_steps: the same for a Workflow; fewer, since its time per step does not depend on it.
        dbos_steps: the same for DBOS.
        walks: cursor loops to run.
        items: items of one cursor loop.
        batch: items per commit of it; few, so that there are many commits.
        starts: jobs started, per way to start one.
        admissions: batches of jobs that a lane admits, per sample.
        documents: sizes in MB, and how often each is ingested.
        deletions: documents of a small and of a large ingest job that are deleted.
    """

    rounds: int
    steps: int
    workflow_steps: int
    dbos_steps: int
    walks: int
    items: int
    batch: int
    starts: int
    admissions: int
    documents: tuple[tuple[int, int], ...]
    deletions: tuple[int, int]


FULL = Plan(
    rounds=3,
    steps=10_000,
    workflow_steps=5_000,
    dbos_steps=1_000,
    walks=5,
    items=1_000_000,
    batch=40,
    starts=100,
    admissions=50,
    documents=((1, 3), (10, 3), (100, 1)),
    deletions=(1_000, 100_000),
)
QUICK = Plan(
    rounds=3,
    steps=1_000,
    workflow_steps=500,
    dbos_steps=200,
    walks=3,
    items=50_000,
    batch=20,
    starts=20,
    admissions=10,
    documents=((1, 3), (3, 1)),
    deletions=(1_000, 10_000),
)


class Screen:
    """Shows how far the bench is; this one shows nothing."""

    def begin(self, title: str, samples: float) -> None:
        """Something with so many samples begins."""

    def advance(self, samples: float = 1) -> None:
        """So many samples more are done."""


class _Walked(msgspec.Struct, frozen=True):
    done: int
    total: int
    began: Mark
    first_tenth: Mark
    last_tenth: Mark
    ended: Mark


class _WalkResult(msgspec.Struct, frozen=True):
    batches: int
    walk: _Walked


class _DbosResult(msgspec.Struct, frozen=True):
    elapsed_ms: float


def measure(parts: set[str], plan: Plan, folder: Path, screen: Screen) -> Results:
    """Measure the parts; ``folder`` is for the state of what is started.

    Raises:
        StackError: the Worker did not start.
        BenchError: something did not do its work.
    """
    results = Results()
    if parts - {"f", "h"}:
        screen.begin("starting", 1)
        with stacks.worker(folder / "worker", services=False) as worker:
            screen.advance()
            if parts & {"a", "b", "c"}:
                _steps(parts, plan, folder, screen, results, worker)
            if "d" in parts:
                _walk(plan, screen, results, worker)
            if "e" in parts:
                _starts(plan, screen, results, worker)
            if "g" in parts:
                _admissions(plan, screen, results, worker)
    if "f" in parts:
        _documents(plan, folder, screen, results)
    if "h" in parts:
        _deletions(plan, folder, screen, results)
    return results


def _steps(parts: set[str], plan: Plan, folder: Path, screen: Screen, results: Results, worker: Worker) -> None:
    """(a), (b), (c): one step of a long job, on our engine, on its peers, and by hand."""
    samples: list[Sample] = []
    with contextlib.ExitStack() as running:
        if "a" in parts:
            samples += _engine_steps(plan, results, worker)
        if parts & {"b", "c"}:
            peer = running.enter_context(stacks.peer(folder / "peer"))
            samples += _peer_steps(parts, plan, results, peer)
        if "b" in parts and find_spec("dbos") is None:
            results.left_out["b.dbos"] = "the package dbos is not installed"
        elif "b" in parts:
            server = running.enter_context(postgres.start(folder / "dbos"))
            samples.append(lambda: results.add("b.dbos", _dbos(server.url, plan.dbos_steps)))
        if "c" in parts:
            worker.floor(WARM_UP_STEPS)
            worker.floor(WARM_UP_STEPS, waits=True)
            samples.append(lambda: results.add("c.python", worker.floor(plan.steps).ms_per_step))
            samples.append(lambda: results.add("c.python_waiting", worker.floor(plan.steps, waits=True).ms_per_step))
        screen.begin("a b c  steps", plan.rounds * len(samples))
        for _ in range(plan.rounds):
            for sample in samples:
                sample()
                screen.advance()


def _engine_steps(plan: Plan, results: Results, worker: Worker) -> list[Sample]:
    def run(name: str, *, waits: bool) -> None:
        job = worker.run("bench-steps", {"steps": plan.steps, "waits": waits})
        if job.result != plan.steps * (plan.steps - 1) // 2:
            raise BenchError(f"{plan.steps} steps gave {job.result}")
        results.add(name, job.elapsed_ms / plan.steps)
        results.add("a.rows", job.rows_written / plan.steps)

    for waits in (False, True):
        worker.run("bench-steps", {"steps": WARM_UP_STEPS, "waits": waits})
    return [lambda: run("a.step", waits=False), lambda: run("a.waiting", waits=True)]


def _peer_steps(parts: set[str], plan: Plan, results: Results, peer: Peer) -> list[Sample]:
    samples: list[Sample] = []
    if "b" in parts:
        peer.workflow(min(plan.workflow_steps, WARM_UP_STEPS))
        samples.append(lambda: results.add("b.workflows", peer.workflow(plan.workflow_steps).ms_per_step))
    if "c" in parts:
        peer.floor(WARM_UP_STEPS)
        samples.append(lambda: results.add("c.javascript", peer.floor(plan.steps).ms_per_step))
    return samples


def _dbos(database_url: str, steps: int) -> float:
    """Return milliseconds per step."""
    command = [sys.executable, "-m", "bench.dbos_peer", database_url, str(steps)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"DBOS failed:\n{done.stderr.strip()}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=_DbosResult).elapsed_ms / steps


def _walk(plan: Plan, screen: Screen, results: Results, worker: Worker) -> None:
    """(d): a long cursor loop."""
    screen.begin("d      cursor loop", plan.walks + 2)
    few = worker.run("bench-walk", {"items": FEW_ITEMS})
    stored = worker.storage(few.id)
    results.add("d.rows_few", stored.all_rows)
    results.add("d.bytes_few", stored.database_bytes)
    screen.advance()
    worker.run("bench-walk", {"items": WARM_UP_ITEMS, "batch": plan.batch})
    screen.advance()
    for _ in range(plan.walks):
        job = worker.run("bench-walk", {"items": plan.items, "batch": plan.batch})
        result = msgspec.convert(job.result, _WalkResult)
        walked = result.walk
        if walked.done != plan.items or walked.total != plan.items * (plan.items - 1) // 2:
            raise BenchError(f"a loop over {plan.items} items did {walked.done}, sum {walked.total}")
        stored = worker.storage(job.id)
        first, last = _us_per_item(walked.began, walked.first_tenth), _us_per_item(walked.last_tenth, walked.ended)
        results.add("d.first", first)
        results.add("d.last", last)
        results.add("d.drift", (last / first - 1) * 100)
        results.add("d.commits", job.rows_written / result.batches)
        results.add("d.rows_many", stored.all_rows)
        results.add("d.bytes_many", stored.database_bytes)
        learned = worker.run("bench-walk", {"items": plan.items})
        results.add("d.learned", learned.elapsed_ms * 1000 / plan.items)
        screen.advance()


def _us_per_item(since: Mark, until: Mark) -> float:
    return (until.at_ms - since.at_ms) * 1000 / (until.items - since.items)


def _starts(plan: Plan, screen: Screen, results: Results, worker: Worker) -> None:
    """(e): how long callers wait for the answer, and jobs for their first step."""
    screen.begin("e      job starts", 2 * plan.starts)
    for number in range(plan.starts + WARM_UP_STARTS):
        for mode in ("direct", "queue"):
            began = time.time()
            job_id = worker.enqueue("bench-steps", {"steps": 1}, mode=mode)
            answered = time.time()
            worker.ended(job_id, every_s=0.005)
            started = worker.first_step_started(job_id).timestamp()
            if number >= WARM_UP_STARTS:
                results.add(f"e.{mode}_answer", (answered - began) * 1000)
                results.add(f"e.{mode}_start", (started - began) * 1000)
                screen.advance()


def _admissions(plan: Plan, screen: Screen, results: Results, worker: Worker) -> None:
    """(g): jobs that one lane admits per second, asked in batches."""
    screen.begin("g      admissions", plan.rounds + 1)
    worker.admissions(plan.admissions, ADMISSIONS_PER_BATCH)
    screen.advance()
    for _ in range(plan.rounds):
        results.add("g.admissions", worker.admissions(plan.admissions, ADMISSIONS_PER_BATCH))
        screen.advance()


def _documents(plan: Plan, folder: Path, screen: Screen, results: Results) -> None:
    """(f): ingestion of growing documents; the interpreter's memory never shrinks, so the order matters."""
    screen.begin("f      ingestion", sum(size * times for size, times in plan.documents))
    with stacks.worker(folder / "ingestion", services=True) as worker:
        ingestion.prepare(worker)
        results.add("f.heap_start", worker.stack.heap_bytes())
        for size_mb, times in plan.documents:
            for number in range(times):
                shown = 0.0

                def show(share: float, size_mb: int = size_mb) -> None:
                    nonlocal shown
                    screen.advance((share - shown) * size_mb)
                    shown = share

                done = ingestion.ingest(worker, size_mb * ingestion.MB, f"bench_{size_mb}_{number}", show)
                show(1.0)
                results.add(f"f.speed_{size_mb}", done.mb_per_s)
                results.add(f"f.chunks_{size_mb}", done.chunks)
                results.add(f"f.heap_{size_mb}", done.heap_bytes)


def _deletions(plan: Plan, folder: Path, screen: Screen, results: Results) -> None:
    """(h): ingest jobs of few documents are deleted, then ones of many: the interpreter's memory never shrinks."""
    screen.begin("h      deletion", plan.rounds * sum(plan.deletions))
    with stacks.worker(folder / "deletion", services=True) as worker:
        ingestion.prepare(worker)
        for kind, documents in zip(("few", "many"), plan.deletions, strict=True):
            for number in range(plan.rounds):
                name, shown = f"bench_{kind}_{number}", 0.0
                deletion.prepare(worker, name, documents)

                def show(share: float, documents: int = documents) -> None:
                    nonlocal shown
                    screen.advance((share - shown) * documents)
                    shown = share

                done = deletion.delete(worker, name, documents, show)
                show(1.0)
                results.add(f"h.rate_{kind}", documents / done.elapsed_ms * 1000)
                results.add(f"h.rows_{kind}", done.storage.all_rows)
                results.add(f"h.bytes_{kind}", done.storage.database_bytes)
                results.add(f"h.heap_{kind}", done.heap_bytes)
                if done.first_tenth:
                    results.add(f"h.first_{kind}", done.first_tenth)
                    results.add(f"h.last_{kind}", done.last_tenth)
                    results.add(f"h.drift_{kind}", (done.last_tenth / done.first_tenth - 1) * 100)
