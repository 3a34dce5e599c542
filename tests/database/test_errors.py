"""Errors are told apart by what to do about them, and say nothing they should not."""

from __future__ import annotations

import asyncio

import pytest

from durable.database_address import DatabaseAddress
from orchestrator.errors import NonRetryableError, OrchestratorError, RetryableError
from orchestrator.ports import Database
from steps.platform.errors import (
    ConstraintError,
    DatabaseConflictError,
    DatabaseError,
    DatabaseRefusedError,
    DatabaseUnavailableError,
    database_error,
)
from tests.database.support import Adapter, value, waiting_for_a_lock

SECRET = "hunter2-very-secret"


@pytest.mark.parametrize(
    ("statement", "sqlstate", "constraint"),
    [
        ("insert into child values (1, 1)", "23505", "child_pkey"),
        ("insert into child values (2, 9)", "23503", "child_parent_fkey"),
        ("insert into child values (2, -1)", "23514", "child_parent_check"),
        ("insert into child values (2, null)", "23502", None),
    ],
)
def test_a_violated_constraint_is_final_and_named(
    adapter: Adapter, statement: str, sqlstate: str, constraint: str | None
) -> None:
    async def body(database: Database) -> None:
        await database.execute(
            "create table parent (id int primary key); insert into parent values (1);"
            "create table child (id int primary key, parent int not null check (parent > 0) references parent);"
            "insert into child values (1, 1)"
        )
        with pytest.raises(ConstraintError) as caught:
            await database.execute(statement)  # pyright: ignore[reportArgumentType]
        error = caught.value
        assert (error.sqlstate, error.constraint, error.error_code) == (sqlstate, constraint, "database_constraint")
        assert isinstance(error, NonRetryableError)
        assert not error.retryable
        assert await value(database, "select count(*) from child") == 1

    adapter.run(body)


@pytest.mark.parametrize(
    ("statement", "sqlstate"),
    [
        ("select 1 +", "42601"),
        ("select * from nowhere", "42P01"),
        ("select 1 / 0", "22012"),
        ("select no_such", "42703"),
    ],
)
def test_a_wrong_statement_is_final(adapter: Adapter, statement: str, sqlstate: str) -> None:
    async def body(database: Database) -> None:
        for run in (database.execute, database.fetch):
            with pytest.raises(DatabaseRefusedError) as caught:
                await run(statement)  # pyright: ignore[reportArgumentType]
            assert (caught.value.sqlstate, caught.value.retryable) == (sqlstate, False)
        assert await value(database, "select 1") == 1

    adapter.run(body)


