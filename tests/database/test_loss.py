"""Lost connections: never reused, always retryable, and what was in doubt is settled by the ledger."""

# ruff: noqa: PT012 - that a whole block raises is what is tested

from __future__ import annotations

import asyncio
import socket

import pytest

from orchestrator.ports import Connection, Database
from steps.platform.errors import DatabaseUnavailableError
from tests.database.support import Adapter, relay, serving, value, waiting_for_a_lock


async def kill(adapter: Adapter, pid: object) -> None:
    killer = adapter.open()
    assert await value(killer, "select pg_terminate_backend($1, 10000)", pid) is True
    await killer.close()


def test_a_connection_killed_while_idle_is_replaced(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await kill(adapter, await value(database, "select pg_backend_pid()"))
        with pytest.raises(DatabaseUnavailableError) as caught:
            await database.fetch("select 1")
        assert caught.value.retryable
        assert await value(database, "select 2") == 2

    adapter.run(body)


def test_a_connection_killed_in_a_statement_is_replaced(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        other = adapter.open()
        async with other.transaction() as holder:
            await holder.execute("select pg_advisory_xact_lock(1)")
            pid = await value(database, "select pg_backend_pid()")
            task = asyncio.create_task(database.fetch("select pg_advisory_lock(1)"))
            await waiting_for_a_lock(other)
            await holder.execute("select pg_terminate_backend($1, 10000)", pid)
            with pytest.raises(DatabaseUnavailableError):
                await task
        assert await value(database, "select 2") == 2
        await other.close()

    adapter.run(body)


def test_nothing_of_a_lost_transaction_runs_outside_of_it(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await database.execute("create table t (n int)")
        with pytest.raises(DatabaseUnavailableError):
            async with database.transaction() as connection:
                await connection.execute("insert into t values (1)")
                await kill(adapter, await value(connection, "select pg_backend_pid()"))
                for _ in range(2):
                    with pytest.raises(DatabaseUnavailableError):
                        await connection.execute("insert into t values (2)")
                with pytest.raises(DatabaseUnavailableError):
                    await database.execute("insert into t values (3)")
                with pytest.raises(DatabaseUnavailableError):
                    async with database.transaction():
                        raise AssertionError("a savepoint without a transaction")
        assert await value(database, "select count(*) from t") == 0

    adapter.run(body)


def test_closing_in_a_transaction_ends_it(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await database.execute("create table t (n int)")
        with pytest.raises(DatabaseUnavailableError):
            async with database.transaction() as connection:
                await connection.execute("insert into t values (1)")
                await database.close()
        assert await value(database, "select count(*) from t") == 0

    adapter.run(body)


def test_closing_during_a_statement_fails_the_statement(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        other = adapter.open()
        async with other.transaction() as holder:
            await holder.execute("select pg_advisory_xact_lock(1)")
            task = asyncio.create_task(database.fetch("select pg_advisory_lock(1)"))
            await waiting_for_a_lock(other)
            await database.close()
            with pytest.raises(DatabaseUnavailableError):
                await task
        assert await value(database, "select 2") == 2
        await other.close()

    adapter.run(body)


def test_closing_frees_the_database_from_a_transaction_that_never_ends(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await database.execute("create table t (n int)")
        inside, leave = asyncio.Event(), asyncio.Event()

        async def stuck() -> None:
            async with database.transaction() as connection:
                await connection.execute("insert into t values (1)")
                inside.set()
                await leave.wait()

        zombie = asyncio.create_task(stuck())
        await inside.wait()
        queued = asyncio.create_task(database.execute("insert into t values (2)"))
        await asyncio.sleep(0)
        await database.close()
        async with database.transaction() as connection:
            await connection.execute("insert into t values (3)")
            leave.set()
            with pytest.raises(DatabaseUnavailableError):
                await zombie
            assert await value(connection, "select array_agg(n) from t") == [3]
        await queued
        assert await value(database, "select array_agg(n order by n) from t") == [2, 3]

    adapter.run(body)


def test_closing_while_connecting_leaves_no_connection(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        observer = adapter.open()
        before = await value(observer, "select count(*) from pg_stat_activity")
        other = adapter.open()
        task = asyncio.create_task(other.fetch("select 1"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await other.close()
        with pytest.raises(DatabaseUnavailableError):
            await task
        while await value(observer, "select count(*) from pg_stat_activity") != before:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await observer.close()
        del database

    adapter.run(body)


def test_closing_twice_and_without_use_is_fine(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await database.close()
        assert await value(database, "select 1") == 1
        await database.close()
        await database.close()

    adapter.run(body)


def test_nobody_listening(adapter: Adapter) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]

        async def body(database: Database) -> None:
            del database
            unreachable = adapter.open(f"postgres://user:secret-word@127.0.0.1:{port}/nowhere")
            with pytest.raises(DatabaseUnavailableError) as caught:
                await unreachable.fetch("select 1")
            assert "secret-word" not in f"{caught.value} {caught.value!r} {unreachable!r}"

        adapter.run(body)


def test_a_server_that_hangs_up_at_once(adapter: Adapter) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def body(database: Database) -> None:
        del database
        async with serving(hang_up) as port:
            other = adapter.open(f"postgres://user:word@127.0.0.1:{port}/nowhere")
            with pytest.raises(DatabaseUnavailableError):
                await other.fetch("select 1")

    adapter.run(body)


async def apply_once(database: Database, key: str) -> bytes:
    """Increment the counter once for ``key``, however often it is called; return the stored result."""
    async with database.transaction() as connection:
        fresh = await connection.fetchrow(
            "insert into wf.effect (key, result) values ($1, $2) on conflict do nothing returning key", key, b"result"
        )
        if fresh is not None:
            await connection.execute("update counter set n = n + 1")
        return await stored(connection, key)


async def stored(connection: Connection, key: str) -> bytes:
    result = await value(connection, "select result from wf.effect where key = $1", key)
    assert isinstance(result, bytes)
    return result


def test_an_effect_whose_commit_went_through_unheard_is_not_repeated(adapter: Adapter) -> None:
    key = f"unheard:{adapter.name}"

    async def body(database: Database) -> None:
        await database.execute("create table counter (n int); insert into counter values (0)")
        async with relay(adapter.url) as carrier:
            through = adapter.open(carrier.url)
            with pytest.raises(DatabaseUnavailableError):
                async with through.transaction() as connection:
                    await connection.execute("insert into wf.effect (key, result) values ($1, $2)", key, b"result")
                    await connection.execute("update counter set n = n + 1")
                    carrier.lose_next_answer = True
            assert await value(database, "select n from counter") == 1, "the commit did go through"
            assert await apply_once(through, key) == b"result"
            await through.close()
        assert await value(database, "select n from counter") == 1

    adapter.run(body)


def test_two_who_apply_one_effect_at_once_apply_it_once(adapter: Adapter) -> None:
    key = f"both:{adapter.name}"

    async def body(database: Database) -> None:
        await database.execute("create table counter (n int); insert into counter values (0)")
        others = [adapter.open() for _ in range(5)]
        results = await asyncio.gather(*(apply_once(other, key) for other in others))
        for other in others:
            await other.close()
        assert results == [b"result"] * 5
        assert await value(database, "select n from counter") == 1

    adapter.run(body)


def test_an_effect_that_failed_leaves_its_key_free(adapter: Adapter) -> None:
    key = f"failed:{adapter.name}"

    async def body(database: Database) -> None:
        await database.execute("create table counter (n int); insert into counter values (0)")
        with pytest.raises(LookupError):
            async with database.transaction() as connection:
                await connection.execute("insert into wf.effect (key) values ($1)", key)
                raise LookupError
        assert await apply_once(database, key) == b"result"
        assert await value(database, "select n from counter") == 1

    adapter.run(body)
