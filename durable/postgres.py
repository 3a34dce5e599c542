"""The ``Database`` port over asyncpg: production (behind Hyperdrive) and CPython.

Hyperdrive pools by transaction, so nothing here outlives a transaction on the server: no statement cache, no session
settings (platform.md §4.6). asyncpg is imported on first connect: the local Worker does not have it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from importlib import import_module
from typing import Protocol, cast

from durable.database_address import DatabaseAddress
from durable.sql_params import INVALID_PARAMETER
from durable.sql_session import SessionDatabase
from orchestrator.ports import Record
from steps.platform.errors import DatabaseError, DatabaseRefusedError, DatabaseUnavailableError, database_error

#: Hyperdrive's own limit for opening a connection (Cloudflare, Hyperdrive limits).
CONNECT_TIMEOUT_MS = 15_000


class AsyncpgDatabase(SessionDatabase):
    """Postgres through asyncpg.

    Args:
        address: a URL (``postgres://user:password@host:port/database``) or its parsed form, such as
            ``DatabaseAddress(host=hyperdrive.host, …)``.
        connect_timeout_ms: how long opening a connection may take.
    """

    def __init__(self, address: str | DatabaseAddress, *, connect_timeout_ms: int = CONNECT_TIMEOUT_MS) -> None:
        target = DatabaseAddress.parse(address) if isinstance(address, str) else address
        super().__init__(lambda: _AsyncpgDriver.connect(target, connect_timeout_ms))


class _Connection(Protocol):
    """The part of ``asyncpg.Connection`` that is used."""

    async def fetch(self, query: str, *args: object) -> list[Record]: ...

    async def fetchrow(self, query: str, *args: object) -> Record | None: ...

    async def execute(self, query: str, *args: object) -> str: ...

    async def close(self) -> None: ...

    def terminate(self) -> None: ...

    def is_closed(self) -> bool: ...


class _ServerError(Protocol):
    sqlstate: str | None
    message: str | None
    constraint_name: str | None


class _AsyncpgDriver:
    """One connection, log-in done."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    @property
    def usable(self) -> bool:
        """Whether the connection is in step with the server."""
        return not self._connection.is_closed()

    @classmethod
    async def connect(cls, address: DatabaseAddress, timeout_ms: int) -> _AsyncpgDriver:
        """Open a connection and log in.

        Raises:
            DatabaseError: the server cannot be reached, or refuses.
        """
        opening: Awaitable[object] = import_module("asyncpg").connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            database=address.database,
            ssl=False,  # Hyperdrive's socket is inside Cloudflare; TLS to the origin is Hyperdrive's
            statement_cache_size=0,
            timeout=timeout_ms / 1000,
        )
        try:
            return cls(cast("_Connection", await opening))
        except Exception as cause:
            raise _translated(cause, "Cannot connect to the database") from cause

    async def fetch(self, query: str, args: Sequence[object], *, limit: int) -> list[Record]:
        """Return the rows, at most ``limit`` of them (0 means all; only 1 is told to the server)."""
        try:
            if limit == 1:
                row = await self._connection.fetchrow(query, *args)
                return [] if row is None else [row]
            rows = await self._connection.fetch(query, *args)
        except Exception as cause:
            raise self._translated(cause) from cause
        return rows[:limit] if limit else rows

    async def execute(self, query: str, args: Sequence[object]) -> str:
        """Return the command tag."""
        try:
            return await self._connection.execute(query, *args)
        except Exception as cause:
            raise self._translated(cause) from cause

    def _translated(self, cause: Exception) -> DatabaseError:
        return _translated(cause, "The connection to the database was lost", usable=self.usable)

    async def close(self) -> None:
        """Say goodbye and close."""
        try:
            await self._connection.close()
        except Exception:
            self._connection.terminate()

    def abandon(self) -> None:
        """Close at once, whatever is going on."""
        self._connection.terminate()


def _translated(cause: Exception, when_unreachable: str, *, usable: bool = False) -> DatabaseError:
    exceptions = import_module("asyncpg.exceptions")
    if isinstance(cause, exceptions.PostgresError):
        error = cast("_ServerError", cause)
        return database_error(error.message or "The server reported an error.", error.sqlstate, error.constraint_name)
    if isinstance(cause, exceptions.DataError):
        # asyncpg's sentence repeats the value, so it is not taken over.
        return DatabaseRefusedError("A parameter's type does not fit the query.", sqlstate=INVALID_PARAMETER)
    if usable and isinstance(cause, exceptions.InterfaceError):
        return DatabaseRefusedError(f"The query cannot be run: {cause}.", sqlstate=INVALID_PARAMETER)
    if isinstance(cause, OSError | TimeoutError | EOFError | exceptions.InterfaceError):
        return DatabaseUnavailableError(f"{when_unreachable}: {type(cause).__name__}.")
    return DatabaseRefusedError(f"The query cannot be run: {type(cause).__name__}.")
