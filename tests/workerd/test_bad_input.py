"""Bad documents end to end: each fails with its own clear error, its siblings do not, and nothing goes on for ever."""

from __future__ import annotations

from tests.parsing.pdfs import make_pdf
from tests.workerd.corpus import Document, managed, text
from tests.workerd.run import Error, Ingestion, assert_quiet

GOOD = text("A good document.\n\nIts second paragraph.")
PDF = make_pdf(["The only page of this document."])
#: Name, document, the code of its job's error, and its message.
BAD: tuple[tuple[Document, str, str], ...] = (
    (
        Document({"type": "MANAGED_FILE", "key": "namespaces/nsone/nowhere.txt"}),
        "object_not_found",
        "Object not found: namespaces/nsone/nowhere.txt",
    ),
    (managed("zero.txt", b""), "empty_document", "The document is empty: it has 0 bytes."),
    (managed("blank.txt", b" \n\t\n  "), "empty_document", "The document is empty: it contains no text."),
    (
        managed("binary.txt", bytes(range(256)) * 40),
        "not_text",
        "The document is not text: it contains a NUL byte at offset 0.",
    ),
    (
        managed("latin.txt", b"caf\xe9 ol\xe9"),
        "invalid_encoding",
        "The document is not valid UTF-8: unexpected byte 0xe9 at offset 3.",
    ),
    (managed("cut.pdf", PDF[:-60]), "truncated_pdf", ""),
    (
        managed("locked.pdf", make_pdf(["One page."], user_password="secret")),
        "encrypted_pdf",
        "The PDF is encrypted and needs a password.",
    ),
    (
        managed("line.txt", b"word " * 8_000_000),
        "line_too_long",
        "The document has a line longer than 8,388,608 characters at byte 8388608.",
    ),
)
INGEST_JOB = "cjobbad000000000000000001"


def test_bad_documents_fail_alone(ingestion: Ingestion) -> None:
    ingestion.add(INGEST_JOB, [GOOD, *(document for document, _, _ in BAD), GOOD])
    job_id = ingestion.start(INGEST_JOB)
    ingestion.finish(INGEST_JOB)
    first, *failed, last = ingestion.children(job_id, INGEST_JOB)
    rows = ingestion.tables.rows(
        """select id, status, error, "failedAt" is not null, "completedAt" is not null,
        (select count(*) from wf.vector where document_id = document.id)
        from document where "ingestJobId" = $1 order by id""",
        INGEST_JOB,
    )
    for row, job in ((rows[0], first), (rows[-1], last)):
        assert (job.status, row[1:]) == ("completed", ["COMPLETED", None, False, True, 1])
    for row, job, (_, code, message) in zip(rows[1:-1], failed, BAD, strict=True):
        assert job.error is not None
        assert (job.status, job.error) == ("failed", Error(code, message or job.error.message))
        assert row[1:] == ["FAILED", job.error.message, True, False, 0]
        assert job.error.message
    assert_the_ingest_job_failed(ingestion, job_id)
    assert_nothing_goes_on(ingestion, [job_id, first.id, last.id, *(job.id for job in failed)])


def assert_the_ingest_job_failed(ingestion: Ingestion, job_id: str) -> None:
    """It failed for the platform; the orchestrator's job of it did all it had to."""
    row = ingestion.tables.rows(
        'select status, error, "failedAt" is not null, "completedAt" from ingest_job where id = $1', INGEST_JOB
    )
    assert row == [["FAILED", "Failed to process documents", True, None]]
    job = ingestion.ended(job_id)
    assert (job.status, job.metadata["failed_documents"]) == ("completed", len(BAD))
    assert (job.metadata["wave"], job.metadata["waves"], job.metadata["chunks"]) == (1, 1, 2)


def test_an_unknown_ingest_job_fails(ingestion: Ingestion) -> None:
    job = ingestion.ended(ingestion.start("cjobnothere00000000000001"))
    assert (job.status, job.error) == ("failed", Error("ingest_job_not_found", "Ingestion job not found"))
    assert_nothing_goes_on(ingestion, [job.id])


def assert_nothing_goes_on(ingestion: Ingestion, job_ids: list[str]) -> None:
    """No object has an alarm, and the sweeper finds nothing to wake: no job does anything any more."""
    assert_quiet(ingestion.stack)
    before = [ingestion.job(job_id) for job_id in job_ids]
    ingestion.stack.run_scheduled()
    assert_quiet(ingestion.stack)
    assert [ingestion.job(job_id) for job_id in job_ids] == before
