"""The ingestion that is played several times, each on a stack of its own and each disturbed in another way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from local.bundle import ROOT
from local.process import wait_until
from tests.workerd.corpus import Document, text
from tests.workerd.run import (
    COMPANIONS,
    MAIN,
    WAIT_S,
    Ingestion,
    Remains,
    assert_quiet,
    differences,
    document_job,
)

INGEST_JOBS = (MAIN, *COMPANIONS)


class Scene(msgspec.Struct, frozen=True):
    """What is ingested: a batch, and small ingest jobs beside it.

    Attributes:
        documents: the batch; the first one is large.
        expected: what the undisturbed run left behind; None in that run itself.
        large_chunks: how many chunks the large document has.
    """

    documents: Sequence[Document]
    expected: Remains | None = None
    large_chunks: int = 0

    def prepare(self, ingestion: Ingestion) -> None:
        """Store everything that is to be ingested."""
        ingestion.tables.prepare()
        ingestion.add(MAIN, self.documents)
        for number, ingest_job_id in enumerate(COMPANIONS):
            ingestion.add(ingest_job_id, [text(f"Companion {number} of the batch.\n\nIts second paragraph.")])

    def start(self, ingestion: Ingestion) -> str:
        """Store and start everything; return the batch's job."""
        self.prepare(ingestion)
        job_id = ingestion.start(MAIN)
        for ingest_job_id in COMPANIONS:
            ingestion.start(ingest_job_id)
        return job_id

    def reach(self, ingestion: Ingestion, share: float) -> None:
        """Wait until so much of the large document is stored, and assert that the batch has not ended by then."""
        self._wait(ingestion, lambda: large_chunks(ingestion) >= share * self.large_chunks)

    def reach_documents(self, ingestion: Ingestion) -> None:
        """Wait until the batch's documents have their rows."""
        self._wait(ingestion, lambda: bool(ingestion.tables.documents(MAIN)))

    def finish(self, ingestion: Ingestion) -> Remains:
        """Wait for the end of everything, and assert that it left what the undisturbed run did, and nothing armed."""
        ingestion.finish(*INGEST_JOBS)
        remains = ingestion.remains(*INGEST_JOBS)
        if self.expected is not None:
            found = differences(remains, self.expected)
            assert not found, "\n".join(found)
        assert_quiet(ingestion.stack)
        return remains

    def _wait(self, ingestion: Ingestion, condition: Callable[[], bool]) -> None:
        wait_until(lambda: condition() or ingestion.tables.all_ended([MAIN]), timeout_s=WAIT_S)
        assert not ingestion.tables.all_ended([MAIN]), "the batch ended before it was to be disturbed"


def large_chunks(ingestion: Ingestion) -> int:
    """Return how many chunks of the large document are stored."""
    documents = ingestion.tables.documents(MAIN)
    return ingestion.tables.chunks(documents[0]) if documents else 0


def large_job(ingestion: Ingestion, job_id: str) -> str:
    """Return the job of the large document."""
    return document_job(job_id, ingestion.tables.documents(MAIN)[0])


def changed_configuration(folder: Path, old: str, new: str) -> tuple[str, str]:
    """Write the deployable configuration with one change; return the stack's option for it."""
    configuration = (ROOT / "wrangler.toml").read_text()
    assert configuration.count(old) == 1
    path = folder / "wrangler.toml"
    path.write_text(configuration.replace(old, new))
    return "--config", str(path)
