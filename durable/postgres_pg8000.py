"""The ``Database`` port over pg8000, for the local Worker: workerd's Python has no asyncpg without network.

Measured there against a server on the same machine: about 0.4 ms per statement, 5 ms to connect, and statements of
different jobs do overlap. Sockets are the event loop's own (``sock_connect``, ``sock_recv``, ``sock_sendall``), so the
same code runs on CPython, where the conformance suite compares it with asyncpg.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import TypeVar

from durable.database_address import DatabaseAddress
from durable.pg8000_protocol import Protocol3, Reply
from durable.sql_params import encode_params
from durable.sql_record import Row
from durable.sql_session import SessionDatabase
from orchestrator.ports import Record
from steps.platform.errors import DatabaseError, DatabaseRefusedError, DatabaseUnavailableError, database_error

#: The server is on the same machine. In the local Worker a refused connection shows only as this timeout (measured).
CONNECT_TIMEOUT_MS = 5_000
#: One read; the event loop of Pyodide copies each, so it is as large as a TCP receive buffer gets.
READ_BYTES = 262_144
#: Queries whose parameter types are remembered. Query texts are constants, so this is never reached in practice.
MAX_KNOWN_QUERIES = 2_000


_Result = TypeVar("_Result")


class Pg8000Database(SessionDatabase):
    """Postgres through pg8000's protocol code and asyncio sockets.

    Args:
        address: a URL (``postgres://user:password@host:port/database``) or its parsed form.
        connect_timeout_ms: how long opening a connection may take.
    """

    def __init__(self, address: str | DatabaseAddress, *, connect_timeout_ms: int = CONNECT_TIMEOUT_MS) -> None:
        target = DatabaseAddress.parse(address) if isinstance(address, str) else address
        super().__init__(lambda: _Pg8000Driver.connect(target, connect_timeout_ms))


_QueryKey = tuple[str, int, str, str]
#: Parameter types by database and query text, for every connection: a query is described once per process.
_param_oids: dict[_QueryKey, list[int]] = {}


class _Pg8000Driver:
    """One connection, log-in done."""

    def __init__(self, address: DatabaseAddress) -> None:
        self._address = address
        self._protocol = Protocol3(address)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._exchanging = False
        self.usable = True

    @classmethod
    async def connect(cls, address: DatabaseAddress, timeout_ms: int) -> _Pg8000Driver:
        """Open a connection and log in.

        Raises:
            DatabaseError: the server cannot be reached, or refuses.
        """
        driver = cls(address)
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await driver._log_in()
        except OSError as cause:  # TimeoutError is one
            driver.abandon()
            raise DatabaseUnavailableError(f"Cannot connect to the database: {type(cause).__name__}.") from cause
        except BaseException:
            driver.abandon()
            raise
        return driver

    async def fetch(self, query: str, args: Sequence[object], *, limit: int) -> list[Record]:
        """Return the rows, at most ``limit`` of them (0 means all)."""
        reply = await self._extended(query, args, limit)
        columns = {name: position for position, name in enumerate(reply.names)}
        return [Row(columns, reply.names, values) for values in reply.rows]

    async def execute(self, query: str, args: Sequence[object]) -> str:
        """Return the command tag."""
        if not args:
            return (await self._exchange(self._protocol.simple(query))).tag
        return (await self._extended(query, args, 0)).tag

    async def close(self) -> None:
        """Say goodbye and close."""
        try:
            if self.usable:
                with suppress(OSError):  # already gone
                    await asyncio.get_running_loop().sock_sendall(self._socket, self._protocol.goodbye())
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close at once. An exchange that waits for the server wakes up, fails and closes the socket itself."""
        self.usable = False
        with suppress(OSError):  # never connected, or already gone
            self._socket.shutdown(socket.SHUT_RDWR)
        if not self._exchanging:
            self._socket.close()

    async def _extended(self, query: str, args: Sequence[object], limit: int) -> Reply:
        key = (self._address.host, self._address.port, self._address.database, query)
        known = _param_oids.get(key) if args or "$" in query else []
        oids = await self._described(key) if known is None else known
        try:
            params = encode_params(oids, args)
        except DatabaseError:
            if known is None:
                raise
            # What is known may be older than the schema.
            oids = await self._described(key)
            params = encode_params(oids, args)
        try:
            return await self._exchange(self._protocol.extended(query, oids, params, limit=limit))
        except DatabaseError:
            _param_oids.pop(key, None)
            raise

    async def _described(self, key: _QueryKey) -> list[int]:
        oids = (await self._exchange(self._protocol.describe(key[-1]))).param_oids
        if len(_param_oids) < MAX_KNOWN_QUERIES:
            _param_oids[key] = oids
        return oids

    async def _log_in(self) -> None:
        address = (self._address.host, self._address.port)
        await _carried(asyncio.get_running_loop().sock_connect(self._socket, address))
        await self._exchange(self._protocol.take_outgoing())

    async def _exchange(self, request: bytes) -> Reply:
        """Send a request and read until the server is ready again.

        Raises:
            DatabaseError: what the server reported, or the loss of the connection.
        """
        protocol = self._protocol
        self._exchanging = True
        try:
            await self._converse(request)
        except OSError as cause:
            self.usable = False
            if protocol.reply.error is None:
                raise DatabaseUnavailableError("The connection to the database was lost.") from cause
        except Exception as cause:
            self.usable = False
            raise DatabaseRefusedError(f"The server's answer cannot be used: {type(cause).__name__}.") from cause
        finally:
            self._exchanging = False
            if not self.usable:
                self._socket.close()
        error = protocol.reply.error
        if error is not None:
            self.usable = self.usable and not error.fatal
            raise database_error(error.message, error.sqlstate, error.constraint)
        return protocol.reply

    async def _converse(self, request: bytes) -> None:
        loop, protocol = asyncio.get_running_loop(), self._protocol
        await _carried(loop.sock_sendall(self._socket, request))
        while not protocol.reply.complete:
            data = await _carried(loop.sock_recv(self._socket, READ_BYTES))
            if not data:
                raise ConnectionResetError("closed by the server")
            protocol.receive(data)
            if answer := protocol.take_outgoing():
                await _carried(loop.sock_sendall(self._socket, answer))


async def _carried(operation: Awaitable[_Result]) -> _Result:
    """Await a socket operation; Pyodide's fail with JavaScript's errors, which are no ``OSError``."""
    try:
        return await operation
    except OSError:
        raise
    except Exception as cause:
        raise ConnectionError(f"socket failed: {type(cause).__name__}") from cause
