"""One Postgres connection behind the ``Database`` port: lazy connect, strict turns, transactions, safe loss.

:class:`SessionDatabase` holds the rules both adapters share and talks to the server through a :class:`Driver`:

- Operations never overlap: one connection, one lock.
- A transaction keeps the connection to itself. Code inside its block, and the tasks that code starts, use it; everybody
  else waits. Opening a transaction inside one makes a savepoint.
- A connection whose exchange was interrupted (cancelled, timed out, lost) is thrown away, never used half-read. Its
  transaction is gone with it, so later statements of that block fail instead of running outside of any transaction.
- ``COMMIT`` of a transaction that an error had already aborted raises: the server answers such a commit with ROLLBACK.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import LiteralString, Protocol, TypeVar

from orchestrator.ports import Connection, Record
from steps.platform.errors import DatabaseError, DatabaseRefusedError, DatabaseUnavailableError

_Result = TypeVar("_Result")


class Driver(Protocol):
    """An open connection of some client library. Raises only :class:`DatabaseError` for what the server reports."""

    @property
    def usable(self) -> bool:
        """Whether the connection is in step with the server."""
        ...

    async def fetch(self, query: str, args: Sequence[object], *, limit: int) -> list[Record]:
        """Return the rows, at most ``limit`` of them (0 means all)."""
        ...

    async def execute(self, query: str, args: Sequence[object]) -> str:
        """Return the command tag."""
        ...

    async def close(self) -> None:
        """Say goodbye and close."""
        ...

    def abandon(self) -> None:
        """Close at once, whatever is going on."""
        ...


class _Transaction:
    """The outermost open transaction of a database."""

    def __init__(self, database: SessionDatabase) -> None:
        self.database = database
        self.depth = 1
        self.driver: Driver | None = None
        self.open = True


#: The transaction whose block the running task is in; tasks inherit it from the task that starts them.
_current: ContextVar[_Transaction | None] = ContextVar("database_transaction", default=None)


class _TransactionConnection:
    """What ``async with database.transaction()`` yields."""

    def __init__(self, transaction: _Transaction) -> None:
        self._transaction = transaction

    async def fetch(self, query: LiteralString, *args: object) -> list[Record]:
        """Return every row."""
        return await _in_transaction(self._transaction, lambda driver: driver.fetch(query, args, limit=0))

    async def fetchrow(self, query: LiteralString, *args: object) -> Record | None:
        """Return the first row, or None."""
        rows = await _in_transaction(self._transaction, lambda driver: driver.fetch(query, args, limit=1))
        return rows[0] if rows else None

    async def execute(self, query: LiteralString, *args: object) -> str:
        """Run a statement; return the command tag."""
        return await _in_transaction(self._transaction, lambda driver: driver.execute(query, args))


class SessionDatabase:
    """The ``Database`` port over one connection at a time.

    Args:
        connect: opens a connection; called on first use and after a loss.

    Raises:
        DatabaseError: from every operation; :class:`DatabaseUnavailableError` when the connection is lost.
    """

    def __init__(self, connect: Callable[[], Awaitable[Driver]]) -> None:
        self._connect = connect
        self._driver: Driver | None = None
        self._turn = asyncio.Lock()  # one exchange with the server
        self._gate = asyncio.Lock()  # one transaction, or one statement outside of any

    async def fetch(self, query: LiteralString, *args: object) -> list[Record]:
        """Return every row."""
        return await self._run(lambda driver: driver.fetch(query, args, limit=0))

    async def fetchrow(self, query: LiteralString, *args: object) -> Record | None:
        """Return the first row, or None."""
        rows = await self._run(lambda driver: driver.fetch(query, args, limit=1))
        return rows[0] if rows else None

    async def execute(self, query: LiteralString, *args: object) -> str:
        """Run a statement, or without ``args`` several; return the last command tag."""
        return await self._run(lambda driver: driver.execute(query, args))

    async def close(self) -> None:
        """Close the connection, if one was opened. Whatever is under way fails; the next use opens another."""
        driver, self._driver = self._driver, None
        busy = self._turn.locked()
        # Somebody who never ends, such as a step that ignores its cancellation, must not hold up the next use.
        self._turn, self._gate = asyncio.Lock(), asyncio.Lock()
        if driver is None:
            return
        if busy:
            driver.abandon()
        else:
            await driver.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Connection]:
        """Open a transaction, or inside one a savepoint; commits at the end of the block, rolls back when it raises.

        Raises:
            DatabaseUnavailableError: also when the connection is lost while committing; the outcome is then unknown.
            DatabaseRefusedError: the block swallowed an error that had aborted the transaction.
        """
        enclosing = self._enclosing()
        if enclosing is not None:
            async with self._savepoint(enclosing) as connection:
                yield connection
            return
        async with self._alone():
            transaction = _Transaction(self)
            token = _current.set(transaction)
            try:
                async with self._begun(transaction) as connection:
                    yield connection
            finally:
                transaction.open = False
                _current.reset(token)

    @asynccontextmanager
    async def _begun(self, transaction: _Transaction) -> AsyncGenerator[Connection]:
        async with self._turn:
            transaction.driver = await self._connected()
            await self._exchange(transaction.driver, lambda driver: driver.execute("begin", ()))
        try:
            yield _TransactionConnection(transaction)
        except Exception:
            await self._roll_back(transaction, "rollback")
            raise
        except BaseException:
            # Cancelled: a closed connection rolls back on the server without another word.
            self._discard(transaction.driver)
            raise
        tag = await _in_transaction(transaction, lambda driver: driver.execute("commit", ()))
        if tag != "COMMIT":
            raise DatabaseRefusedError("The transaction was rolled back: an earlier statement in it had failed.")

    @asynccontextmanager
    async def _savepoint(self, transaction: _Transaction) -> AsyncGenerator[Connection]:
        name = f"level_{transaction.depth}"
        await _in_transaction(transaction, lambda driver: driver.execute(f"savepoint {name}", ()))
        transaction.depth += 1
        try:
            yield _TransactionConnection(transaction)
            await _in_transaction(transaction, lambda driver: driver.execute(f"release savepoint {name}", ()))
        except Exception:
            await self._roll_back(transaction, f"rollback to savepoint {name}")
            raise
        finally:
            transaction.depth -= 1

    async def _roll_back(self, transaction: _Transaction, statement: str) -> None:
        driver = transaction.driver
        if driver is None or driver is not self._driver:
            return  # lost: the server has rolled back
        try:
            await _in_transaction(transaction, lambda live: live.execute(statement, ()))
        except DatabaseError:
            self._discard(driver)

    def _enclosing(self) -> _Transaction | None:
        transaction = _current.get()
        return transaction if transaction and transaction.open and transaction.database is self else None

    async def _run(self, operation: Callable[[Driver], Awaitable[_Result]]) -> _Result:
        enclosing = self._enclosing()
        if enclosing is not None:
            return await _in_transaction(enclosing, operation)
        async with self._alone(), self._turn:
            return await self._exchange(await self._connected(), operation)

    @asynccontextmanager
    async def _alone(self) -> AsyncGenerator[None]:
        """Hold the gate; a gate that was replaced while waiting for it does not count."""
        while True:
            gate = self._gate
            async with gate:
                if gate is self._gate:
                    yield
                    return

    async def _connected(self) -> Driver:
        if self._driver is not None:
            return self._driver
        turn = self._turn
        driver = await self._connect()
        if turn is not self._turn:
            driver.abandon()
            raise DatabaseUnavailableError("The database was closed while it was being opened.")
        self._driver = driver
        return driver

    async def exchange_in(
        self, transaction: _Transaction, operation: Callable[[Driver], Awaitable[_Result]]
    ) -> _Result:
        """Run an operation on a transaction's connection, or fail when that connection is no longer the current one."""
        async with self._turn:
            driver = transaction.driver
            if not transaction.open or driver is None:
                raise DatabaseRefusedError("The transaction is over.")
            if driver is not self._driver:
                raise DatabaseUnavailableError("The connection was lost, and with it the transaction.")
            return await self._exchange(driver, operation)

    async def _exchange(self, driver: Driver, operation: Callable[[Driver], Awaitable[_Result]]) -> _Result:
        try:
            return await operation(driver)
        except DatabaseError:
            if not driver.usable:
                self._discard(driver)
            raise
        except BaseException:
            self._discard(driver)
            raise

    def _discard(self, driver: Driver) -> None:
        driver.abandon()
        if self._driver is driver:
            self._driver = None


async def _in_transaction(transaction: _Transaction, operation: Callable[[Driver], Awaitable[_Result]]) -> _Result:
    return await transaction.database.exchange_in(transaction, operation)
