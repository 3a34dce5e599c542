"""Ingest jobs of thousands of documents: memory and database work are bounded (W-16)."""

from __future__ import annotations

import tracemalloc

from orchestrator.ports import Database
from steps.platform import documents, ingest_jobs
from steps.platform.ids import document_id
from tests.ingestion.harness import JOB, Scenario, Stage, seed
from tests.platform.faults import CrashingDatabase

COUNT = 3_000
BATCH = 480


def test_thousands_of_items_never_pass_through_memory(stage: Stage) -> None:
    text = "A text of some length, so that all of them together are large. " * 64
    items = [{"type": "TEXT", "text": f"{index} {text}"} for index in range(COUNT)]

    async def body(admin: Database) -> None:
        await seed(admin, Scenario(payload={"type": "BATCH", "items": items}))
        database = CrashingDatabase(admin, 0, 0)
        async with database.transaction() as connection:
            assert (await ingest_jobs.begin(connection, "run", JOB)).items == COUNT
        tracemalloc.start()
        for first in range(0, COUNT, BATCH):
            async with database.transaction() as connection:
                count = min(BATCH, COUNT - first)
                created = await ingest_jobs.create_documents(connection, "run_1", JOB, first, count)
                assert created.documents == first + count
        async with database.transaction() as connection:
            assert (await ingest_jobs.start_processing(connection, "run_1", JOB)).documents == COUNT
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak_bytes < 2_000_000 < COUNT * len(text) / 5
        assert database.operations < 60

        await admin.execute("update document set status = 'COMPLETED' where id < $1", document_id(JOB, 1_000))
        found: list[str] = []
        while ids := await documents.queued_after(admin, JOB, found[-1] if found else None, 30):
            found += ids
        assert found == [document_id(JOB, index) for index in range(1_000, COUNT)]

    stage.with_database(body)