def test_row_values_stay_out_of_messages(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await database.execute("create table t (name text primary key)")
        await database.execute("insert into t values ($1)", SECRET)
        with pytest.raises(ConstraintError) as caught:
            await database.execute("insert into t values ($1)", SECRET)
        assert SECRET not in f"{caught.value} {caught.value!r} {caught.value.details}"
        with pytest.raises(DatabaseRefusedError) as refused:
            await database.execute("select $1::int", SECRET)
        assert SECRET not in f"{refused.value} {refused.value!r} {refused.value.details}"

    adapter.run(body)


def test_a_deadlock_can_be_tried_again(adapter: Adapter) -> None:
    async def locks(database: Database, first: str, second: str, met: asyncio.Barrier) -> None:
        async with database.transaction() as connection:
            await connection.execute("update t set n = n + 1 where name = $1", first)
            await met.wait()
            await connection.execute("update t set n = n + 1 where name = $1", second)

    async def body(database: Database) -> None:
        await database.execute("create table t (name text primary key, n int); insert into t values ('a', 0), ('b', 0)")
        other, met = adapter.open(), asyncio.Barrier(2)
        results = await asyncio.gather(
            locks(database, "a", "b", met), locks(other, "b", "a", met), return_exceptions=True
        )
        await other.close()
        (loser,) = [result for result in results if result is not None]
        assert isinstance(loser, DatabaseConflictError)
        assert (loser.sqlstate, loser.retryable, loser.error_code) == ("40P01", True, "database_conflict")
        assert await value(database, "select array_agg(n) from t") == [1, 1], "one of them went through, whole"

    adapter.run(body)


def test_a_serialization_failure_can_be_tried_again(adapter: Adapter) -> None:
    async def increment(database: Database, met: asyncio.Barrier) -> None:
        async with database.transaction() as connection:
            await connection.execute("set transaction isolation level repeatable read")
            found = await value(connection, "select n from t")
            await met.wait()
            assert isinstance(found, int)
            await connection.execute("update t set n = $1", found + 1)

    async def body(database: Database) -> None:
        await database.execute("create table t (n int); insert into t values (0)")
        other, met = adapter.open(), asyncio.Barrier(2)
        results = await asyncio.gather(increment(database, met), increment(other, met), return_exceptions=True)
        await other.close()
        (loser,) = [result for result in results if result is not None]
        assert isinstance(loser, DatabaseConflictError)
        assert (loser.sqlstate, await value(database, "select n from t")) == ("40001", 1)

    adapter.run(body)


def test_a_lock_that_does_not_come_in_time_can_be_tried_again(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await database.execute("create table t (n int)")
        other = adapter.open()
        async with other.transaction() as holder:
            await holder.execute("lock table t")
            with pytest.raises(DatabaseConflictError) as caught:
                await database.execute("begin; set local lock_timeout = 1; select * from t")
            assert caught.value.sqlstate == "55P03"
        await other.close()

    adapter.run(body)


def test_a_cancelled_statement_can_be_tried_again(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        other = adapter.open()
        pid = await value(database, "select pg_backend_pid()")
        async with other.transaction() as holder:
            await holder.execute("select pg_advisory_xact_lock(1)")
            task = asyncio.create_task(database.fetch("select pg_advisory_lock(1)"))
            await waiting_for_a_lock(other)
            await holder.execute("select pg_cancel_backend($1)", pid)
            with pytest.raises(DatabaseUnavailableError) as caught:
                await task
        assert (caught.value.sqlstate, await value(database, "select pg_backend_pid()")) == ("57014", pid)
        await other.close()

    adapter.run(body)


@pytest.mark.parametrize("change", [{"password": "wrong"}, {"user": "nobody"}, {"database": "nowhere"}])
def test_a_refused_login_is_final(adapter: Adapter, change: dict[str, str]) -> None:
    async def body(database: Database) -> None:
        address = DatabaseAddress.parse(adapter.url)
        parts = {"user": address.user, "password": address.password, "database": address.database} | change
        other = adapter.open(
            f"postgres://{parts['user']}:{parts['password']}@127.0.0.1:{address.port}/{parts['database']}"
        )
        with pytest.raises(DatabaseRefusedError) as caught:
            await other.fetch("select 1")
        assert str(address.password) not in f"{caught.value} {caught.value!r}"
        assert await value(database, "select 1") == 1

    adapter.run(body)


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        (None, DatabaseUnavailableError),
        ("08006", DatabaseUnavailableError),
        ("53300", DatabaseUnavailableError),
        ("57P01", DatabaseUnavailableError),
        ("57P03", DatabaseUnavailableError),
        ("58030", DatabaseUnavailableError),
        ("25P03", DatabaseUnavailableError),
        ("40001", DatabaseConflictError),
        ("40P01", DatabaseConflictError),
        ("55P03", DatabaseConflictError),
        ("23505", ConstraintError),
        ("25P02", DatabaseRefusedError),
        ("42501", DatabaseRefusedError),
        ("XX000", DatabaseRefusedError),
    ],
)
def test_every_sqlstate_has_its_kind(sqlstate: str | None, kind: type[DatabaseError]) -> None:
    error = database_error("message", sqlstate)
    assert type(error) is kind
    assert isinstance(error, RetryableError) is error.retryable
    assert isinstance(error, RetryableError | NonRetryableError)
    assert isinstance(error, OrchestratorError)
    assert error.details == ({} if sqlstate is None else {"sqlstate": sqlstate})
