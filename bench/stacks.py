"""The Workers under measurement: ours with the bench's main module, and the peer's."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import time
from collections.abc import Generator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec

from local.bundle import ROOT
from local.children import end_with_parent
from local.process import LocalStack

T = TypeVar("T")

HERE = Path(__file__).parent
PACKAGES = (HERE / "bench_worker", *(ROOT / name for name in ("orchestrator", "steps", "durable")))
#: Added to the deployable configuration: the object that stands for hand-written code.
FLOOR_CONFIG = """
[[durable_objects.bindings]]
name = "FLOORS"
class_name = "FloorObject"

[[migrations]]
tag = "bench"
new_sqlite_classes = ["FloorObject"]
"""
JOB_TIMEOUT_S = 300.0
#: How often a job's status is asked for while it runs: seldom, since each question costs the Worker time.
POLL_S = 0.05


class BenchError(Exception):
    """Something under measurement did not do its work."""


class Progress(msgspec.Struct, frozen=True):
    """How far a job is."""

    done: float


class Job(msgspec.Struct, frozen=True):
    """A job as the API shows it."""

    id: str
    status: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    slices: int
    steps: int
    rows_written: int
    result: object
    error: object
    progress: Progress | None

    @property
    def elapsed_ms(self) -> float:
        """From the job's first slice to its end, by the Worker's clock."""
        if self.started_at is None or self.finished_at is None:
            raise BenchError(f"{self.id} has not ended")
        return (self.finished_at - self.started_at).total_seconds() * 1000


class Storage(msgspec.Struct, frozen=True):
    """What a job's object has stored."""

    rows: dict[str, int]
    database_bytes: int

    @property
    def all_rows(self) -> int:
        """The rows of every table."""
        return sum(self.rows.values())


class Timed(msgspec.Struct, frozen=True):
    """A loop of steps timed from inside."""

    steps: int
    total: int
    elapsed_ms: float

    @property
    def ms_per_step(self) -> float:
        """Milliseconds per step, once the steps are known to have done their work."""
        if self.total != self.steps * (self.steps - 1) // 2:
            raise BenchError(f"{self.steps} steps gave {self.total}")
        return self.elapsed_ms / self.steps


class _Accepted(msgspec.Struct, frozen=True):
    id: str


class _Step(msgspec.Struct, frozen=True):
    key: str
    started_at: datetime
    counters: dict[str, int] | None = None


class _Steps(msgspec.Struct, frozen=True):
    steps: list[_Step]


class _PeerReady(msgspec.Struct, frozen=True):
    url: str


class _PeerStatus(msgspec.Struct, frozen=True):
    status: str
    output: Timed | None
    error: str | None


class Worker:
    """Our Worker in a running stack.

    Args:
        stack: the stack.
        client: an HTTP client for it.
    """

    def __init__(self, stack: LocalStack, client: httpx.Client) -> None:
        self.stack = stack
        self._client = client
        self._numbers = itertools.count(1)

    def enqueue(self, workflow: str, payload: Mapping[str, object], *, mode: str = "direct") -> str:
        """Record a job; return its id."""
        body = {"workflow": workflow, "payload": payload, "options": {"mode": mode}}
        return _decode(self._client.post("/v1/jobs", json=body), _Accepted).id

    def job(self, job_id: str) -> Job:
        """Return a job's status."""
        return _decode(self._client.get(f"/v1/jobs/{job_id}"), Job)

    def ended(self, job_id: str, *, every_s: float = POLL_S) -> Job:
        """Wait until a job has ended.

        Raises:
            BenchError: it did not complete, or not in time.
        """
        deadline = time.monotonic() + JOB_TIMEOUT_S
        while time.monotonic() < deadline:
            job = self.job(job_id)
            if job.status == "completed":
                return job
            if job.status in ("failed", "cancelled", "expired"):
                raise BenchError(f"{job_id} ended {job.status}: {job.error}")
            time.sleep(every_s)
        raise BenchError(f"{job_id} did not end in {JOB_TIMEOUT_S:.0f} s")

    def run(self, workflow: str, payload: Mapping[str, object]) -> Job:
        """Run a job to its end."""
        return self.ended(self.enqueue(workflow, payload))

    def first_step_started(self, job_id: str) -> datetime:
        """Return when a job's first step began."""
        return _decode(self._client.get(f"/v1/jobs/{job_id}/steps"), _Steps).steps[0].started_at

    def items(self, job_id: str, loop: str) -> int | None:
        """Return how many items a job's cursor loop has done; None before it begins."""
        steps = _decode(self._client.get(f"/v1/jobs/{job_id}/steps"), _Steps).steps
        return next(((step.counters or {}).get("items", 0) for step in steps if step.key == loop), None)

    def storage(self, job_id: str) -> Storage:
        """Return what a job's object has stored."""
        return _decode(self._client.get("/bench/storage", params={"id": job_id}), Storage)

    def floor(self, steps: int, *, waits: bool = False) -> Timed:
        """Run steps in the hand-written object."""
        params = {"name": f"floor {next(self._numbers)}", "steps": steps, "waits": "1" if waits else ""}
        return _decode(self._client.get("/bench/floor", params=params), Timed)

    def admissions(self, batches: int, size: int) -> float:
        """Have a lane admit jobs in batches; return how many it admitted per second.

        Raises:
            BenchError: it did not admit all.
        """
        params = {"name": f"bench {next(self._numbers)}", "batches": batches, "size": size}
        done = _decode(self._client.get("/bench/admissions", params=params), Admitted)
        if done.admitted != batches * size:
            raise BenchError(f"the lane admitted {done.admitted} of {batches * size} jobs")
        return done.admitted / done.elapsed_ms * 1000


