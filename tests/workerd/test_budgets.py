"""Memory and rows do not grow with a document's size."""

from __future__ import annotations

import msgspec
import pytest

from tests.ingestion.harness import NAMESPACE
from tests.workerd.corpus import large_text, managed
from tests.workerd.run import Ingestion, Job, document_job

MEGABYTE = 1_000_000
#: Sizes of two documents in MB, and how much more memory the larger one may take.
SMALL, LARGE = 2, 24
HEAP_RATIO = 1.5
#: Rows of a document's job: its record, steps (two of them for ``chunks.json``), history, its lane's permit, and what
#: tells the catalog and the parent.
ROWS_PER_JOB = 52
ROWS_PER_SLICE = 4
#: The loop's one checkpoint row, overwritten by each batch.
ROWS_PER_BATCH = 1


@pytest.fixture(scope="module")
def sizes() -> dict[int, bytes]:
    return {size: large_text(size * MEGABYTE) for size in (SMALL, LARGE)}


def test_memory_and_rows_are_flat(ingestion: Ingestion, sizes: dict[int, bytes]) -> None:
    with ingestion.stack.expect_restart():
        ingestion.stack.kill_workerd()  # the heap never shrinks: look at what these documents need alone
    peaks: dict[int, int] = {}
    for size, content in sizes.items():
        job = ingest(ingestion, size, content)
        peaks[size] = ingestion.stack.heap_bytes()
        chunks = ingestion.steps(job.id)["chunks"].counters
        assert chunks is not None
        assert chunks["items"] > 500 * size
        budget = ROWS_PER_JOB + ROWS_PER_SLICE * job.slices + ROWS_PER_BATCH * chunks["batches"]
        assert job.rows_written <= budget
        assert_file_is_whole(ingestion, job, chunks["items"])
    assert peaks[LARGE] <= HEAP_RATIO * peaks[SMALL]


def assert_file_is_whole(ingestion: Ingestion, job: Job, chunks: int) -> None:
    """Its pieces were streamed into ``chunks.json``, and nothing of them is left."""
    document_id = msgspec.convert(job.result, dict[str, object])["documentId"]
    data = ingestion.stack.get_blob(f"namespaces/{NAMESPACE}/documents/{document_id}/chunks.json")
    file = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    assert msgspec.json.decode(file["total_chunks"]) == chunks
    assert len(msgspec.json.decode(file["chunks"], type=list[msgspec.Raw])) == chunks
    assert [key for key in ingestion.stack.list_blobs() if key.startswith(f"jobs/{job.id}/")] == []


def ingest(ingestion: Ingestion, size: int, content: bytes) -> Job:
    """Ingest one document; return its job."""
    name = f"cjobsize000000000000000{size:02}"
    ingestion.add(name, [managed(f"{size}.txt", content)])
    job_id = ingestion.start(name)
    ingestion.finish(name)
    job = ingestion.ended(document_job(job_id, ingestion.tables.documents(name)[0]))
    assert (job.status, job.crashes) == ("completed", 0)
    return job
