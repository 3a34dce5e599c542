"""Drives ingestion on a local stack over HTTP, and compares what two runs leave behind."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from types import TracebackType
from typing import Self, TypeVar

import httpx
import msgspec

from local.process import LocalStack, wait_until
from orchestrator.ids import child_job_id
from tests.ingestion.harness import Picture
from tests.workerd.corpus import Document
from tests.workerd.tables import Tables

T = TypeVar("T")

WAIT_S = 120.0
#: What an ended job still has to tell the catalog takes no longer.
QUIET_S = 30.0
#: Whoever has something to do in these tests has it sooner.
SOON_S = 300
QUEUE = "agentset-ingest-queue"
#: The ingest job that is disturbed, and small ones that go through the queue beside it.
MAIN = "cjob0000000000000000000001"
COMPANIONS = ("cjob0000000000000000000002", "cjob0000000000000000000003", "cjob0000000000000000000004")
ENDED = frozenset({"completed", "failed", "cancelled", "expired"})


class Error(msgspec.Struct, frozen=True):
    code: str
    message: str


class Job(msgspec.Struct, frozen=True):
    """A job as the API shows it."""

    id: str
    workflow: str
    status: str
    result: object
    error: Error | None
    metadata: dict[str, object]
    slices: int
    crashes: int
    rows_written: int
    revision: int


class Step(msgspec.Struct, frozen=True):
    key: str
    status: str
    counters: dict[str, int] | None


class Remains(msgspec.Struct, frozen=True):
    """Everything a run leaves behind that must not depend on what happened to it."""

    picture: Picture
    effects: list[str]
    jobs: list[tuple[str, str, object, Error | None]]
    steps: list[tuple[str, str, str]]

    def parts(self) -> dict[str, list[str]]:
        """Return each part as lines to be compared in any order."""
        rows: dict[str, Sequence[object]] = {
            "ingest job": self.picture.jobs,
            "document": self.picture.documents,
            "counters": [self.picture.namespace, self.picture.organization],
            "vector": self.picture.vectors,
            "event": self.picture.events,
            "effect": self.effects,
            "job": self.jobs,
            "step": self.steps,
        }
        return {name: [repr(row) for row in found] for name, found in rows.items()}


class _Id(msgspec.Struct, frozen=True):
    id: str


class _Steps(msgspec.Struct, frozen=True):
    steps: list[Step]


class Ingestion:
    """Ingest jobs on a running stack.

    Args:
        stack: the stack.
    """

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.tables = Tables(stack.database_url)
        # A kept connection would not survive a restart.
        limits = httpx.Limits(max_keepalive_connections=0)
        headers = {"authorization": f"Bearer {stack.api_key}"}
        self._client = httpx.Client(base_url=stack.url, headers=headers, timeout=30.0, limits=limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        self.tables.close()

    def add(self, ingest_job_id: str, documents: Sequence[Document]) -> None:
        """Store an ingest job's objects and its row."""
        for document in documents:
            if document.key is not None:
                self.stack.put_blob(document.key, document.content)
        self.tables.add_ingest_job(ingest_job_id, {"type": "BATCH", "items": [item.item for item in documents]})

    def start(self, ingest_job_id: str, *, mode: str = "queue") -> str:
        """Start an ingest job; return the job's id, which is the same on every stack."""
        body = {
            "workflow": "trigger-ingestion-job",
            "payload": {"jobId": ingest_job_id},
            "options": {"idempotency_key": ingest_job_id, "mode": mode},
        }
        return self.call("POST", "/v1/jobs", _Id, body).id

    def job(self, job_id: str) -> Job:
        """Return a job's status."""
        return self.call("GET", f"/v1/jobs/{job_id}", Job)

    def steps(self, job_id: str) -> dict[str, Step]:
        """Return a job's steps by key."""
        return {step.key: step for step in self.call("GET", f"/v1/jobs/{job_id}/steps", _Steps).steps}

    def call(self, method: str, path: str, into: type[T], body: object = None) -> T:
        """Send a request that must succeed."""
        answer = self._client.request(method, path, json=body)
        assert answer.is_success, answer.text
        return msgspec.json.decode(answer.content, type=into)

    def finish(self, *ingest_job_ids: str) -> None:
        """Wait until ingest jobs have ended, and ask nobody but the database: jobs resume by themselves."""
        wait_until(lambda: self.tables.all_ended(ingest_job_ids), timeout_s=WAIT_S, every_s=0.05)

    def ended(self, job_id: str) -> Job:
        """Wait until a job has ended."""
        wait_until(lambda: self.job(job_id).status in ENDED, timeout_s=WAIT_S, every_s=0.05)
        return self.job(job_id)

    def children(self, job_id: str, ingest_job_id: str) -> list[Job]:
        """Return the jobs of an ingest job's documents, in their order."""
        documents = self.tables.documents(ingest_job_id)
        return [self.job(document_job(job_id, document_id)) for document_id in documents]

    def family(self, ingest_job_id: str) -> list[Job]:
        """Wait for an ingest job, started before, and return its job and those of its documents."""
        job = self.ended(self.start(ingest_job_id))
        return [job, *self.children(job.id, ingest_job_id)]

    def remains(self, *ingest_job_ids: str) -> Remains:
        """Return what ended ingest jobs left behind."""
        jobs = [job for ingest_job_id in ingest_job_ids for job in self.family(ingest_job_id)]
        return Remains(
            picture=self.tables.picture(),
            effects=self.tables.effects(),
            jobs=[(job.workflow, job.status, job.result, job.error) for job in jobs],
            steps=[(job.id, step.key, step.status) for job in jobs for step in self.steps(job.id).values()],
        )


def document_job(job_id: str, document_id: str) -> str:
    """Return the id of the job that processes a document of the ingest job that ``job_id`` runs."""
    return child_job_id(job_id, 0, "documents", document_id)


def differences(found: Remains, expected: Remains) -> list[str]:
    """Return the first lines in which two runs differ."""
    lines: list[str] = []
    theirs = expected.parts()
    for name, ours in found.parts().items():
        extra, missing = Counter(ours) - Counter(theirs[name]), Counter(theirs[name]) - Counter(ours)
        lines += [f"{name} too many: {row[:400]}" for row in sorted(extra)[:3]]
        lines += [f"{name} missing: {row[:400]}" for row in sorted(missing)[:3]]
    return lines


def armed_alarms(stack: LocalStack) -> int:
    """Return how many jobs have something to do: alarms in workerd's own book of them, read beside it.

    Those of ended jobs, which are forgotten after their retention of ten minutes or more, do not count.
    """
    (book,) = stack.directory.glob("worker/do/*-JobObject/metadata.sqlite")
    soon_ns = time.time_ns() + SOON_S * 1_000_000_000
    with closing(sqlite3.connect(f"file:{book}?mode=ro", uri=True)) as connection:
        query = "select count(*) from _cf_ALARM where scheduled_time < ?"
        return int(connection.execute(query, [soon_ns]).fetchone()[0])


def assert_quiet(stack: LocalStack) -> None:
    """Assert that no job will do anything by itself any more."""
    wait_until(lambda: armed_alarms(stack) == 0, timeout_s=QUIET_S)