class Admitted(msgspec.Struct, frozen=True):
    """Jobs that a lane admitted, and how long it took."""

    admitted: int
    elapsed_ms: float


class Peer:
    """The JavaScript Worker with Cloudflare Workflows."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._numbers = itertools.count(1)

    def workflow(self, steps: int) -> Timed:
        """Run a Workflow to its end.

        Raises:
            BenchError: it did not complete, or not in time.
        """
        started = _decode(self._client.get("/workflow/start", params={"steps": steps}), _Accepted)
        deadline = time.monotonic() + JOB_TIMEOUT_S
        while time.monotonic() < deadline:
            status = _decode(self._client.get("/workflow/status", params={"id": started.id}), _PeerStatus)
            if status.output is not None:
                return status.output
            if status.status in ("errored", "terminated"):
                raise BenchError(f"the Workflow ended {status.status}: {status.error}")
            time.sleep(POLL_S)
        raise BenchError(f"the Workflow did not end in {JOB_TIMEOUT_S:.0f} s")

    def floor(self, steps: int) -> Timed:
        """Run steps in the hand-written object."""
        params = {"name": f"floor {next(self._numbers)}", "steps": steps}
        return _decode(self._client.get("/floor", params=params), Timed)


@contextlib.contextmanager
def worker(state: Path, *, services: bool) -> Generator[Worker]:
    """Run our Worker with the bench's main module; ``services`` adds Postgres and embeddings."""
    state.mkdir(parents=True)
    config = state / "wrangler.toml"
    config.write_text((ROOT / "wrangler.toml").read_text() + FLOOR_CONFIG)
    arguments = ["--config", str(config), "--main", "bench_worker.worker"]
    arguments += [item for package in PACKAGES for item in ("--package", str(package))]
    if not services:
        arguments.append("--no-services")
    with LocalStack(state, arguments=arguments) as stack, stack.client(timeout_s=JOB_TIMEOUT_S) as client:
        yield Worker(stack, client)


@contextlib.contextmanager
def peer(state: Path) -> Generator[Peer]:
    """Run the peer Worker."""
    (state / "tmp").mkdir(parents=True)
    process = subprocess.Popen(
        [str(ROOT / ".venv" / "bin" / "node"), str(HERE / "workflows_peer" / "stack.mjs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=end_with_parent,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(msgspec.json.encode({"state": str(state)}) + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise BenchError("the peer Worker did not start")
        url = msgspec.json.decode(line, type=_PeerReady).url
        with httpx.Client(base_url=url, timeout=JOB_TIMEOUT_S) as client:
            yield Peer(client)
    finally:
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _decode(answer: httpx.Response, into: type[T]) -> T:
    if answer.is_error:
        raise BenchError(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:500]}")
    return msgspec.json.decode(answer.content, type=into)
