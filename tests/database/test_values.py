"""Values go in and come out the same through both adapters."""

from __future__ import annotations

import math
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from orchestrator.ports import Database
from steps.platform.errors import DatabaseRefusedError
from tests.database.support import Adapter, value

NOW = datetime(2026, 11, 24, 1, 2, 3, 456_000)

ROUND_TRIPS: list[tuple[str, object]] = [
    ("text", ""),
    ("text", "plain"),
    ("text", "東京 🚀 'quoted' \"double\" \\ $1 :name %s \n\t"),
    ("text", "NULL"),
    ("varchar", "v"),
    ("int2", -32768),
    ("int4", 2_147_483_647),
    ("int8", -9_223_372_036_854_775_808),
    ("int8", 2**53 + 1),
    ("float8", 0.1),
    ("float8", -1.5e300),
    ("float8", math.inf),
    ("float4", 0.5),
    ("numeric", Decimal("12345678901234567890.0001")),
    ("bool", True),
    ("bool", False),
    ("bytea", b""),
    ("bytea", bytes(range(256))),
    ("timestamp(3)", NOW),
    ("timestamp", datetime(1, 1, 1)),
    ("timestamp", datetime(2026, 1, 1, 0, 0, 0, 1)),
    ("timestamptz", NOW.replace(tzinfo=UTC)),
    ("date", date(2026, 2, 28)),
    ("uuid", uuid.UUID("12345678-1234-5678-1234-567812345678")),
    ("text[]", []),
    ("text[]", ["a", "", "null", "NULL", 'q"u\\o', "com,ma", "{br}", " s ", "é"]),
    ("int4[]", [1, -2, 3]),
    ("int8[]", [2**60]),
    ("float8[]", [0.1, 2.0]),
    ("bool[]", [True, False]),
    ("json", '{"b": 1,  "a": [1, 2]}'),
    ("jsonb", '{"a": [1, 2.50], "b": "é\\""}'),
    ('"DocumentStatus"', "QUEUED_FOR_RESYNC"),
]


@pytest.mark.parametrize(("kind", "given"), ROUND_TRIPS, ids=lambda part: str(part)[:24])
def test_a_value_comes_back_as_it_was_given(adapter: Adapter, kind: str, given: object) -> None:
    async def body(database: Database) -> None:
        found = await value(database, f"select $1::{kind}", given)
        assert found == given
        assert isinstance(found, type(given))

    adapter.run(body)


@pytest.mark.parametrize("kind", ["text", "int4", "float8", "bool", "bytea", "timestamp", "text[]", "jsonb"])
def test_none_is_null(adapter: Adapter, kind: str) -> None:
    async def body(database: Database) -> None:
        assert await value(database, f"select $1::{kind}", None) is None
        assert await value(database, f"select $1::{kind} is null", None) is True

    adapter.run(body)


