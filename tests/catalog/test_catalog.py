"""The catalog's tables: what is known never goes back, and lists are complete."""

from __future__ import annotations

import base64
import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable.catalog import SWEEP_MAX_MS, SWEEP_MS, TOMBSTONE_MS, Catalog
from durable.catalog_model import CountsQuery, DeadLetterQuery, JobQuery, OverdueQuery
from durable.dead_letters import MESSAGES_KEPT_MS
from orchestrator.errors import InvalidRequestError, OrchestratorError
from orchestrator.lifecycle import JobStatus
from orchestrator.model import DeadLetter, DeletedJob, JobSummary
from orchestrator.testing import MemorySql

GRACE_MS = 60_000


def summary(number: int = 1, **changes: object) -> JobSummary:
    base = JobSummary(
        id=f"run_{number}",
        workflow="keep",
        status=JobStatus.QUEUED,
        tags=("a",),
        parent_id=None,
        created_at_ms=1_000 + number,
        updated_at_ms=1_000 + number,
        finished_at_ms=None,
        due_at_ms=2_000,
        revision=1,
        error=None,
    )
    return msgspec.structs.replace(base, **changes)


def counted(now_ms: int) -> CountsQuery:
    return CountsQuery(now_ms=now_ms, grace_ms=GRACE_MS, window_ms=0)


def listed(catalog: Catalog, **query: object) -> list[str]:
    return [job.id for job in catalog.list_jobs(msgspec.convert(query, JobQuery)).jobs]


@pytest.fixture
def catalog() -> Catalog:
    return Catalog(MemorySql())


def test_what_was_published_is_listed_unchanged(catalog: Catalog) -> None:
    job = summary(tags=("b", "a"), parent_id="run_0", error="code: text", finished_at_ms=5, status=JobStatus.FAILED)
    catalog.publish(job)
    assert catalog.list_jobs(JobQuery()).jobs == [job]


def test_an_older_or_equal_revision_changes_nothing(catalog: Catalog) -> None:
    done = summary(status=JobStatus.COMPLETED, revision=5)
    catalog.publish(done)
    catalog.publish(summary(status=JobStatus.RUNNING, revision=4))
    catalog.publish(summary(status=JobStatus.FAILED, revision=5))
    assert catalog.list_jobs(JobQuery()).jobs == [done]
    assert catalog.letters.list(DeadLetterQuery()).dead_letters == []


revisions = st.lists(
    st.tuples(st.integers(1, 5), st.integers(1, 6), st.sampled_from(list(JobStatus))), min_size=1, max_size=40
)


@given(revisions)
@settings(max_examples=60)
def test_any_order_and_repetition_gives_the_same_catalog(published: list[tuple[int, int, JobStatus]]) -> None:
    catalog = Catalog(MemorySql())
    latest: dict[int, tuple[int, JobStatus]] = {}
    for number, revision, status in published:
        due_at_ms = None if status is JobStatus.PAUSED else 2_000
        catalog.publish(summary(number, revision=revision, status=status, due_at_ms=due_at_ms))
        if revision > latest.get(number, (0, status))[0]:
            latest[number] = (revision, status)
    known = {job.id: (job.revision, job.status) for job in catalog.list_jobs(JobQuery()).jobs}
    assert known == {f"run_{number}": value for number, value in latest.items()}
    counts = catalog.counts(counted(0))
    statuses = [status for _, status in latest.values()]
    assert {item.status: item.count for item in counts.jobs} == {status: statuses.count(status) for status in statuses}
    assert counts.dead_letters == statuses.count(JobStatus.FAILED)
    late = catalog.overdue(OverdueQuery(now_ms=10**9, grace_ms=0, limit=100))
    assert len(late) == sum(status is not JobStatus.PAUSED for status in statuses)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "b"])), max_size=30), st.integers(1, 7))
@settings(max_examples=60)
def test_pages_show_every_job_once_newest_first(jobs: list[tuple[int, str]], limit: int) -> None:
    catalog = Catalog(MemorySql())
    for number, (created_at_ms, tag) in enumerate(jobs):
        catalog.publish(summary(number, created_at_ms=created_at_ms, tags=(tag,)))
    for tag in (None, "a"):
        seen: list[JobSummary] = []
        cursor: str | None = None
        while True:
            page = catalog.list_jobs(JobQuery(tag=tag, cursor=cursor, limit=limit))
            seen += page.jobs
            cursor = page.next_cursor
            if cursor is None:
                break
            assert len(page.jobs) == limit
        keys = [(job.created_at_ms, job.id) for job in seen]
        assert keys == sorted(set(keys), reverse=True)
        assert len(keys) == sum(tag in {None, own} for _, own in jobs)


