"""What the database tests share: adapters by name, and a relay that loses connections on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import msgspec

from durable.database_address import DatabaseAddress
from durable.postgres import AsyncpgDatabase
from durable.postgres_pg8000 import Pg8000Database
from orchestrator.ports import Connection, Database

T = TypeVar("T")


class Adapter(msgspec.Struct, frozen=True):
    """One adapter on one database."""

    name: str
    url: str
    make: Callable[[str], Database]

    def __repr__(self) -> str:
        return f"Adapter({self.name})"

    def open(self, url: str | None = None) -> Database:
        return self.make(url or self.url)

    def run(self, body: Callable[[Database], Awaitable[T]]) -> T:
        """Run ``body`` on a database of its own event loop, and close it."""

        async def main() -> T:
            database = self.open()
            try:
                return await body(database)
            finally:
                await database.close()

        return asyncio.run(main())


ADAPTERS: dict[str, Callable[[str], Database]] = {
    "asyncpg": lambda url: AsyncpgDatabase(url),
    "pg8000": lambda url: Pg8000Database(url),
}


async def value(connection: Connection, query: str, *args: object) -> object:
    """Return the first column of the first row."""
    row = await connection.fetchrow(query, *args)  # pyright: ignore[reportArgumentType] - tests build queries
    assert row is not None
    return row[0]


async def waiting_for_a_lock(observer: Database) -> None:
    """Return once some session waits for a lock."""
    waiting = "select count(*) from pg_locks where not granted"
    while not await value(observer, waiting):  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0)


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handle: Handler) -> AsyncGenerator[int]:
    """Serve on a free port, which is yielded; at the end every connection has been handled and closed."""
    handling = set[asyncio.Task[None]]()

    async def handle_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.add(asyncio.ensure_future(handle_and_close(reader, writer)))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        port: int = server.sockets[0].getsockname()[1]
        yield port
        await asyncio.gather(*handling)


class Relay:
    """Carries connections to the server; ``lose_next_answer`` cuts one after its request has gone through."""

    def __init__(self, target: DatabaseAddress) -> None:
        self.target = target
        self.lose_next_answer = False
        self.url = ""

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(self.target.host, self.target.port)
        requests = asyncio.create_task(self._pump(reader, up_writer))
        await self._pump(up_reader, writer, answers=True)
        requests.cancel()
        up_writer.close()
        await asyncio.gather(requests, up_writer.wait_closed(), return_exceptions=True)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, answers: bool = False) -> None:
        while data := await source.read(65536):
            if answers and self.lose_next_answer:
                self.lose_next_answer = False
                return
            target.write(data)
        target.write_eof()


@asynccontextmanager
async def relay(url: str) -> AsyncGenerator[Relay]:
    """Open a relay to the server of ``url``; its own ``url`` leads through it."""
    address = DatabaseAddress.parse(url)
    carrier = Relay(address)
    async with serving(carrier.carry) as port:
        carrier.url = url.replace(f":{address.port}/", f":{port}/")
        yield carrier