def test_nan_stays_nan(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        found = await value(database, "select $1::float8", math.nan)
        assert isinstance(found, float)
        assert math.isnan(found)

    adapter.run(body)


def test_a_list_may_hold_none(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        assert await value(database, "select $1::text[]", ["a", None]) == ["a", None]

    adapter.run(body)


def test_aware_times_are_converted_to_utc(adapter: Adapter) -> None:
    given = datetime(2026, 7, 1, 12, 0, tzinfo=timezone(timedelta(hours=5, minutes=30)))

    async def body(database: Database) -> None:
        found = await value(database, "select $1::timestamptz", given)
        assert isinstance(found, datetime)
        assert (found, found.utcoffset()) == (given, timedelta(0))

    adapter.run(body)


def test_an_append_to_a_null_array_makes_one(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        assert await value(database, "select array_append(null::text[], $1)", "run_1") == ["run_1"]

    adapter.run(body)


WRONG: list[tuple[str, object]] = [
    ("text", 1),
    ("text", b"x"),
    ("int4", "1"),
    ("float8", "x"),
    ("bool", "true"),
    ("bytea", "x"),
    ("timestamp", "2026-01-01"),
    ("timestamp", NOW.replace(tzinfo=UTC)),
    ("text[]", "x"),
    ("text[]", [1]),
    ("jsonb", {"a": 1}),
    ("jsonb", "{"),
    ("int4", 2**31),
    ('"DocumentStatus"', "NO_SUCH_STATUS"),
    ("text", "\0"),
    ("text", "\ud800"),
]


@pytest.mark.parametrize(("kind", "given"), WRONG, ids=lambda part: ascii(part)[:24])
def test_a_value_of_the_wrong_type_is_refused_for_good(adapter: Adapter, kind: str, given: object) -> None:
    async def body(database: Database) -> None:
        with pytest.raises(DatabaseRefusedError):
            await database.fetch(f"select $1::{kind}", given)  # pyright: ignore[reportArgumentType]
        assert await value(database, "select 1") == 1, "the connection is still good"

    adapter.run(body)


@pytest.mark.parametrize("args", [(), ("a",), ("a", "b", "c")])
def test_the_number_of_values_must_fit(adapter: Adapter, args: tuple[object, ...]) -> None:
    async def body(database: Database) -> None:
        with pytest.raises(DatabaseRefusedError):
            await database.fetch("select $1::text, $2::text", *args)

    adapter.run(body)


def test_dollars_that_are_no_parameters_are_left_alone(adapter: Adapter) -> None:
    query = """
        select '$2' as a, "$3" as b, $$ $4 'x' $$ as c, $tag$ $$ $5 $tag$ as d, $1::int::text as e, e'\\'$6' as f
        -- $7 it's a comment
        /* $8 /* nested */ " */
        from (select 'col' as "$3") as t
    """

    async def body(database: Database) -> None:
        row = await database.fetchrow(query, 7)
        assert row is not None
        assert [row[name] for name in "abcdef"] == ["$2", "col", " $4 'x' ", " $$ $5 ", "7", "'$6"]

    adapter.run(body)


def test_a_parameter_may_be_used_twice_and_out_of_order(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        assert await value(database, "select $2::text || $1 || $2 || $10 || $3 || $4 || $5 || $6 || $7 || $8 || $9",
                           *"abcdefghij") == "babjcdefghi"  # fmt: skip

    adapter.run(body)


def test_rows_are_read_by_name_and_position(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        rows = await database.fetch('select n, n * 2 as "twiceN" from generate_series(1, 3) n order by n')
        assert [(row["n"], row[1]) for row in rows] == [(1, 2), (2, 4), (3, 6)]
        assert list(rows[0].keys()) == ["n", "twiceN"]
        with pytest.raises(KeyError):
            rows[0]["twicen"]
        with pytest.raises(IndexError):
            rows[0][2]

    adapter.run(body)


def test_no_rows(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        assert await database.fetch("select 1 where false") == []
        assert await database.fetchrow("select 1 where false") is None

    adapter.run(body)


def test_execute_answers_with_the_command_tag(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        assert await database.execute("create table t (a int); create index on t (a)") == "CREATE INDEX"
        assert await database.execute("insert into t select generate_series(1, $1::int)", 5) == "INSERT 0 5"
        assert await database.execute("update t set a = a + 1 where a > 3") == "UPDATE 2"
        assert await database.execute("delete from t where a > $1", 100) == "DELETE 0"
        row = await database.fetchrow("update t set a = 0 returning a")
        assert row is not None
        assert await value(database, "select sum(a) from t") == 0, "fetchrow runs the statement for every row"

    adapter.run(body)


def test_a_column_may_change_its_type_between_two_uses(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await database.execute("create table t (a int)")
        await database.execute("insert into t values ($1)", 1)
        await database.execute("alter table t alter a type text")
        await database.execute("insert into t values ($1)", "two")
        assert await value(database, "select count(*) from t where a = 'two'") == 1

    adapter.run(body)


def test_megabytes_go_both_ways(adapter: Adapter) -> None:
    text = "é" * 2_000_000

    async def body(database: Database) -> None:
        row = await database.fetchrow("select $1::text as text, octet_length($1) as bytes", text)
        assert row is not None
        assert (row["text"], row["bytes"]) == (text, 4_000_000)

    adapter.run(body)


def test_many_rows_in_one_json_parameter(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        await database.execute("create table t (id text primary key, n int, tags text[])")
        tag = await database.execute(
            "insert into t select id, n, tags from json_to_recordset($1::json) as r(id text, n int, tags text[])",
            '[{"id":"a","n":1,"tags":["x","y"]},{"id":"b","n":null,"tags":null}]',
        )
        assert tag == "INSERT 0 2"
        assert [
            list(map(row.__getitem__, range(3))) for row in await database.fetch("select * from t order by id")
        ] == [
            ["a", 1, ["x", "y"]],
            ["b", None, None],
        ]

    adapter.run(body)
