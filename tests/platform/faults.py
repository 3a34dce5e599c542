"""A ``Database`` that stops the job's object before or after its k-th operation."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import LiteralString, TypeVar

from orchestrator.ports import Connection, Database, Record
from orchestrator.testing import Crash

T = TypeVar("T")


class CrashingDatabase:
    """Implements :class:`orchestrator.ports.Database` over another one.

    A commit counts as an operation: crashing before it rolls back, crashing after it loses only the answer.

    Args:
        inner: does the work.
        before: operation, 1-based, that is never made; 0 for none.
        after: operation whose answer is never seen; 0 for none.
    """

    def __init__(self, inner: Database, before: int, after: int) -> None:
        #: Does the work; a test may put something in front of it.
        self.inner = inner
        self._before = before
        self._after = after
        self.operations = 0
        #: Called before each operation, with its number: what others do at that very moment.
        self.meanwhile: Callable[[int], Awaitable[None]] | None = None

    async def fetch(self, query: LiteralString, *args: object) -> list[Record]:
        return await self.run(lambda: self.inner.fetch(query, *args))

    async def fetchrow(self, query: LiteralString, *args: object) -> Record | None:
        return await self.run(lambda: self.inner.fetchrow(query, *args))

    async def execute(self, query: LiteralString, *args: object) -> str:
        return await self.run(lambda: self.inner.execute(query, *args))

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Connection]:
        async with self.inner.transaction() as connection:
            yield _CrashingConnection(self, connection)
            number = await self.begin()
        self.end(number)

    async def close(self) -> None:
        await self.inner.close()

    async def run(self, operation: Callable[[], Awaitable[T]]) -> T:
        number = await self.begin()
        result = await operation()
        self.end(number)
        return result

    async def begin(self) -> int:
        self.operations += 1
        if self.meanwhile is not None:
            await self.meanwhile(self.operations)
        if self.operations == self._before:
            raise Crash
        return self.operations

    def end(self, number: int) -> None:
        if number == self._after:
            raise Crash


class _CrashingConnection:
    def __init__(self, owner: CrashingDatabase, inner: Connection) -> None:
        self._owner = owner
        self._inner = inner

    async def fetch(self, query: LiteralString, *args: object) -> list[Record]:
        return await self._owner.run(lambda: self._inner.fetch(query, *args))

    async def fetchrow(self, query: LiteralString, *args: object) -> Record | None:
        return await self._owner.run(lambda: self._inner.fetchrow(query, *args))

    async def execute(self, query: LiteralString, *args: object) -> str:
        return await self._owner.run(lambda: self._inner.execute(query, *args))
