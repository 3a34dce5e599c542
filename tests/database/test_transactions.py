"""Transactions, turns and what happens when somebody gives up in the middle."""

# ruff: noqa: PT012 - that a whole block raises is what is tested

from __future__ import annotations

import asyncio

import pytest

from orchestrator.ports import Connection, Database
from steps.platform.errors import ConstraintError, DatabaseRefusedError
from tests.database.support import Adapter, value, waiting_for_a_lock


async def names(connection: Connection) -> list[object]:
    return [row[0] for row in await connection.fetch("select name from t order by name")]


async def make_table(database: Database) -> None:
    await database.execute("create table t (name text primary key)")


async def add(connection: Connection, name: str) -> None:
    await connection.execute("insert into t values ($1)", name)


def test_a_block_that_ends_is_committed(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await make_table(database)
        async with database.transaction() as connection:
            await add(connection, "a")
            assert await names(connection) == ["a"]
        other = adapter.open()
        assert await names(other) == ["a"]
        await other.close()

    adapter.run(body)


def test_nobody_sees_a_block_before_its_end(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await make_table(database)
        other = adapter.open()
        async with database.transaction() as connection:
            await add(connection, "a")
            assert await names(other) == []
        assert await names(other) == ["a"]
        await other.close()

    adapter.run(body)


def test_a_block_that_raises_is_rolled_back(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await make_table(database)
        with pytest.raises(LookupError):
            async with database.transaction() as connection:
                await add(connection, "a")
                raise LookupError
        assert await names(database) == []

    adapter.run(body)


def test_a_transaction_inside_one_is_a_savepoint(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await make_table(database)
        async with database.transaction() as outer:
            await add(outer, "outer")
            with pytest.raises(ConstraintError):
                async with database.transaction() as inner:
                    await add(inner, "lost")
                    await add(inner, "outer")
            async with database.transaction() as inner:
                await add(inner, "kept")
                async with database.transaction() as innermost:
                    await add(innermost, "deep")
        assert await names(database) == ["deep", "kept", "outer"]

    adapter.run(body)


def test_a_kept_savepoint_goes_with_its_transaction(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await make_table(database)
        with pytest.raises(LookupError):
            async with database.transaction():
                async with database.transaction() as inner:
                    await add(inner, "a")
                raise LookupError
        assert await names(database) == []

    adapter.run(body)


def test_inside_the_block_the_database_is_the_transaction(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await make_table(database)
        with pytest.raises(LookupError):
            async with database.transaction():
                await add(database, "a")
                await asyncio.gather(add(database, "b"), add(database, "c"))
                assert await names(database) == ["a", "b", "c"]
                raise LookupError
        assert await names(database) == []

    adapter.run(body)


def test_others_wait_until_the_transaction_is_over(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await make_table(database)
        inside, seen = asyncio.Event(), list[str]()

        async def other() -> None:
            await inside.wait()
            await add(database, "other")
            seen.append("other")

        waiting = asyncio.create_task(other())
        with pytest.raises(LookupError):
            async with database.transaction() as connection:
                inside.set()
                for name in "abc":
                    await add(connection, name)
                seen.append("transaction")
                raise LookupError
        await waiting
        assert (seen, await names(database)) == (["transaction", "other"], ["other"])

    adapter.run(body)


def test_many_tasks_share_one_connection(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await database.execute("create table n (who int, round int)")

        async def work(who: int) -> None:
            for turn in range(5):
                assert await value(database, "select $1::text", f"{who}-{turn}") == f"{who}-{turn}"
                try:
                    async with database.transaction() as connection:
                        await connection.execute("insert into n values ($1, $2)", who, turn)
                        await asyncio.sleep(0)
                        if turn % 2:
                            raise LookupError
                except LookupError:
                    pass

        await asyncio.gather(*(work(who) for who in range(10)))
        assert await value(database, "select array_agg(distinct round order by round) from n") == [0, 2, 4]
        assert await value(database, "select count(*) from n") == 30
        pids = {await value(database, "select pg_backend_pid()") for _ in range(3)}
        assert len(pids) == 1

    adapter.run(body)


def test_statements_of_different_databases_overlap(adapter: Adapter) -> None:
    """Each holds a lock that the other waits for in turn: without overlap this would hang."""

    async def body(database: Database) -> None:
        second = adapter.open()
        order = list[str]()

        async def blocked() -> None:
            await second.execute("select pg_advisory_xact_lock(1)")
            order.append("blocked")

        async with database.transaction() as connection:
            await connection.execute("select pg_advisory_xact_lock(1)")
            waiting = asyncio.create_task(blocked())
            observer = adapter.open()
            await waiting_for_a_lock(observer)
            await observer.close()
            order.append("holder")
        await waiting
        await second.close()
        assert order == ["holder", "blocked"]

    adapter.run(body)


def test_a_transaction_that_is_over_takes_no_statements(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await make_table(database)
        async with database.transaction() as connection:
            pass
        with pytest.raises(DatabaseRefusedError):
            await add(connection, "late")
        assert await names(database) == []

    adapter.run(body)


def test_a_task_that_outlives_its_transaction_runs_on_its_own(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await make_table(database)
        over, tasks = asyncio.Event(), list[asyncio.Task[None]]()

        async def late() -> None:
            await over.wait()
            await add(database, "late")

        with pytest.raises(LookupError):
            async with database.transaction() as connection:
                tasks.append(asyncio.create_task(late()))
                await add(connection, "lost")
                raise LookupError
        over.set()
        await asyncio.gather(*tasks)
        assert await names(database) == ["late"]

    adapter.run(body)


def test_an_error_that_is_swallowed_does_not_pass_for_a_commit(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await make_table(database)
        with pytest.raises(DatabaseRefusedError, match="rolled back"):
            async with database.transaction() as connection:
                await add(connection, "a")
                with pytest.raises(ConstraintError):
                    await add(connection, "a")
        assert await names(database) == []

    adapter.run(body)


def test_cancelling_a_statement_leaves_a_usable_database(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await make_table(database)
        holder = adapter.open()
        async with holder.transaction() as lock:
            await lock.execute("lock table t")
            task = asyncio.create_task(add(database, "cancelled"))
            await waiting_for_a_lock(holder)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await value(database, "select 'fresh'") == "fresh"
        await holder.close()

    adapter.run(body)


def test_cancelling_a_transaction_rolls_it_back(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await make_table(database)
        holder = adapter.open()

        async def doomed() -> None:
            async with database.transaction() as connection:
                await add(connection, "doomed")
                await connection.execute("select pg_advisory_xact_lock(1)")

        async with holder.transaction() as lock:
            await lock.execute("select pg_advisory_xact_lock(1)")
            task = asyncio.create_task(doomed())
            await waiting_for_a_lock(holder)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await holder.close()
        await add(database, "doomed")  # waits for the doomed insert's end and would collide with it
        assert await names(database) == ["doomed"]

    adapter.run(body)


def test_cancelling_whoever_waits_for_a_turn_harms_nobody(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await make_table(database)
        inside, leave = asyncio.Event(), asyncio.Event()

        async def transaction() -> None:
            async with database.transaction() as connection:
                await add(connection, "a")
                inside.set()
                await leave.wait()
                await add(connection, "b")

        running = asyncio.create_task(transaction())
        await inside.wait()
        waiting = asyncio.create_task(add(database, "never"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        leave.set()
        await running
        assert await names(database) == ["a", "b"]

    adapter.run(body)
