"""What is lost is made again from the jobs themselves, whatever stops in between."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
import pytest

from durable import envelope
from durable.catalog_calls import CATALOG, LEDGER, CatalogCalls
from durable.catalog_model import CountsQuery, DeadLetterQuery, JobPage, JobQuery
from durable.catalog_upkeep import keep_up
from durable.ledger import Entry
from durable.placement import LEDGERS, Layout, ledger_name, ledger_of
from durable.recovery import AGAIN_MS
from orchestrator.errors import RetryableError
from orchestrator.lifecycle import JobStatus
from orchestrator.model import DeadLetter, DeletedJob, JobOptions, JobSummary
from orchestrator.testing import World
from steps.diagnostics import diagnostic_echo
from tests.catalog.world import CatalogWorld

JOBS = 30


async def populated(shards: int = 4, jobs: int = JOBS) -> CatalogWorld:
    """A catalog that knows jobs of every kind: some have ended, some wait."""
    catalog = CatalogWorld(World(diagnostic_echo), shards=shards)
    for number in range(jobs):
        options = JobOptions(mode="direct", tags=("all", f"n{number % 3}"), delay_ms=(number % 2) * 10**9)
        catalog.jobs.start("diagnostic-echo", {"steps": number % 4}, options)
    await catalog.jobs.run(until_ms=catalog.clock.now_ms() + 60_000)
    for job_id in catalog.jobs.objects:
        summary = catalog.jobs.call(job_id, lambda engine: engine.summary())
        await catalog.calls.publish(msgspec.structs.replace(summary, first=True))
    await catalog.settle()
    return catalog


async def everything(catalog: CatalogWorld) -> JobPage:
    return await catalog.catalog.list_jobs(JobQuery(limit=200))


async def complete(catalog: CatalogWorld) -> bool:
    return all(state.complete for state in await catalog.catalog.states())


def known(page: JobPage) -> list[tuple[str, JobStatus, tuple[str, ...], int]]:
    return [(job.id, job.status, job.tags, job.revision) for job in page.jobs]


@pytest.mark.parametrize("lost", ["one shard", "every shard", "every ledger", "a ledger, then a shard"])
def test_what_was_lost_comes_back_in_full(lost: str) -> None:
    async def scenario() -> None:
        catalog = await populated()
        before = await everything(catalog)
        counts = await catalog.catalog.counts(CountsQuery(now_ms=0, grace_ms=0, window_ms=0))
        assert len(before.jobs) == JOBS
        assert before.incomplete == []
        shards, ledgers = catalog.layout.names(), [ledger_name(number) for number in range(LEDGERS)]
        if lost == "one shard":
            catalog.wipe(shards[1])
        elif lost == "every shard":
            for name in shards:
                catalog.wipe(name)
        else:
            for name in ledgers if lost == "every ledger" else ledgers[:1]:
                catalog.wipe(name)
            for number in range(LEDGERS):
                await catalog.calls.touch_ledger(number)
            await catalog.settle()
            for name in shards if lost == "every ledger" else shards[2:3]:
                catalog.wipe(name)
        page = await everything(catalog)
        missing = {job.id for job in before.jobs} - {job.id for job in page.jobs}
        assert missing
        assert {catalog.layout.shard_of(job_id) for job_id in missing} <= set(page.incomplete)
        await catalog.settle()
        assert [line for line in catalog.logs if line[0] == "warning"] == []  # waiting for each other is no failure
        after = await everything(catalog)
        assert (known(after), after.incomplete) == (known(before), [])
        assert await catalog.catalog.counts(CountsQuery(now_ms=0, grace_ms=0, window_ms=0)) == counts

    asyncio.run(scenario())


def test_a_crash_at_any_write_of_a_recovery_costs_nothing() -> None:
    async def writes_of_a_recovery(crash_after: int | None) -> tuple[int, list[object], int]:
        catalog = await populated(jobs=9)
        begun = catalog.writes
        if crash_after is not None:
            catalog.crash_at = {begun + crash_after}
        lost = catalog.layout.names()
        for name in (lost[0], ledger_name(3), ledger_name(7)):
            catalog.wipe(name)
            await look(catalog)
        for name in lost:
            # The ledgers have everything of their own again, too.
            catalog.wipe(name)
        await look(catalog)
        return catalog.writes - begun, list(known(await everything(catalog))), catalog.crashes

    async def look(catalog: CatalogWorld) -> None:
        """Ask everybody until all have answered, since one may have died at the first question."""
        for _ in range(2):
            await catalog.catalog.list_jobs(JobQuery(partial=True))
            for number in range(LEDGERS):
                with contextlib.suppress(RetryableError):
                    await catalog.calls.touch_ledger(number)
        await catalog.settle()

    async def scenario() -> None:
        writes, undisturbed, _ = await writes_of_a_recovery(None)
        assert len(undisturbed) == 9
        for write in range(1, writes, 3):
            _, found, crashes = await writes_of_a_recovery(write)
            assert (found, crashes) == (undisturbed, 1), write

    asyncio.run(scenario())


def test_another_number_of_shards_is_another_catalog_and_the_old_one_goes() -> None:
    async def scenario() -> None:
        catalog = await populated(shards=2)
        before = await everything(catalog)
        letter = DeadLetter(id="message:m1", kind="message", job_id=None, workflow=None, cause="why", at_ms=5)
        await catalog.calls.add_dead_letter(letter)
        await keep_up(catalog.calls, catalog.clock, nobody_reads)
        for shards in (5, 1, 2):
            old, catalog.layout = catalog.layout, Layout(shards)
            await keep_up(catalog.calls, catalog.clock, nobody_reads)
            assert not any(catalog.nodes[name].sql.execute("select 1 from sqlite_master") for name in old.names())
            await everything(catalog)
            await catalog.settle()
            after = await everything(catalog)
            assert (known(after), after.incomplete) == (known(before), [])
            letters = await catalog.catalog.list_dead_letters(DeadLetterQuery(kind="message"))
            assert letters.dead_letters == [letter]

    asyncio.run(scenario())


def test_an_older_release_is_refused_by_a_layout_that_is_not_in_use() -> None:
    async def scenario() -> None:
        catalog = await populated(shards=2)
        shard = catalog.layout.names()[0]
        catalog.layout = Layout(3)
        answer = await catalog.calls.shard(shard, "list_jobs", "{}")
        assert '"code":"object_unreachable"' in answer

    asyncio.run(scenario())


def test_jobs_that_do_not_answer_hold_up_nobody_and_are_asked_again() -> None:
    async def scenario() -> None:
        catalog = await populated()
        before = await everything(catalog)
        shard = catalog.layout.names()[0]
        quiet = [job.id for job in before.jobs if catalog.layout.shard_of(job.id) == shard][:2]
        catalog.silent = set(quiet)
        catalog.wipe(shard)
        await everything(catalog)
        await catalog.settle()
        page = await everything(catalog)
        assert {job.id for job in before.jobs} - {job.id for job in page.jobs} == set(quiet)
        assert page.incomplete == [shard]
        await catalog.settle(for_ms=AGAIN_MS + 60_000)  # asked again, and silent still
        assert not await complete(catalog)
        catalog.silent = set()
        await catalog.settle(for_ms=AGAIN_MS + 60_000)
        assert (known(await everything(catalog)), await complete(catalog)) == (known(before), True)

    asyncio.run(scenario())


def test_a_job_that_changes_or_goes_while_its_shard_recovers_is_as_it_says_last() -> None:
    async def scenario() -> None:
        catalog = await populated()
        shard = catalog.layout.names()[0]
        before = await everything(catalog)
        changed, deleted = [
            job for job in before.jobs if catalog.layout.shard_of(job.id) == shard and job.status is JobStatus.WAITING
        ][:2]
        catalog.wipe(shard)
        newer = msgspec.structs.replace(changed, revision=99, status=JobStatus.PAUSED)
        await catalog.calls.publish(newer)
        await catalog.calls.forget(DeletedJob(id=deleted.id, created_at_ms=deleted.created_at_ms, deleted_at_ms=7))
        del catalog.jobs.objects[deleted.id]
        await catalog.settle()
        after = {job.id: job for job in (await everything(catalog)).jobs}
        assert len(after) == JOBS - 1
        assert after[changed.id].status is JobStatus.PAUSED

    asyncio.run(scenario())


def test_a_job_that_its_ledger_alone_knows_is_taken_off_it() -> None:
    async def scenario() -> None:
        catalog = await populated(jobs=3)
        ghost = Entry("run_" + "0" * 26, 1)
        await catalog.call("LEDGERS", ledger_of(ghost.id), "add", msgspec.json.encode(ghost).decode())
        for name in catalog.layout.names():
            catalog.wipe(name)
        await everything(catalog)
        await catalog.settle()
        assert len((await everything(catalog)).jobs) == 3
        rows = catalog.nodes[ledger_of(ghost.id)].sql.execute("select 1 from entry where id = ?", ghost.id)
        assert rows == []

    asyncio.run(scenario())


def test_a_rebuild_finds_what_a_shard_should_know() -> None:
    async def scenario() -> None:
        catalog = await populated()
        before = await everything(catalog)
        victim = before.jobs[0].id
        shard = catalog.layout.shard_of(victim)
        catalog.nodes[shard].sql.execute("delete from job where id = ?", victim)
        assert len((await everything(catalog)).jobs) == JOBS - 1
        (state,) = await catalog.catalog.rebuild([shard])
        assert not state.complete
        await catalog.settle()
        assert known(await everything(catalog)) == known(before)

    asyncio.run(scenario())


def test_the_second_pass_over_a_new_deployment_asks_nobody_who_has_ended() -> None:
    """All that had ended in its first ten minutes once woke at the same moment."""

    async def scenario() -> None:
        catalog = await populated()
        asked: list[str] = []
        ask = catalog.calls.summary

        async def summary(job_id: str) -> JobSummary:
            asked.append(job_id)
            return await ask(job_id)

        catalog.calls.summary = summary
        await catalog.settle(for_ms=2 * AGAIN_MS)
        jobs = (await everything(catalog)).jobs
        waiting = [job.id for job in jobs if job.status is not JobStatus.COMPLETED]
        assert len(waiting) == JOBS // 2
        assert sorted(asked) == sorted(waiting)

    asyncio.run(scenario())


def test_a_quiet_catalog_has_nothing_to_do() -> None:
    async def scenario() -> None:
        catalog = await populated()
        await catalog.settle(for_ms=2 * AGAIN_MS)
        assert [node.name for node in catalog.nodes.values() if node.alarm_ms is not None] == []

    asyncio.run(scenario())


def test_the_first_message_of_a_job_says_that_it_is_until_it_was_delivered() -> None:
    """A job is in its ledger before the catalog hears of it, whatever stops when."""

    class Published(dict[str, JobSummary]):
        told: list[JobSummary]

        def __setitem__(self, key: str, value: JobSummary) -> None:
            self.told.append(value)
            super().__setitem__(key, value)

    def run(crash_at: int | None) -> tuple[list[bool], int]:
        world = World(diagnostic_echo)
        published = Published()
        published.told = []
        world.catalog = published
        if crash_at is not None:
            world.crash_at(crash_at)
        world.start("diagnostic-echo", {"steps": 2, "sleep_ms": 1_000})
        asyncio.run(world.run())
        return [summary.first for summary in published.told], world.writes

    undisturbed, writes = run(None)
    assert undisturbed == [True, False]
    for crash_at in range(1, writes + 1):
        told, _ = run(crash_at)
        assert told[0], crash_at


def test_a_new_job_is_in_its_ledger_before_it_is_in_the_catalog() -> None:
    """In between, a shard that is made again finds it; the other way round, only the job itself knew."""
    called: list[tuple[str, str]] = []

    async def call(binding: str, name: str, method: str, *args: str) -> str:
        called.append((binding, method))
        return envelope.answer(lambda: None)

    calls = CatalogCalls(lambda: Layout(4), call)
    world = World(diagnostic_echo)
    job_id = world.start("diagnostic-echo", {})
    summary = world.call(job_id, lambda engine: engine.summary())
    asyncio.run(calls.publish(msgspec.structs.replace(summary, first=True)))
    assert called == [(LEDGER, "add"), (CATALOG, "publish")]


def test_a_summary_is_what_the_job_would_publish() -> None:
    world = World(diagnostic_echo)
    job_id = world.start("diagnostic-echo", {"steps": 2})
    asyncio.run(world.run())

    found = world.call(job_id, lambda engine: engine.summary())
    told = world.catalog[job_id]
    assert found == msgspec.structs.replace(told, first=False, due_at_ms=found.due_at_ms)


def nobody_reads(level: str, event: str, fields: object) -> None:
    assert level == "info", event
