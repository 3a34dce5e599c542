"""What a queue may do to messages changes nothing: copies, any order, strangers, nonsense."""

from __future__ import annotations

import msgspec

from durable.queues import DEAD_LETTER_QUEUE
from tests.workerd.corpus import text
from tests.workerd.run import QUEUE, Ingestion, assert_quiet, differences

DOCUMENTS = 5
NOBODY = "run_00000000000000000000000000"
NONSENSE: tuple[object, ...] = ("nonsense", None, 7, [], {}, {"id": 3}, {"id": "run_"}, {"other": NOBODY})


class _Letter(msgspec.Struct, frozen=True):
    kind: str
    job_id: str | None
    cause: str


class _Letters(msgspec.Struct, frozen=True):
    dead_letters: list[_Letter]


def test_duplicates_reordered_and_foreign_messages_change_nothing(ingestion: Ingestion) -> None:
    names = add(ingestion, "during")
    counted = counters(ingestion)
    job_ids = [ingestion.start(name) for name in names]
    messages = [{"id": job_id} for job_id in job_ids]
    for _ in range(3):
        ingestion.stack.deliver(QUEUE, *reversed(messages), *NONSENSE, *messages, {"id": NOBODY}, *messages)
    ingestion.finish(*names)
    assert counters(ingestion) == [counted[0] + DOCUMENTS * len(names)] * 2
    repeated = ingestion.tables.rows("select event, subject from announced group by 1, 2 having count(*) > 1")
    assert repeated == []
    for name in names:
        parent, *children = ingestion.family(name)
        assert parent.result == {"ingestionJobId": name, "documentsCreated": DOCUMENTS}
        assert [(job.status, job.crashes, job.slices) for job in children] == [("completed", 0, 1)] * DOCUMENTS


def test_messages_for_jobs_that_have_ended_change_nothing(ingestion: Ingestion) -> None:
    names = add(ingestion, "after")
    for name in names:
        ingestion.start(name)
    jobs = [job for name in names for job in ingestion.family(name)]
    assert_quiet(ingestion.stack)
    before = ingestion.remains(*names)
    messages = [{"id": job.id} for job in jobs]
    for queue in (QUEUE, "orchestrator-default-queue", DEAD_LETTER_QUEUE):
        ingestion.stack.deliver(queue, *messages, *reversed(messages))
    assert_quiet(ingestion.stack)
    assert [ingestion.job(job.id) for job in jobs] == jobs
    assert differences(ingestion.remains(*names), before) == []


def test_what_is_no_job_is_kept_as_a_dead_letter(ingestion: Ingestion) -> None:
    for queue in (QUEUE, DEAD_LETTER_QUEUE):
        before = len(letters(ingestion))
        ingestion.stack.deliver(queue, *NONSENSE, {"id": NOBODY})
        new = letters(ingestion)[: len(letters(ingestion)) - before]
        causes = sorted(letter.cause.partition(":")[0] for letter in new)
        assert causes == ["malformed_message"] * len(NONSENSE) + ["unknown_job"]
        assert [letter.job_id for letter in new if letter.job_id is not None] == [NOBODY]


def add(ingestion: Ingestion, test: str) -> list[str]:
    """Store three small ingest jobs; return their ids."""
    names = [f"cjob{test}{number}" for number in range(3)]
    for name in names:
        ingestion.add(name, [text(f"Document {number} of {name}.") for number in range(DOCUMENTS)])
    return names


def letters(ingestion: Ingestion) -> list[_Letter]:
    """Return the dead letters, newest first."""
    return ingestion.call("GET", "/v1/dead-letters?limit=200", _Letters).dead_letters


def counters(ingestion: Ingestion) -> list[int]:
    """Return the documents that namespace and organization count."""
    query = """select n."totalDocuments", o."totalDocuments" from namespace n join organization o
        on o.id = n."organizationId" """
    return msgspec.convert(ingestion.tables.rows(query)[0], list[int])
