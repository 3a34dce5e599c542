"""Many ingestions of real documents at once on the real runtime: through the queue, into Postgres; no message is lost.

``make ingestions`` plays 150 of them with a kill; the test beside it plays few.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from local.demo.corpus import collect
from local.process import LocalStack, wait_until
from orchestrator.client import Client
from orchestrator.client.answers import TERMINAL
from tests.workerd.corpus import SOURCE_BYTES, Document, managed, text
from tests.workerd.play import QUIET_WITHIN_S, Show, main
from tests.workerd.run import Ingestion, assert_quiet

WAIT_S = 900.0
SOON_S = 30.0
#: Requests under way at a time.
CALLERS = 8
#: One text in the payload and one file in the bucket.
DOCUMENTS = 2
#: What is announced of each document, and of each ingest job.
DOCUMENT_EVENTS = ("document.queued", "document.processing", "document.ready")
INGEST_JOB_EVENTS = ("ingest_job.processing", "ingest_job.ready")


class Size(msgspec.Struct, frozen=True):
    """How many ingest jobs at once, and how often workerd is killed meanwhile."""

    ingest_jobs: int
    kills: int = 0
    seed: int = 1


class Played(msgspec.Struct, frozen=True):
    """What a play did."""

    size: Size
    documents: int
    chunks: int
    kills: int
    crashes: int
    most_at_once: int
    accept_s: float
    elapsed_s: float


def play(size: Size, folder: Path, show: Show = lambda _ended, _kills: None) -> Played:
    """Start everything, wait for its end, and assert that every document is there, once, and counted."""
    names = [f"cjobmany{number:016d}" for number in range(size.ingest_jobs)]
    with LocalStack(folder / "state") as stack, Ingestion(stack) as ingestion:
        ingestion.tables.prepare()
        sources = [item for item in collect().batch if item.size_bytes in SOURCE_BYTES]
        for number, name in enumerate(names):
            ingestion.add(name, _documents(number, [item.path for item in sources]))
        began = time.monotonic()
        with ThreadPoolExecutor(CALLERS) as pool:
            started = list(pool.map(ingestion.start, names))
        accept_s = time.monotonic() - began
        kills, most_at_once = _wait(size, ingestion, names, show)
        elapsed_s = time.monotonic() - began
        jobs = [ingestion.ended(job_id) for job_id in started]
        assert Counter(job.status for job in jobs) == {"completed": len(names)}
        _assert_all_ended(ingestion)
        if elapsed_s < QUIET_WITHIN_S:
            assert_quiet(stack)
        chunks = _assert_stored(ingestion, names)
        _assert_counted(ingestion, names)
        _assert_announced_once(ingestion, names)
        crashes = sum(job.crashes for job in jobs)
        return Played(size, len(names) * DOCUMENTS, chunks, kills, crashes, most_at_once, accept_s, elapsed_s)


def _documents(number: int, paths: Sequence[Path]) -> list[Document]:
    first, second = (paths[(number * DOCUMENTS + offset) % len(paths)] for offset in range(DOCUMENTS))
    return [text(first.read_text()), managed(f"{number}-{second.stem}.txt", second.read_bytes())]


def _wait(size: Size, ingestion: Ingestion, names: Sequence[str], show: Show) -> tuple[int, int]:
    """Wait until all have ended, and kill workerd whenever so many have; return how often, and most under way."""
    rng = random.Random(size.seed)
    marks = sorted((rng.randrange(len(names)) for _ in range(size.kills)), reverse=True)
    kills = most_at_once = 0

    def all_ended() -> bool:
        nonlocal kills, most_at_once
        statuses = Counter(str(row[0]) for row in ingestion.tables.rows("select status::text from ingest_job"))
        ended = statuses["COMPLETED"] + statuses["FAILED"]
        most_at_once = max(most_at_once, statuses["PRE_PROCESSING"] + statuses["PROCESSING"])
        while marks and marks[-1] <= ended and ended < len(names):
            marks.pop()
            with ingestion.stack.expect_restart():
                ingestion.stack.kill_workerd()
            kills += 1
        show(ended, kills)
        return ended == len(names)

    wait_until(all_ended, timeout_s=WAIT_S, every_s=0.1)
    return kills, most_at_once


def _assert_all_ended(ingestion: Ingestion) -> None:
    """Assert that the catalog lists each job once and completed, and no dead letter."""

    with Client(ingestion.stack.url, ingestion.stack.api_key) as client:
        wait_until(lambda: all(job.status in TERMINAL for job in client.search_jobs()), timeout_s=SOON_S, every_s=0.5)
        assert [job for job in client.search_jobs() if job.status != "completed"] == []
        assert list(client.dead_letters()) == []


def _assert_stored(ingestion: Ingestion, names: Sequence[str]) -> int:
    """Assert that every document is completed with as many vectors as it has chunks; return their number."""
    rows = ingestion.tables.rows(
        """select d.status::text, d."totalChunks", (select count(*) from wf.vector v where v.document_id = d.id)
        from document d"""
    )
    assert len(rows) == len(names) * DOCUMENTS
    wrong = [row for row in rows if row[0] != "COMPLETED" or row[1] != row[2] or not row[1]]
    assert wrong == []
    return ingestion.tables.count("select count(*) from wf.vector")


def _assert_counted(ingestion: Ingestion, names: Sequence[str]) -> None:
    for counters in (
        ingestion.tables.rows('select "totalDocuments", "totalPages" from namespace'),
        ingestion.tables.rows('select "totalDocuments", "totalPages" from organization'),
    ):
        ((documents, pages),) = counters
        ((expected,),) = ingestion.tables.rows('select sum("totalPages") from document')
        assert isinstance(pages, float)
        assert isinstance(expected, float)
        assert documents == len(names) * DOCUMENTS
        assert abs(pages - expected) < 1e-6, (pages, expected)


def _assert_announced_once(ingestion: Ingestion, names: Sequence[str]) -> None:
    announced = Counter((event, subject) for _, event, subject in ingestion.tables.announced())
    documents = [str(row[0]) for row in ingestion.tables.rows("select id from document")]
    expected = Counter((event, document_id) for event in DOCUMENT_EVENTS for document_id in documents)
    expected += Counter((event, name) for event in INGEST_JOB_EVENTS for name in names)
    assert announced == expected, (announced - expected, expected - announced)


def _total(size: Size) -> int:
    return size.ingest_jobs


def _place(total: int, ended: int, kills: int) -> tuple[int, str]:
    return ended, f"{ended} of {total} ended, {kills} kills"


def _tell(played: Played) -> tuple[str, str]:
    done = (
        f"{played.size.ingest_jobs} ingest jobs, {played.most_at_once} at once, {played.documents} documents, "
        f"{played.chunks} chunks in {played.elapsed_s:.0f} s; {played.kills} kills"
    )
    return done, "Every message arrived: all is stored, counted and announced once."


if __name__ == "__main__":
    numbers = {"ingest-jobs": 150, "kills": 1, "seed": 1}
    raise SystemExit(main("ingestions", __doc__, numbers, Size, play, _total, _place, _tell))
