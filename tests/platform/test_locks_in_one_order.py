"""Transactions lock rows in one order: document, ingest job, namespace, webhook, organization (W-20).

Two transactions that lock in one order cannot wait for each other. What each locks is read off its statements.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import LiteralString

import pytest

import steps
from orchestrator.ports import Connection, Database, Record
from orchestrator.workflow import discover
from tests.platform import scene
from tests.platform.examples import example_of
from tests.platform.stage import Play, Stage

ORDER = ("document", "ingest_job", "namespace", '"Webhook"', "organization")
_TABLE = r'(?:public\.)?("?\w+"?)'
#: What takes locks that others wait for: writes, and selects that say so. References are checked with locks that only
#: deletes and changes of keys wait for.
_WRITE = re.compile(rf"\b(?:update|delete from)\s+{_TABLE}(?!\w)", re.IGNORECASE)
_SELECT = re.compile(
    rf"\bselect\b(?:(?!\bselect\b).)*?\bfrom\s+{_TABLE}(?:(?!\bselect\b).)*?\bfor\s+(?:no\s+key\s+update|update|share)\b",
    re.IGNORECASE | re.DOTALL,
)


def locked(statement: str) -> list[str]:
    """Return the tables of the order that a statement locks rows of, in the order of the statement."""
    found = [*_WRITE.finditer(statement), *_SELECT.finditer(statement)]
    found.sort(key=lambda match: match.start())
    return [match[1] for match in found if match[1] in ORDER]


class Watched:
    """A ``Database`` that notes what each transaction locks; a statement alone is a transaction, too."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner
        self.transactions: list[list[str]] = []

    async def fetch(self, query: LiteralString, *args: object) -> list[Record]:
        self.transactions.append(locked(query))
        return await self._inner.fetch(query, *args)

    async def fetchrow(self, query: LiteralString, *args: object) -> Record | None:
        self.transactions.append(locked(query))
        return await self._inner.fetchrow(query, *args)

    async def execute(self, query: LiteralString, *args: object) -> str:
        self.transactions.append(locked(query))
        return await self._inner.execute(query, *args)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Connection]:
        async with self._inner.transaction() as connection:
            noted: list[str] = []
            self.transactions.append(noted)
            yield _Watched(connection, noted)

    async def close(self) -> None:
        await self._inner.close()


class _Watched:
    def __init__(self, inner: Connection, noted: list[str]) -> None:
        self._inner = inner
        self._noted = noted

    async def fetch(self, query: LiteralString, *args: object) -> list[Record]:
        self._noted += locked(query)
        return await self._inner.fetch(query, *args)

    async def fetchrow(self, query: LiteralString, *args: object) -> Record | None:
        self._noted += locked(query)
        return await self._inner.fetchrow(query, *args)

    async def execute(self, query: LiteralString, *args: object) -> str:
        self._noted += locked(query)
        return await self._inner.execute(query, *args)


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ("update document set x = 1 where id = $1", ["document"]),
        ("with n as (update namespace set x = 1 returning y) update organization set x = 2", ORDER[2:5:2]),
        ('delete from "Webhook" where id = $1', ['"Webhook"']),
        ("select 1 from ingest_job j join namespace n on true where id = $1 for update of j", ["ingest_job"]),
        ("select 1 from organization where id = $1 for no key update", ["organization"]),
        ("select 1 from namespace where id = $1 for key share", []),
        ("select 1 from document", []),
        ("update wf.effect set result = $1", []),
    ],
)
def test_what_a_statement_locks(statement: str, tables: list[str]) -> None:
    assert locked(statement) == list(tables)


def test_every_workflow_locks_in_one_order(stage: Stage) -> None:
    seen: set[tuple[str, ...]] = set()
    for workflow in discover(steps):
        watched: list[Watched] = []

        async def watch(play: Play, watched: list[Watched] = watched) -> None:
            play.database.inner = found = Watched(play.database.inner)
            watched.append(found)
            await play.admin.execute('update "Webhook" set "consecutiveFailures" = 19 where id = $1', scene.EVERYWHERE)

        stage.run(workflow.name, example_of(workflow), prepare=watch)
        for tables in watched[0].transactions:
            order = tuple(dict.fromkeys(tables))
            assert list(order) == sorted(order, key=ORDER.index), workflow.name
            seen.add(order)
    assert ("document", "namespace", "organization") in seen
    assert ("ingest_job", "namespace", "organization") in seen
    assert ("namespace", '"Webhook"', "organization") in seen
