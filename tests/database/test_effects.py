"""How long rows of the ledger are kept, on a real Postgres."""

from __future__ import annotations

import pytest

from orchestrator import effects
from orchestrator.ports import Database
from steps.platform.effects import KEPT_DAYS, ROWS_PER_ROUND, forget_old_effects
from tests.database.support import Adapter, value

JOB = "run_01kx3m0d5v9q8w7e6r5t4y3u2z"


async def add(database: Database, key: str, days: int) -> None:
    await database.execute(
        "insert into wf.effect (key, applied_at) values ($1, now() - make_interval(days => $2))", key, days
    )


async def keys(database: Database) -> list[str]:
    return [str(row[0]) for row in await database.fetch("select key from wf.effect order by key")]


@pytest.fixture(autouse=True)
def _empty(adapter: Adapter) -> None:
    async def run(database: Database) -> None:
        await database.execute("delete from wf.effect")

    adapter.run(run)


def test_a_jobs_rows_go_by_an_index_and_nobody_elses(adapter: Adapter) -> None:
    async def run(database: Database) -> list[str]:
        for key in (f"{JOB}:a", f"{JOB}:b#2:1", f"{JOB}x:a", f"job:other:{JOB}:docs"):
            await add(database, key, 0)
        await effects.forget(database, JOB)
        await database.execute("set enable_seqscan = off")
        plan = await database.fetch("explain delete from wf.effect where split_part(key, ':', 1) = $1", JOB)
        assert any("effect_job_idx" in str(row[0]) for row in plan)
        return await keys(database)

    assert adapter.run(run) == [f"job:other:{JOB}:docs", f"{JOB}x:a"]


def test_rows_of_no_job_go_when_nobody_needs_them(adapter: Adapter) -> None:
    async def run(database: Database) -> list[str]:
        await add(database, "meter:old:2025-01", KEPT_DAYS + 1)
        await add(database, "meter:new:2026-11", KEPT_DAYS - 1)
        await add(database, f"{JOB}:a", KEPT_DAYS + 1)
        assert await forget_old_effects(database) == 1
        assert await forget_old_effects(database) == 0
        return await keys(database)

    assert adapter.run(run) == ["meter:new:2026-11", f"{JOB}:a"]


def test_a_round_is_bounded(adapter: Adapter) -> None:
    async def run(database: Database) -> object:
        await database.execute(
            """insert into wf.effect (key, applied_at)
            select 'meter:' || number, now() - make_interval(days => $1) from generate_series(1, $2) as number""",
            KEPT_DAYS + 1,
            ROWS_PER_ROUND + 5,
        )
        assert await forget_old_effects(database) == ROWS_PER_ROUND
        return await value(database, "select count(*) from wf.effect")

    assert adapter.run(run) == 5
