"""Several shards answer as one, and what is missing is said."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable.catalog import Catalog
from durable.catalog_model import (
    CountsQuery,
    DeadLetterPage,
    DeadLetterQuery,
    JobPage,
    JobQuery,
    OverdueQuery,
    Redriven,
)
from durable.placement import MAX_SHARDS, Layout, ledger_of
from durable.recovery import Page
from orchestrator.errors import InvalidRequestError, OrchestratorError, RetryableError, UnknownDeadLetterError
from orchestrator.lifecycle import JobStatus
from orchestrator.model import DeadLetter, JobSummary
from orchestrator.testing import MemorySql
from tests.catalog.world import CatalogWorld

NOTHING = Page(None)
COUNTS = CountsQuery(now_ms=10**7, grace_ms=0, window_ms=10**7)


def summary(number: int, created_at_ms: int, status: JobStatus = JobStatus.FAILED, tag: str = "a") -> JobSummary:
    return JobSummary(
        id=f"run_{number:026}",
        workflow=f"w{number % 2}",
        status=status,
        tags=(tag,),
        parent_id=None,
        created_at_ms=created_at_ms,
        updated_at_ms=created_at_ms,
        finished_at_ms=created_at_ms + 50 if status is JobStatus.FAILED else None,
        due_at_ms=None if status is JobStatus.FAILED else created_at_ms,
        revision=1,
        error=None,
    )


jobs = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from([JobStatus.FAILED, JobStatus.QUEUED, JobStatus.RUNNING]),
        st.sampled_from("ab"),
    ),
    max_size=40,
)


@given(jobs, st.integers(1, 7), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_any_number_of_shards_answers_as_one_does(
    given: list[tuple[int, JobStatus, str]], limit: int, shards: int
) -> None:
    async def scenario() -> None:
        several, one = CatalogWorld(shards=shards), Catalog(MemorySql())
        one.migrate()
        for number, (created_at_ms, status, tag) in enumerate(given):
            job = summary(number, created_at_ms, status, tag)
            await several.calls.publish(job)
            one.publish(job)
        await several.catalog.states()  # those without a job come into being, too
        await several.settle()
        one.recovery.advance(one.recovery.progress(), NOTHING, 0)
        for query in (JobQuery(limit=limit), JobQuery(limit=limit, tag="a", status=JobStatus.FAILED)):
            assert await pages(several, query) == await pages(one, query)
        letters = DeadLetterQuery(limit=limit, workflow="w1")
        assert await letter_pages(several, letters) == await letter_pages(one, letters)
        assert await several.catalog.counts(COUNTS) == one.counts(COUNTS)
        overdue = OverdueQuery(now_ms=10**7, grace_ms=0, limit=100)
        found, silent = await several.catalog.overdue(overdue)
        assert (sorted(found), silent) == (sorted(one.overdue(overdue)), [])

    asyncio.run(scenario())


async def pages(catalog: CatalogWorld | Catalog, query: JobQuery) -> list[JobPage]:
    found: list[JobPage] = []
    while not found or query.cursor is not None:
        ask = catalog.list_jobs(query) if isinstance(catalog, Catalog) else await catalog.catalog.list_jobs(query)
        found.append(ask)
        query = msgspec.structs.replace(query, cursor=ask.next_cursor)
    return found


async def letter_pages(catalog: CatalogWorld | Catalog, query: DeadLetterQuery) -> list[DeadLetterPage]:
    found: list[DeadLetterPage] = []
    while not found or query.cursor is not None:
        if isinstance(catalog, Catalog):
            ask = catalog.list_dead_letters(query)
        else:
            ask = await catalog.catalog.list_dead_letters(query)
        found.append(ask)
        query = msgspec.structs.replace(query, cursor=ask.next_cursor)
    return found


def test_a_cursor_holds_while_jobs_come_and_shards_change() -> None:
    async def scenario() -> None:
        catalog = CatalogWorld(shards=3)
        for number in range(20):
            await catalog.calls.publish(msgspec.structs.replace(summary(number, number), first=True))
        await catalog.settle()
        first = await catalog.catalog.list_jobs(JobQuery(limit=8))
        await catalog.calls.publish(msgspec.structs.replace(summary(99, 99), first=True))
        rest = await catalog.catalog.list_jobs(JobQuery(limit=50, cursor=first.next_cursor))
        assert [job.created_at_ms for job in (*first.jobs, *rest.jobs)] == list(range(19, -1, -1))

    asyncio.run(scenario())


def test_a_shard_that_does_not_answer_is_never_left_out_in_silence() -> None:
    async def scenario() -> None:
        catalog = CatalogWorld(shards=3)
        for number in range(20):
            await catalog.calls.publish(summary(number, number))
        await catalog.settle()
        quiet = catalog.layout.names()[1]
        catalog.silent = {quiet}
        for ask in (
            catalog.catalog.list_jobs(JobQuery()),
            catalog.catalog.list_dead_letters(DeadLetterQuery()),
            catalog.catalog.states(),
        ):
            with pytest.raises(RetryableError) as caught:
                await ask
            assert (caught.value.error_code, caught.value.details) == ("catalog_incomplete", {"shards": [quiet]})
        page = await catalog.catalog.list_jobs(JobQuery(partial=True))
        letters = await catalog.catalog.list_dead_letters(DeadLetterQuery(partial=True))
        assert page.incomplete == letters.incomplete == [quiet]
        expected = [number for number in range(20) if catalog.layout.shard_of(summary(number, 0).id) != quiet]
        assert sorted(job.created_at_ms for job in page.jobs) == expected
        counts = await catalog.catalog.counts(COUNTS)
        assert (counts.unreachable, counts.dead_letters) == ([quiet], len(expected))
        found, silent = await catalog.catalog.overdue(OverdueQuery(now_ms=10**7, grace_ms=0, limit=100))
        assert (found, silent) == ([], [quiet])
        catalog.silent = set(catalog.layout.names())
        with pytest.raises(RetryableError):
            await catalog.catalog.list_jobs(JobQuery(partial=True))

    asyncio.run(scenario())


def test_a_letter_is_found_wherever_it_lies_and_not_believed_to_be_gone_while_a_shard_is_silent() -> None:
    async def scenario() -> None:
        catalog = CatalogWorld(shards=5)
        letters = [
            DeadLetter(id=f"message:{number}", kind="message", job_id=job_id, workflow=None, cause="why", at_ms=number)
            for number, job_id in enumerate([None, summary(1, 0).id, summary(2, 0).id])
        ]
        for letter in letters:
            await catalog.catalog.add_dead_letter(letter)
            assert await catalog.catalog.get_dead_letter(letter.id) == letter
            await catalog.catalog.mark_redriven(Redriven(id=letter.id, at_ms=9))
            assert (await catalog.catalog.get_dead_letter(letter.id)).redriven_at_ms == 9
        with pytest.raises(UnknownDeadLetterError):
            await catalog.catalog.get_dead_letter("message:x")
        catalog.silent = {catalog.layout.names()[0]}
        with pytest.raises(RetryableError) as caught:
            await catalog.catalog.get_dead_letter("message:x")
        assert caught.value.error_code == "catalog_incomplete"

    asyncio.run(scenario())


def test_a_wrong_question_is_wrong_whoever_answers() -> None:
    async def scenario() -> None:
        catalog = CatalogWorld()
        with pytest.raises(InvalidRequestError) as caught:
            await catalog.catalog.list_jobs(JobQuery(cursor="x", partial=True))
        assert caught.value.error_code == "invalid_cursor"
        with pytest.raises(InvalidRequestError) as caught:
            await catalog.catalog.rebuild(["catalog-9-0"])
        assert caught.value.error_code == "unknown_shard"

    asyncio.run(scenario())


@pytest.mark.parametrize("text", ["", "0", "65", "-1", "4.0", "four", "٤"])
def test_a_setting_that_is_no_number_of_shards(text: str) -> None:
    with pytest.raises(OrchestratorError) as caught:
        Layout.from_setting(text)
    assert caught.value.error_code == "invalid_setting"


def test_settings_of_shards() -> None:
    assert [Layout.from_setting(text).shards for text in (None, "1", "64")] == [4, 1, MAX_SHARDS]


def test_jobs_spread_and_their_letters_lie_with_them() -> None:
    layout = Layout(4)
    ids = [summary(number, 0).id for number in range(4_000)]
    for place in (layout.shard_of, ledger_of):
        found = [place(job_id) for job_id in ids]
        shares = [found.count(name) / len(ids) for name in set(found)]
        assert min(shares) > 0.8 / len(shares)
    # A shard's jobs lie in every ledger: nothing is lost with a shard and a ledger but what lies in both.
    assert len({ledger_of(job_id) for job_id in ids if layout.number_of(job_id) == 0}) == 8
    letter = DeadLetter(id="message:m", kind="message", job_id=ids[7], workflow=None, cause="why", at_ms=1)
    assert layout.shard_of_letter(letter) == layout.shard_of(ids[7])
