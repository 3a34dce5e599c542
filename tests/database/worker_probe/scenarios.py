"""What the pg8000 adapter must do inside workerd, where sockets, tasks and cancellation are Pyodide's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime

from orchestrator.ports import Database
from steps.platform.errors import ConstraintError, DatabaseUnavailableError

Open = Callable[[], Database]
TYPES = (
    "select $1::text a, $2::int8 b, $3::float8 c, $4::bool d, $5::timestamp e, $6::bytea f, $7::text[] g, $8::jsonb h"
)


async def first(database: Database, query: str, *args: object) -> object:
    row = await database.fetchrow(query, *args)  # pyright: ignore[reportArgumentType] - tests build queries
    assert row is not None
    return row[0]


async def lock_waits(observer: Database, *, some: bool) -> None:
    """Return once a session waits for a lock, or none does."""
    waiting = "select count(*) > 0 from pg_locks where not granted"
    while await first(observer, waiting) is not some:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0)


async def values_round_trip(connect: Open) -> None:
    database = connect()
    given = [
        "é'$1",
        2**53 + 1,
        0.1,
        True,
        datetime(2026, 1, 2, 3, 4, 5, 6000),
        bytes(256),
        ["a", "null", '"'],
        '{"a": 1}',
    ]
    row = await database.fetchrow(TYPES, *given)
    assert row is not None
    assert [row[name] for name in "abcdefgh"] == given
    await database.close()


async def jobs_overlap(connect: Open) -> None:
    """Each waits for a lock that only the next one, on its own connection, can let go: serial I/O would hang."""
    holder, waiter, observer = connect(), connect(), connect()
    async with holder.transaction() as connection:
        await connection.execute("select pg_advisory_xact_lock(77)")
        waiting = asyncio.create_task(waiter.execute("select pg_advisory_xact_lock(77)"))
        await lock_waits(observer, some=True)
    assert await waiting == "SELECT 1"
    for database in (holder, waiter, observer):
        await database.close()


async def tasks_share_a_connection(connect: Open) -> None:
    database = connect()

    async def work(number: int) -> None:
        for turn in range(10):
            text = f"{number}-{turn}"
            async with database.transaction() as connection:
                row = await connection.fetchrow("select $1::text", text)
                await asyncio.sleep(0)
                assert row is not None
                assert row[0] == text
            assert await first(database, "select $1::text", text) == text

    await asyncio.gather(*(work(number) for number in range(8)))
    await database.close()


async def a_cancelled_statement_is_forgotten(connect: Open) -> None:
    database, holder = connect(), connect()
    async with holder.transaction() as connection:
        await connection.execute("select pg_advisory_xact_lock(78)")
        for _ in range(2):
            task = asyncio.create_task(first(database, "select 'late' from pg_advisory_xact_lock(78)"))
            await lock_waits(holder, some=True)
            task.cancel()
            assert (await asyncio.gather(task, return_exceptions=True))[0].__class__ is asyncio.CancelledError
            assert await first(database, "select 'fresh'") == "fresh"
            await lock_waits(holder, some=False)  # the server notices that its client has gone
    await database.close()
    await holder.close()


async def a_lost_connection_is_replaced(connect: Open) -> None:
    database, killer = connect(), connect()
    pid = await first(database, "select pg_backend_pid()")
    assert await first(killer, "select pg_terminate_backend($1, 10000)", pid) is True
    try:
        await database.fetch("select 1")
        raise AssertionError("a dead connection answered")
    except DatabaseUnavailableError:
        assert await first(database, "select 2") == 2
    await database.close()
    await killer.close()


async def a_failed_transaction_is_rolled_back(connect: Open) -> None:
    database = connect()
    constraint = None
    try:
        async with database.transaction() as connection:
            await connection.execute("insert into wf.effect (key) values ('probe')")
            await connection.execute("insert into wf.effect (key) values ('probe')")
    except ConstraintError as error:
        constraint = error.constraint
    assert constraint == "effect_pkey"
    assert await first(database, "select count(*) from wf.effect where key = 'probe'") == 0
    await database.close()


async def megabytes_go_both_ways(connect: Open) -> None:
    database = connect()
    rows = json.dumps([{"id": str(number), "body": "é" * 100} for number in range(20_000)], ensure_ascii=False)
    found = await first(database, "select count(*) from json_to_recordset($1::json) as r(id text, body text)", rows)
    assert found == 20_000
    assert await first(database, "select repeat('é', 500000)") == "é" * 500_000
    await database.close()


SCENARIOS: dict[str, Callable[[Open], Awaitable[None]]] = {
    scenario.__name__: scenario
    for scenario in (
        values_round_trip,
        jobs_overlap,
        tasks_share_a_connection,
        a_cancelled_statement_is_forgotten,
        a_lost_connection_is_replaced,
        a_failed_transaction_is_rolled_back,
        megabytes_go_both_ways,
    )
}
