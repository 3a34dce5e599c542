"""Migrations: each once, whole or not at all, and never changed afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from local.migrate import Migration, MigrationError, apply_migrations, load_migrations, migrate
from orchestrator.ports import Database
from steps.platform.errors import DatabaseRefusedError
from tests.database.support import ADAPTERS, Adapter, value

SMALL = [Migration(1, "0001_a", "create table a (n int)"), Migration(2, "0002_b", "create table b (n int)")]


@pytest.fixture(params=ADAPTERS)
def fresh(request: pytest.FixtureRequest, empty_url: str) -> Adapter:
    return Adapter(request.param, empty_url, ADAPTERS[request.param])


def test_all_migrations_once(empty_url: str) -> None:
    assert migrate(empty_url) == [migration.name for migration in load_migrations()]
    assert migrate(empty_url) == []


def test_without_the_platform_tables(empty_url: str) -> None:
    assert len(migrate(empty_url, platform_tables=False)) == len(load_migrations())

    async def body(database: Database) -> None:
        assert await value(database, "select to_regclass('organization')::text") is None
        assert await value(database, "select to_regclass('wf.effect')::text") == "wf.effect"

    Adapter("asyncpg", empty_url, ADAPTERS["asyncpg"]).run(body)


def test_a_failing_migration_leaves_nothing(fresh: Adapter) -> None:
    async def body(database: Database) -> None:
        broken = [*SMALL, Migration(3, "0003_c", "create table c (n int); select 1 / 0")]
        with pytest.raises(DatabaseRefusedError):
            await apply_migrations(database, broken)
        assert await value(database, "select to_regclass('c')::text") is None
        mended = [*SMALL, Migration(3, "0003_c", "create table c (n int)")]
        assert await apply_migrations(database, mended) == ["0003_c"]

    fresh.run(body)


def test_a_changed_migration_is_refused(fresh: Adapter) -> None:
    async def body(database: Database) -> None:
        await apply_migrations(database, SMALL)
        with pytest.raises(MigrationError, match="0001_a"):
            await apply_migrations(database, [Migration(1, "0001_a", "create table a (n bigint)")])

    fresh.run(body)


def test_several_processes_at_once(fresh: Adapter) -> None:
    async def body(database: Database) -> None:
        others = [fresh.open() for _ in range(4)]
        applied = await asyncio.gather(*(apply_migrations(other, SMALL) for other in others))
        for other in others:
            await other.close()
        assert sorted(name for names in applied for name in names) == ["0001_a", "0002_b"]

    fresh.run(body)


def test_numbers_are_distinct(tmp_path: Path) -> None:
    for name in ("0001_a.sql", "0003_c.sql"):
        (tmp_path / name).write_text("select 1")
    assert [migration.number for migration in load_migrations(tmp_path)] == [1, 3]
    (tmp_path / "0003_d.sql").write_text("select 1")
    with pytest.raises(MigrationError):
        load_migrations(tmp_path)
