"""A database in memory for ``job.transaction``: SQLite that speaks enough of Postgres for tests of workflows."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import LiteralString, cast

from orchestrator.ports import Connection, Record

#: What happens between a statement and the database: it may take time, and may raise.
Hook = Callable[[str], Awaitable[None]]


async def _calm(what: str) -> None:
    """Let nothing happen."""


def _split_part(text: str, mark: str, part: int) -> str:
    """Postgres' function of this name."""
    parts = text.split(mark)
    return parts[part - 1] if part <= len(parts) else ""


class MemoryDatabase:
    """The server: its tables outlive every connection, and transactions follow each other.

    Args:
        *schema: statements that make the tables; ``wf.effect`` is there.
    """

    def __init__(self, *schema: LiteralString) -> None:
        self.db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self.db.row_factory = sqlite3.Row
        self.db.create_function("split_part", 3, _split_part)
        self.db.execute("attach ':memory:' as wf")
        self.db.execute("create table wf.effect (key text primary key, result blob, applied_at text)")
        for statement in schema:
            self.db.execute(statement)
        self.turn = asyncio.Lock()

    def connect(self, hook: Hook = _calm) -> MemorySession:
        """Open a session.

        Args:
            hook: awaited around every statement with ``statement``, ``commit`` or ``committed``.
        """
        return MemorySession(self, hook)

    def effects(self) -> list[str]:
        """Return the keys of the effects that were applied."""
        return [str(row[0]) for row in self.db.execute("select key from wf.effect order by key")]


class MemorySession:
    """One connection, implementing :class:`orchestrator.ports.Database`."""

    def __init__(self, server: MemoryDatabase, hook: Hook) -> None:
        self._server = server
        self._hook = hook
        self._within = False

    async def fetch(self, query: LiteralString, *args: object) -> list[Record]:
        """See :class:`orchestrator.ports.Connection`."""
        return cast("list[Record]", (await self._run(query, args)).fetchall())

    async def fetchrow(self, query: LiteralString, *args: object) -> Record | None:
        """See :class:`orchestrator.ports.Connection`."""
        rows = await self.fetch(query, *args)
        return rows[0] if rows else None

    async def execute(self, query: LiteralString, *args: object) -> str:
        """See :class:`orchestrator.ports.Connection`."""
        cursor = await self._run(query, args)
        cursor.fetchall()
        return f"{query.split(maxsplit=1)[0].upper()} {max(cursor.rowcount, 0)}"

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """See :class:`orchestrator.ports.Database`."""
        return self._transaction()

    async def close(self) -> None:
        """See :class:`orchestrator.ports.Database`."""

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[Connection]:
        async with self._server.turn:
            self._server.db.execute("begin")
            self._within = True
            try:
                yield self
                await self._hook("commit")
            except BaseException:
                self._server.db.execute("rollback")
                raise
            else:
                self._server.db.execute("commit")
            finally:
                self._within = False
        await self._hook("committed")

    async def _run(self, query: LiteralString, args: tuple[object, ...]) -> sqlite3.Cursor:
        await self._hook("statement")
        params = {str(number): value for number, value in enumerate(args, 1)}
        if self._within:
            return self._server.db.execute(query, params)
        async with self._server.turn:
            return self._server.db.execute(query, params)
