"""What the SQL of an object must do, on every platform (platform.md §1.1, §1.2). Runs on CPython and inside workerd."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import LiteralString, cast

from orchestrator.errors import StorageValueError
from orchestrator.ports import Sql, SqlRow, SqlValue


def run(sql: Sql, query: str, *params: SqlValue) -> list[SqlRow]:
    return sql.execute(cast("LiteralString", query), *params)


def refused(sql: Sql, query: str, *params: SqlValue) -> type[Exception] | None:
    """Return what a statement is refused with, or None when it is not."""
    try:
        run(sql, query, *params)
    except Exception as error:
        return type(error)
    return None


def cost(sql: Sql, query: str, *params: SqlValue) -> int:
    """Return how many rows a statement writes."""
    before = sql.rows_written
    run(sql, query, *params)
    return sql.rows_written - before


def a_columns_type_decides_what_numbers_become(sql: Sql) -> None:
    run(sql, "create table v (i integer, t text, r real, b blob, n numeric)")
    types = "select typeof(i), typeof(t), typeof(r), typeof(b), typeof(n) from v"
    for given, kinds in (
        (5, ("integer", "text", "real", "real", "integer")),
        (5.5, ("real", "text", "real", "real", "real")),
        ("5", ("integer", "text", "real", "text", "integer")),
        ("x", ("text", "text", "text", "text", "text")),
        (b"5", ("blob", "blob", "blob", "blob", "blob")),
    ):
        run(sql, "delete from v")
        run(sql, "insert into v values (?, ?, ?, ?, ?)", *[given] * 5)
        assert run(sql, types) == [kinds], given
    run(sql, "delete from v")
    run(sql, "insert into v (t) values (?)", 5)
    assert run(sql, "select t from v") == [("5.0",)]


def numbers_cross_as_doubles(sql: Sql) -> None:
    run(sql, "create table v (i integer, r real)")
    for given in (0, 5, -1, 2**31, 2**53 - 1, -(2**53) + 1, 1_795_740_000_000):
        run(sql, "insert into v (i) values (?)", given)
        [(found,)] = run(sql, "select i from v")
        assert (type(found), found) == (int, given)
        run(sql, "delete from v")
    for given, back in ((5.0, 5), (-0.0, 0), (1e15, 10**15), (2.5, 2.5), (1e300, 1e300), (math.inf, math.inf)):
        run(sql, "insert into v (r) values (?)", given)
        [(found,)] = run(sql, "select r from v")
        assert (type(found), found) == (type(back), back), given
        run(sql, "delete from v")
    assert run(sql, "select typeof(?)", math.nan) == [("null",)]
    [(large,)] = run(sql, "select 9007199254740993")
    assert (type(large), large) == (float, 2.0**53)


def bytes_and_text_stay_what_they_are(sql: Sql) -> None:
    run(sql, "create table v (x)")
    for given in (b"", b"\x00\xff", "", "é😀", "a\x00b", "5", None):
        run(sql, "insert into v values (?)", given)
        [(found,)] = run(sql, "select x from v")
        assert (type(found), found) == (type(given), given)
        run(sql, "delete from v")
    assert run(sql, "select typeof(?), length(?)", b"", b"") == [("blob", 0)]


def what_would_be_changed_is_refused(sql: Sql) -> None:
    for given in (
        True,
        False,
        2**53,
        -(2**53),
        2**70,
        "half \ud800",
        "x" * 1_900_001,
        "é" * 1_000_000,
        bytes(1_900_001),
    ):
        assert refused(sql, "select ?", given) is StorageValueError, repr(given)[:20]
    assert refused(sql, "select length(?)", "é" * 950_000) is None


def rows_and_statements_have_bounds(sql: Sql) -> None:
    run(sql, "create table v (x, y)")
    assert refused(sql, "insert into v values (?, ?)", bytes(1_000_000), "x" * 1_000_001) is StorageValueError
    assert refused(sql, "insert into v values (?, ?)", bytes(1_000_000), "x" * 1_000_000) is None
    bounds: list[tuple[int, Callable[[int], str]]] = [
        (100, lambda size: f"create table c{size} ({', '.join(f'c{number}' for number in range(size))})"),
        (100, lambda size: f"select {', '.join('1' * size)}"),
        (100_000, lambda size: f"select 1 /*{'x' * (size - 13)}*/"),
        (5, lambda size: " union all ".join(["select 1"] * size)),
        (50, lambda size: f"select 'x' like '{'x' * size}'"),
    ]
    for most, query in bounds:
        assert refused(sql, query(most)) is None, query(1)
        assert refused(sql, query(most + 1)) is not None, query(1)
    assert refused(sql, f"select {', '.join('?' * 100)}", *range(100)) is None
    assert refused(sql, f"select {', '.join('?' * 101)}", *range(101)) is StorageValueError
    assert len(run(sql, f"select * from (values {', '.join(['(1)'] * 200)})")) == 200
    for query, params in (("select ?, ?", [1]), ("select ?", [1, 2]), ("", []), ("select nothing from v", [])):
        assert refused(sql, query, *params) is not None, query


def the_platforms_own_business_is_refused(sql: Sql) -> None:
    run(sql, "create table v (x)")
    for query in (
        *("begin", "begin immediate", "commit", "end", "rollback", "savepoint a", "release a"),
        *("attach ':memory:' as other", "vacuum", "pragma user_version", "pragma journal_mode"),
    ):
        assert refused(sql, query) is not None, query
        assert refused(sql, "insert into v values (1)") is None, query
    assert run(sql, "pragma table_info(v)")[0][1] == "x"
    assert run(sql, "select count(*) from v") == [(11,)]


def a_broken_constraint_refuses_one_statement(sql: Sql) -> None:
    run(sql, "create table v (x integer primary key, y integer check (y > 0))")
    run(sql, "create table w (x integer references v (x))")
    run(sql, "insert into v values (1, 1)")
    for query in ("insert into v values (1, 1)", "insert into v values (2, 0)", "insert into w values (9)"):
        assert refused(sql, query) is not None, query
    assert refused(sql, "insert into v values (3, 3), (4, 4), (1, 1)") is not None
    run(sql, "insert into v values (5, 5)")
    assert run(sql, "select x from v order by x") == [(1,), (5,)]


def reads_see_the_writes_before_them(sql: Sql) -> None:
    run(sql, "create table v (x integer primary key, y integer)")
    assert run(sql, "insert into v values (1, 1), (2, 2) returning x") == [(1,), (2,)]
    assert run(sql, "update v set y = 7 where x = 2 returning y") == [(7,)]
    assert run(sql, "select y from v order by x") == [(1,), (7,)]
    assert run(sql, "delete from v returning x") == [(1,), (2,)]
    assert sql.size_bytes > 0


def rows_are_counted_as_they_are_billed(sql: Sql) -> None:
    assert cost(sql, "create table rowid (a integer primary key, b text, c text)") == 2
    assert cost(sql, "create table named (a text primary key, b text, c text)") == 3
    assert cost(sql, "create table lean (a text primary key, b text, c text) without rowid") == 2
    assert cost(sql, "create table indexed (a integer primary key, b text, c text)") == 2
    assert cost(sql, "create index by_b on indexed (b)") == 1
    assert cost(sql, "create index by_c on indexed (c) where c is not null") == 1
    assert cost(sql, "create table if not exists rowid (z)") == 0
    costs = {
        table: [
            cost(sql, f"insert into {table} (a, b) values (1, 'x')"),
            cost(sql, f"insert or ignore into {table} (a, b) values (1, 'x')"),
            cost(sql, f"insert or replace into {table} (a, b) values (1, 'x')"),
            cost(sql, f"insert into {table} (a, b) values (1, 'y') on conflict (a) do update set b = excluded.b"),
            cost(sql, f"insert into {table} (a, b) values (2, 'y') on conflict (a) do update set b = excluded.b"),
            cost(sql, f"update {table} set b = 'z'"),
            cost(sql, f"update {table} set c = 'z' where a = 1"),
            cost(sql, f"update {table} set c = null where a = 1"),
            cost(sql, f"update {table} set b = 'z' where a = 77"),
            cost(sql, f"delete from {table} where a = 1"),
            cost(sql, f"delete from {table}"),
            cost(sql, f"select count(*) from {table}"),
        ]
        for table in ("rowid", "named", "lean", "indexed")
    }
    assert costs == {
        "rowid": [1, 0, 1, 1, 1, 2, 1, 1, 0, 1, 1, 0],
        "named": [2, 0, 2, 1, 2, 2, 1, 1, 0, 1, 1, 0],
        "lean": [1, 0, 1, 1, 1, 2, 1, 1, 0, 1, 1, 0],
        "indexed": [2, 0, 2, 2, 2, 4, 2, 1, 0, 1, 1, 0],
    }, costs
    assert cost(sql, "insert into rowid (b) values ('1'), ('2'), ('3')") == 3
    before = sql.rows_read
    run(sql, "select * from rowid")
    assert sql.rows_read - before == 3


SQL_SCENARIOS: dict[str, Callable[[Sql], None]] = {
    scenario.__name__: scenario
    for scenario in (
        a_columns_type_decides_what_numbers_become,
        numbers_cross_as_doubles,
        bytes_and_text_stay_what_they_are,
        what_would_be_changed_is_refused,
        rows_and_statements_have_bounds,
        the_platforms_own_business_is_refused,
        a_broken_constraint_refuses_one_statement,
        reads_see_the_writes_before_them,
        rows_are_counted_as_they_are_billed,
    )
}
