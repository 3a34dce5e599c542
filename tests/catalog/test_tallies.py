"""What ended is counted once, per workflow and minute, in a bounded number of rows."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable.catalog import Catalog
from durable.catalog_model import CountsQuery
from durable.ended_jobs import MINUTE_MS, MINUTES_KEPT
from durable.tallies import BOUNDS_MS, Tally, WorkflowTally, by_workflow, error_rate, plus, tally_of, total
from orchestrator.lifecycle import TERMINAL, JobStatus
from orchestrator.model import JobSummary
from orchestrator.testing import MemorySql


def ended(number: int, finished_at_ms: int, status: JobStatus = JobStatus.COMPLETED, **changes: object) -> JobSummary:
    job = JobSummary(
        id=f"run_{number}",
        workflow="keep",
        status=status,
        tags=(),
        parent_id=None,
        created_at_ms=0,
        updated_at_ms=finished_at_ms,
        finished_at_ms=finished_at_ms,
        due_at_ms=None,
        revision=1,
        error=None,
        ready_at_ms=1_000,
        started_at_ms=1_400,
        slices=2,
        crashes=1,
        rows_written=30,
    )
    return msgspec.structs.replace(job, **changes)


def counts(catalog: Catalog, now_ms: int = 0, window_ms: int = 0) -> tuple[dict[str, Tally], dict[str, Tally]]:
    found = catalog.counts(CountsQuery(now_ms=now_ms, grace_ms=0, window_ms=window_ms))
    return (
        {item.workflow: item.tally for item in found.ended},
        {item.workflow: item.tally for item in found.ended_lately},
    )


def test_a_job_says_how_long_it_waited_and_ran_and_what_it_cost() -> None:
    tally = tally_of(ended(1, 6_000))
    assert (tally.completed, tally.failed, tally.slices, tally.crashes, tally.rows_written) == (1, 0, 2, 1, 30)
    assert (tally.wait.sum_ms, tally.run.sum_ms) == (400, 4_600)
    assert tally.wait.counts[BOUNDS_MS.index(500)] == tally.run.counts[BOUNDS_MS.index(5_000)] == 1


@pytest.mark.parametrize(
    ("run_ms", "bucket"), [(0, 0), (100, 0), (101, 1), (43_200_000, 10), (43_200_001, 11), (-5, 0)]
)
def test_a_duration_is_in_the_bucket_whose_bound_it_reaches(run_ms: int, bucket: int) -> None:
    run = tally_of(ended(1, 1_400 + run_ms)).run
    assert [index for index, count in enumerate(run.counts) if count] == [bucket]
    assert run.count == 1


def test_a_job_that_never_started_has_no_durations() -> None:
    tally = tally_of(ended(1, 6_000, JobStatus.EXPIRED, started_at_ms=None))
    assert (tally.expired, tally.wait.count, tally.run.count) == (1, 0, 0)
    with pytest.raises(ValueError, match="running"):
        tally_of(ended(1, 6_000, JobStatus.RUNNING))


def some(count: int, ms: int, failed: int) -> Tally:
    return total([*[tally_of(ended(1, 2_000 + ms))] * count, Tally(failed=failed)])


tallies = st.builds(some, st.integers(0, 3), st.integers(0, 10**8), st.integers(0, 5))


@given(tallies, tallies, tallies)
def test_adding_knows_no_order(one: Tally, two: Tally, three: Tally) -> None:
    assert plus(one, plus(two, three)) == plus(plus(three, one), two)
    assert plus(one, Tally()) == one
    named = [WorkflowTally("b", one), WorkflowTally("a", two), WorkflowTally("b", three)]
    assert by_workflow(named) == [WorkflowTally("a", two), WorkflowTally("b", plus(one, three))]


def test_the_rate_of_errors_looks_at_what_was_to_succeed() -> None:
    assert error_rate(Tally(cancelled=5, expired=1)) is None
    assert error_rate(Tally(completed=3, failed=1, cancelled=100)) == 0.25


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9), st.sampled_from(sorted(TERMINAL))), max_size=25))
@settings(max_examples=50)
def test_each_end_counts_once_however_often_it_is_told(told: list[tuple[int, int, JobStatus]]) -> None:
    """A job that is retried ends again; the same end, repeated by a message or a recovery, does not count again."""
    catalog = Catalog(MemorySql())
    last: dict[int, int] = {}
    ends = 0
    for number, revision, status in told:
        new = catalog.publish(ended(number, revision * 1_000, status, revision=revision))
        assert new == (revision > last.get(number, 0))
        if new:
            ends += 1
            last[number] = revision
            again = ended(number, revision * 1_000, status, revision=revision + 20)
            assert not catalog.publish(msgspec.structs.replace(again, revision=revision))
    everything, _ = counts(catalog)
    assert sum(sum((item.completed, item.failed, item.cancelled, item.expired)) for item in everything.values()) == ends


def test_later_news_of_a_job_that_has_ended_are_no_other_end() -> None:
    catalog = Catalog(MemorySql())
    assert catalog.publish(ended(1, 5_000, revision=3))
    assert not catalog.publish(ended(1, 5_000, revision=4))
    assert counts(catalog)[0]["keep"].completed == 1


def test_minutes_are_kept_for_a_while_and_totals_for_ever() -> None:
    sql = MemorySql()
    catalog = Catalog(sql)
    minutes = MINUTES_KEPT + 20
    for number in range(minutes):
        catalog.publish(ended(number, number * MINUTE_MS + 5))
        catalog.publish(ended(10_000 + number, number * MINUTE_MS + 9, workflow="other"))
    assert len(sql.execute("select 1 from minute")) <= 2 * MINUTES_KEPT
    now_ms = (minutes - 1) * MINUTE_MS
    everything, lately = counts(catalog, now_ms, 14 * MINUTE_MS)
    assert (everything["keep"].completed, lately["keep"].completed, lately["other"].completed) == (minutes, 15, 15)
    catalog.publish(ended(99_999, 3))
    everything, whole = counts(catalog, now_ms, now_ms)
    assert (everything["keep"].completed, whole["keep"].completed) == (minutes + 1, MINUTES_KEPT)


def test_an_end_costs_two_rows() -> None:
    def rows(status: JobStatus) -> int:
        sql = MemorySql()
        catalog = Catalog(sql)
        for number in range(2):
            catalog.publish(ended(number, 500, JobStatus.RUNNING))
        catalog.publish(ended(0, 5_000, status, revision=2))
        before = sql.rows_written
        catalog.publish(ended(1, 5_000, status, revision=2))
        return sql.rows_written - before

    assert rows(JobStatus.COMPLETED) - rows(JobStatus.SUSPENDED) == 2
