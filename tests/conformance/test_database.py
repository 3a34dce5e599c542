"""The database of tests does what Postgres does; the real one's adapters are held together in ``tests/database``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from durable.postgres import AsyncpgDatabase
from orchestrator.errors import NonRetryableError
from orchestrator.ports import Connection, Database
from orchestrator.testing.database import MemoryDatabase

TABLE = "create table if not exists conformance_item (name text primary key, count bigint not null)"


async def add(connection: Connection, name: str, count: int = 1) -> str:
    return await connection.execute("insert into conformance_item (name, count) values ($1, $2)", name, count)


async def names(connection: Connection) -> list[object]:
    return [row["name"] for row in await connection.fetch("select name from conformance_item order by name")]


async def refusal(statement: Awaitable[object]) -> str:
    """Return the code of the error that a statement is refused with."""
    with pytest.raises(NonRetryableError) as caught:
        await statement
    return caught.value.error_code


async def rows_and_tags(database: Database) -> None:
    assert await add(database, "a") == "INSERT 0 1"
    assert await add(database, "b", 2**53 + 1) == "INSERT 0 1"
    row = await database.fetchrow("select name, count from conformance_item where name = $1", "b")
    assert row is not None
    assert (row["name"], row[1]) == ("b", 2**53 + 1)
    assert await database.fetchrow("select 1 from conformance_item where name = $1", "c") is None
    assert await database.fetch("select 1 from conformance_item where name = $1", "c") == []
    assert await database.execute("update conformance_item set count = 3") == "UPDATE 2"
    assert await database.execute("update conformance_item set count = 3 where name = $1", "c") == "UPDATE 0"
    assert await database.execute("delete from conformance_item where name = $1", "a") == "DELETE 1"
    changed = await database.fetchrow("update conformance_item set count = count + 1 returning count")
    assert changed is not None
    assert changed["count"] == 4


async def what_is_wrong_is_refused_for_good(database: Database) -> None:
    await add(database, "a")
    assert await refusal(add(database, "a")) == "database_constraint"
    assert await refusal(database.execute("insert into conformance_item (name) values ('b')")) == "database_constraint"
    assert await refusal(database.fetch("select nothing from conformance_item")) == "database_refused"
    assert await refusal(database.fetch("select name frm conformance_item")) == "database_refused"
    assert await names(database) == ["a"]


async def a_transaction_is_kept_whole_or_not_at_all(database: Database) -> None:
    async with database.transaction() as connection:
        await add(connection, "a")
        await add(database, "b")

    async def undone() -> None:
        async with database.transaction() as connection:
            await asyncio.gather(add(connection, "c"), add(database, "d"))
            assert await names(database) == ["a", "b", "c", "d"]
            raise LookupError

    with pytest.raises(LookupError):
        await undone()
    assert await names(database) == ["a", "b"]


async def a_failed_statement_ends_its_transaction(database: Database) -> None:
    await add(database, "a")

    async def goes_on(swallowed: bool) -> None:
        async with database.transaction() as connection:
            await add(connection, "b")
            assert await refusal(add(connection, "a")) == "database_constraint"
            if not swallowed:
                await add(connection, "c")

    for swallowed in (False, True):
        assert await refusal(goes_on(swallowed)) == "database_refused"
        assert await names(database) == ["a"]


async def a_transaction_inside_one_is_a_savepoint(database: Database) -> None:
    async def undone() -> None:
        async with database.transaction() as inner:
            await add(inner, "b")
            raise LookupError

    async with database.transaction() as connection:
        await add(connection, "a")
        with pytest.raises(LookupError):
            await undone()
        with pytest.raises(NonRetryableError):
            async with database.transaction() as inner:
                await add(inner, "a")
        async with database.transaction() as inner:
            await add(inner, "c")
    assert await names(database) == ["a", "c"]


async def others_wait_until_a_transaction_is_over(database: Database) -> None:
    inside = asyncio.Event()

    async def other() -> None:
        await inside.wait()
        await add(database, "other")

    async def undone() -> None:
        async with database.transaction() as connection:
            inside.set()
            await add(connection, "a")
            await add(connection, "b")
            raise LookupError

    waiting = asyncio.create_task(other())
    with pytest.raises(LookupError):
        await undone()
    await waiting
    assert await names(database) == ["other"]


async def a_transaction_that_is_over_takes_no_statements(database: Database) -> None:
    async with database.transaction() as connection:
        pass
    with pytest.raises(NonRetryableError):
        await add(connection, "late")
    assert await names(database) == []


SCENARIOS: dict[str, Callable[[Database], Awaitable[None]]] = {
    scenario.__name__: scenario
    for scenario in (
        rows_and_tags,
        what_is_wrong_is_refused_for_good,
        a_transaction_is_kept_whole_or_not_at_all,
        a_failed_statement_ends_its_transaction,
        a_transaction_inside_one_is_a_savepoint,
        others_wait_until_a_transaction_is_over,
        a_transaction_that_is_over_takes_no_statements,
    )
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_in_memory(name: str) -> None:
    async def run() -> None:
        await SCENARIOS[name](MemoryDatabase(TABLE).connect())

    asyncio.run(run())


@pytest.mark.parametrize("name", SCENARIOS)
def test_on_postgres(database_url: str, name: str) -> None:
    async def run() -> None:
        database = AsyncpgDatabase(database_url)
        try:
            await database.execute(TABLE)
            await database.execute("delete from conformance_item")
            await SCENARIOS[name](database)
        finally:
            await database.close()

    asyncio.run(run())
