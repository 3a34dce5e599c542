"""One run of the demo: both ingest jobs on a fresh stack, watched through the HTTP API until they end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import httpx
import msgspec

from local.demo.corpus import Corpus
from local.demo.database import BATCH_JOB_ID, LARGE_JOB_ID, DemoDatabase
from local.process import LocalStack
from orchestrator.ids import child_job_id

#: How often the jobs are asked how far they are.
POLL_S = 0.25
#: A run that takes longer has hung: the whole demo is to take five minutes.
PATIENCE_S = 600.0
_ENDED = frozenset({"completed", "failed", "cancelled", "expired"})


class DemoError(Exception):
    """The demo did not come to its end."""


class Progress(msgspec.Struct, frozen=True):
    """How far a job says it is."""

    done: float = 0
    total: float | None = None


class Job(msgspec.Struct, frozen=True):
    """What the demo reads of a job's status."""

    id: str
    status: str
    slices: int = 0
    crashes: int = 0
    steps: int = 0
    rows_written: int = 0
    progress: Progress | None = None
    error: dict[str, object] | None = None


class Snapshot(msgspec.Struct, frozen=True):
    """How far both jobs are."""

    batch: Job
    large: Job
    #: The large document's own job, once it is there.
    document: Job | None
    elapsed_s: float

    @property
    def large_share(self) -> float:
        """How much of the large document is done, from 0 to 1."""
        found = self.document.progress if self.document else None
        return min(1.0, found.done / found.total) if found is not None and found.total else 0.0


class Outcome(msgspec.Struct, frozen=True):
    """What a run led to."""

    facts: dict[str, object]
    elapsed_s: float
    jobs: list[Job]

    def total(self, name: str) -> int:
        """Return the sum of a number over all jobs."""
        return sum(int(getattr(job, name)) for job in self.jobs)


class Ingestion:
    """A run on a stack.

    Args:
        stack: a started stack on a fresh state.
        corpus: what to ingest.
        watch: called with every snapshot; may disturb the stack.
    """

    def __init__(self, stack: LocalStack, corpus: Corpus, watch: Callable[[Snapshot], None]) -> None:
        self._stack = stack
        self._corpus = corpus
        self._watch = watch
        self._database = DemoDatabase(stack.database_url)
        self._client = stack.client(timeout_s=20.0)

    def upload(self, advance: Callable[[int], None]) -> None:
        """Put every document into the bucket; ``advance`` hears of each document's bytes."""
        for item in self._corpus.batch:
            self._stack.put_blob(item.key, item.path.read_bytes())
            advance(item.size_bytes)
        content = self._corpus.large_content()
        self._stack.put_blob(self._corpus.large_key, content, size_bytes=self._corpus.large_bytes)
        advance(self._corpus.large_bytes)

    def run(self) -> Outcome:
        """Start both jobs, wait for them, and collect what they left behind.

        Raises:
            DemoError: a job did not complete.
        """
        self._database.prepare(self._corpus)
        began = time.monotonic()
        batch_id, large_id = self._start(BATCH_JOB_ID), self._start(LARGE_JOB_ID)
        while True:
            snapshot = self._look(batch_id, large_id, began)
            self._watch(snapshot)
            if snapshot.batch.status in _ENDED and snapshot.large.status in _ENDED:
                break
            if snapshot.elapsed_s > PATIENCE_S:
                raise DemoError(f"still {snapshot.batch.status} and {snapshot.large.status} after {PATIENCE_S:.0f} s")
            time.sleep(POLL_S)
        for job in (snapshot.batch, snapshot.large):
            if job.status != "completed":
                raise DemoError(f"job {job.id} is {job.status}: {job.error}")
        jobs = [snapshot.batch, snapshot.large]
        jobs += self._children(batch_id, BATCH_JOB_ID) + self._children(large_id, LARGE_JOB_ID)
        return Outcome(self._database.facts(), snapshot.elapsed_s, jobs)

    def close(self) -> None:
        """Close the HTTP client."""
        self._client.close()

    def _start(self, ingest_job_id: str) -> str:
        # The key makes the job ids, and so the event ids, the same in both runs.
        request = {
            "workflow": "trigger-ingestion-job",
            "payload": {"jobId": ingest_job_id},
            "options": {"idempotency_key": ingest_job_id},
        }
        answer = self._client.post("/v1/jobs", json=request)
        if answer.status_code != 202:
            raise DemoError(f"POST /v1/jobs: {answer.status_code} {answer.text}")
        return msgspec.json.decode(answer.content, type=Job).id

    def _look(self, batch_id: str, large_id: str, began: float) -> Snapshot:
        batch, large = self._job(batch_id), self._job(large_id)
        document_id = self._database.large_document_id()
        document = None if document_id is None else self._job(_child(large_id, document_id), missing_ok=True)
        return Snapshot(batch, large, document, time.monotonic() - began)

    def _job(self, job_id: str, *, missing_ok: bool = False) -> Job:
        """Ask for a job's status; a stack that restarts answers a little later."""
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = self._client.get(f"/v1/jobs/{job_id}")
                if answer.status_code == 200:
                    return msgspec.json.decode(answer.content, type=Job)
                if answer.status_code == 404 and missing_ok:
                    return Job(job_id, "unknown")
            except httpx.TransportError:
                answer = None
            if time.monotonic() > deadline:
                raise DemoError(f"no status of {job_id}: {answer.text if answer else 'no answer'}")
            time.sleep(POLL_S)

    def _children(self, parent_id: str, ingest_job_id: str) -> list[Job]:
        rows = self._database.run('select id from document where "ingestJobId" = $1', ingest_job_id)
        return [self._job(_child(parent_id, str(row[0]))) for row in rows]


def differences(one: dict[str, object], other: dict[str, object]) -> Sequence[str]:
    """Return the names of the facts that differ."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _child(parent_id: str, document_id: str) -> str:
    return child_job_id(parent_id, 0, "documents", document_id)