@pytest.mark.parametrize("cursor", ["", "x", "====", "bm9uc2Vuc2U", "MTpi\n", "ü"])
def test_a_foreign_cursor_is_refused(catalog: Catalog, cursor: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        catalog.list_jobs(JobQuery(cursor=cursor))
    assert caught.value.error_code == "invalid_cursor"


def test_a_cursor_beyond_every_time_is_harmless(catalog: Catalog) -> None:
    catalog.publish(summary())
    cursor = base64.urlsafe_b64encode(b"99999999999999999999999:x").decode()
    assert listed(catalog, cursor=cursor) == ["run_1"]


def test_late_jobs_are_named_and_then_left_alone_for_a_while(catalog: Catalog) -> None:
    catalog.publish(summary(1, due_at_ms=1_000))
    catalog.publish(summary(2, due_at_ms=2_000))
    catalog.publish(summary(3, due_at_ms=500_000))
    catalog.publish(summary(4, due_at_ms=None))
    now_ms = 1_000 + GRACE_MS

    def late(at_ms: int, limit: int = 10) -> list[str]:
        return catalog.overdue(OverdueQuery(now_ms=at_ms, grace_ms=GRACE_MS, limit=limit))

    assert late(now_ms - 1) == []
    assert late(now_ms) == ["run_1"]
    assert late(now_ms + 1_000) == ["run_2"]
    assert late(now_ms + SWEEP_MS - 1) == []
    assert late(now_ms + SWEEP_MS) == ["run_1"]
    assert late(now_ms + SWEEP_MS + 1_000, limit=1) == ["run_2"]
    assert catalog.counts(counted(10**7)).overdue == 3


def test_the_waits_between_two_looks_grow_and_have_a_bound(catalog: Catalog) -> None:
    catalog.publish(summary(due_at_ms=0))
    looks = [
        at_ms
        for at_ms in range(GRACE_MS, GRACE_MS + 20 * SWEEP_MAX_MS, SWEEP_MS)
        if catalog.overdue(OverdueQuery(now_ms=at_ms, grace_ms=GRACE_MS, limit=1))
    ]
    waits = [later - earlier for earlier, later in itertools.pairwise(looks)]
    assert waits[:4] == [SWEEP_MS, 2 * SWEEP_MS, 4 * SWEEP_MS, 8 * SWEEP_MS]
    assert set(waits[4:]) == {SWEEP_MAX_MS}
    catalog.publish(summary(due_at_ms=looks[-1], revision=2))
    assert catalog.overdue(OverdueQuery(now_ms=looks[-1] + GRACE_MS, grace_ms=GRACE_MS, limit=1)) == ["run_1"]


def test_a_retried_job_is_no_dead_letter_any_more(catalog: Catalog) -> None:
    catalog.publish(summary(status=JobStatus.FAILED, error="code: text", finished_at_ms=7))
    (letter,) = catalog.letters.list(DeadLetterQuery()).dead_letters
    assert (letter.job_id, letter.cause, letter.at_ms) == ("run_1", "code: text", 7)
    catalog.publish(summary(status=JobStatus.RUNNING, revision=2))
    assert catalog.letters.list(DeadLetterQuery()).dead_letters == []


def test_dead_letters_in_pages(catalog: Catalog) -> None:
    for number in range(5):
        letter = DeadLetter(
            id=f"m{number}",
            kind="message",
            job_id=None,
            workflow=None,
            cause="cause",
            at_ms=number,
            detail={"n": number},
        )
        catalog.letters.add(letter)
        catalog.letters.add(msgspec.structs.replace(letter, cause="repeated"))
    first = catalog.letters.list(DeadLetterQuery(limit=3))
    rest = catalog.letters.list(DeadLetterQuery(limit=3, cursor=first.next_cursor))
    letters = [*first.dead_letters, *rest.dead_letters]
    assert [letter.id for letter in letters] == ["m4", "m3", "m2", "m1", "m0"]
    assert {letter.cause for letter in letters} == {"cause"}
    assert letters[0].detail == {"n": 4}
    assert rest.next_cursor is None


def test_a_newer_schema_is_not_touched() -> None:
    sql = MemorySql()
    Catalog(sql).migrate()
    sql.execute("update schema_version set version = 99")
    with pytest.raises(OrchestratorError) as caught:
        Catalog(sql).publish(summary())
    assert caught.value.error_code == "schema"


def test_rows_written_per_change_stay_few() -> None:
    sql = MemorySql()
    catalog = Catalog(sql)
    catalog.publish(summary(tags=()))
    before = sql.rows_written
    catalog.publish(summary(tags=(), revision=2, status=JobStatus.RUNNING))
    assert sql.rows_written - before <= 5  # the row, two indexes over what has changed, and two counts


def test_a_deleted_job_does_not_come_back_by_a_late_message(catalog: Catalog) -> None:
    job = summary(status=JobStatus.FAILED, error="code: text", finished_at_ms=7)
    catalog.publish(job)
    catalog.forget(DeletedJob(id=job.id, created_at_ms=job.created_at_ms, deleted_at_ms=10))
    catalog.forget(DeletedJob(id=job.id, created_at_ms=job.created_at_ms, deleted_at_ms=11))
    catalog.publish(msgspec.structs.replace(job, revision=99))
    assert listed(catalog) == listed(catalog, tag="a") == []
    assert catalog.letters.list(DeadLetterQuery()).dead_letters == []
    assert catalog.counts(counted(0)).jobs == []
    again = summary(created_at_ms=job.created_at_ms + 1)
    catalog.publish(again)
    catalog.forget(DeletedJob(id=job.id, created_at_ms=job.created_at_ms, deleted_at_ms=12))
    assert catalog.list_jobs(JobQuery(tag="a")).jobs == [again]


def test_what_is_remembered_of_deleted_jobs_has_a_bound() -> None:
    sql = MemorySql()
    catalog = Catalog(sql)
    for day in range(5):
        catalog.forget(DeletedJob(id=f"run_{day}", created_at_ms=1, deleted_at_ms=day * TOMBSTONE_MS))
    assert [row[0] for row in sql.execute("select id from deleted")] == ["run_3", "run_4"]


def test_letters_of_messages_are_kept_for_a_while(catalog: Catalog) -> None:
    for number, at_ms in enumerate((0, MESSAGES_KEPT_MS + 1)):
        catalog.letters.add(
            DeadLetter(id=f"m{number}", kind="message", job_id=None, workflow=None, cause="x", at_ms=at_ms)
        )
    assert [letter.id for letter in catalog.letters.list(DeadLetterQuery()).dead_letters] == ["m1"]
