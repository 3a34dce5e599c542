"""A database in memory for ``job.transaction``: SQLite that speaks enough of Postgres for tests of workflows."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from typing import LiteralString, cast

from orchestrator.errors import NonRetryableError
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


class _Transaction:
    """A transaction, and who is in it: what its block runs, and the tasks that the block starts."""

    def __init__(self, session: MemorySession) -> None:
        self.session = session
        self.is_open = True
        #: A statement failed: as in Postgres, nothing goes on until the end of the transaction or savepoint.
        self.has_failed = False


_current: ContextVar[_Transaction | None] = ContextVar("memory_transaction", default=None)


class _Inside:
    """The connection inside of one transaction, which takes no statements when that is over."""

    def __init__(self, transaction: _Transaction) -> None:
        self._transaction = transaction

    async def fetch(self, query: LiteralString, *args: object) -> list[Record]:
        """See :class:`orchestrator.ports.Connection`."""
        return cast("list[Record]", (await self._run(query, args)).fetchall())

    async def fetchrow(self, query: LiteralString, *args: object) -> Record | None:
        """See :class:`orchestrator.ports.Connection`."""
        rows = await self.fetch(query, *args)
        return rows[0] if rows else None

    async def execute(self, query: LiteralString, *args: object) -> str:
        """See :class:`orchestrator.ports.Connection`."""
        return _tag(query, await self._run(query, args))

    async def _run(self, query: str, args: tuple[object, ...]) -> sqlite3.Cursor:
        if not self._transaction.is_open:
            raise _refused("The transaction is over.")
        return await self._transaction.session.run(query, args, self._transaction)


class MemorySession:
    """One connection, implementing :class:`orchestrator.ports.Database`."""

    def __init__(self, server: MemoryDatabase, hook: Hook) -> None:
        self._server = server
        self._hook = hook

    async def fetch(self, query: LiteralString, *args: object) -> list[Record]:
        """See :class:`orchestrator.ports.Connection`."""
        return cast("list[Record]", (await self.run(query, args, self._enclosing())).fetchall())

    async def fetchrow(self, query: LiteralString, *args: object) -> Record | None:
        """See :class:`orchestrator.ports.Connection`."""
        rows = await self.fetch(query, *args)
        return rows[0] if rows else None

    async def execute(self, query: LiteralString, *args: object) -> str:
        """See :class:`orchestrator.ports.Connection`."""
        return _tag(query, await self.run(query, args, self._enclosing()))

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """See :class:`orchestrator.ports.Database`."""
        enclosing = self._enclosing()
        return self._transaction() if enclosing is None else self._savepoint(enclosing)

    async def close(self) -> None:
        """See :class:`orchestrator.ports.Database`."""

    async def run(self, query: str, args: tuple[object, ...], within: _Transaction | None) -> sqlite3.Cursor:
        """Run a statement, in a transaction or by itself."""
        await self._hook("statement")
        params = {str(number): value for number, value in enumerate(args, 1)}
        if within is None:
            async with self._server.turn:
                return self._execute(query, params)
        if within.has_failed:
            raise _refused("An earlier statement of the transaction has failed.")
        within.has_failed = True
        cursor = self._execute(query, params)
        within.has_failed = False
        return cursor

    def _execute(self, query: str, params: dict[str, object]) -> sqlite3.Cursor:
        try:
            return self._server.db.execute(query, params)
        except sqlite3.IntegrityError as error:
            raise NonRetryableError(str(error), code="database_constraint") from error
        except sqlite3.Error as error:
            raise _refused(str(error)) from error

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[Connection]:
        transaction = _Transaction(self)
        async with self._server.turn:
            self._server.db.execute("begin")
            token = _current.set(transaction)
            try:
                yield _Inside(transaction)
                if transaction.has_failed:
                    raise _refused("The transaction was rolled back: an earlier statement in it had failed.")
                await self._hook("commit")
            except BaseException:
                self._server.db.execute("rollback")
                raise
            else:
                self._server.db.execute("commit")
            finally:
                transaction.is_open = False
                _current.reset(token)
        await self._hook("committed")

    @asynccontextmanager
    async def _savepoint(self, transaction: _Transaction) -> AsyncGenerator[Connection]:
        self._server.db.execute("savepoint inner")
        try:
            yield _Inside(transaction)
            if transaction.has_failed:
                raise _refused("An earlier statement of the transaction has failed.")
        except BaseException:
            self._server.db.execute("rollback to inner")
            transaction.has_failed = False
            raise
        finally:
            self._server.db.execute("release inner")

    def _enclosing(self) -> _Transaction | None:
        transaction = _current.get()
        return transaction if transaction is not None and transaction.is_open and transaction.session is self else None


def _tag(query: str, cursor: sqlite3.Cursor) -> str:
    rows = len(cursor.fetchall())
    word = query.split(maxsplit=1)[0].upper()
    count = rows if word == "SELECT" else max(cursor.rowcount, 0)
    return f"INSERT 0 {count}" if word == "INSERT" else f"{word} {count}"


def _refused(why: str) -> NonRetryableError:
    return NonRetryableError(why, code="database_refused")
