"""A TCP proxy on loopback that does to connections what networks do: cuts them, and loses answers that were sent."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
#: Tells whether the connection is to be cut after these bytes of the client's arrived and were answered.
Fault = Callable[[bytes], bool]

_CHUNK_BYTES = 65_536


class Proxy:
    """Passes connections on to ``upstream``, which may be named after the proxy was started.

    A fault looks at what clients send. When it says so, the bytes are passed on, the server does its work, and the
    connection is cut instead of passing its answer back: a commit that is reported as a failure.
    """

    def __init__(self) -> None:
        self.upstream: tuple[str, int] | None = None
        self.fault: Fault = lambda _sent: False
        #: Connections cut by a fault or by :meth:`cut`.
        self.cuts = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._server: asyncio.Server | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def pass_on_to(self, url: str) -> None:
        """Say where connections lead: the host and port of a URL."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.upstream = (parts.hostname, parts.port)

    def cut(self) -> int:
        """Cut every open connection; return how many there were."""
        return self._run(self._cut())

    def _run(self, work: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _cut(self) -> int:
        found = len(self._writers) // 2
        self.cuts += found
        for writer in list(self._writers):
            writer.transport.abort()
        return found

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._cut()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self.upstream is not None, "nobody has said where connections lead"
        with contextlib.suppress(OSError):
            up_reader, up_writer = await asyncio.open_connection(*self.upstream)
            link = _Link(self, reader, writer, up_reader, up_writer)
            pair = {writer, up_writer}
            self._writers |= pair
            try:
                await link.run()
            finally:
                self._writers -= pair
                for end in pair:
                    end.transport.abort()


class _Link:
    """One connection through the proxy."""

    def __init__(
        self,
        owner: Proxy,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        self._owner = owner
        self._down = (reader, writer)
        self._up = (up_reader, up_writer)
        self._doomed = False

    async def run(self) -> None:
        """Pass bytes on until one side ends, or an answer is to be lost."""
        ways = [asyncio.ensure_future(self._upwards()), asyncio.ensure_future(self._downwards())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _upwards(self) -> None:
        while data := await self._down[0].read(_CHUNK_BYTES):
            self._doomed = self._doomed or self._owner.fault(data)
            self._up[1].write(data)
            await self._up[1].drain()

    async def _downwards(self) -> None:
        while data := await self._up[0].read(_CHUNK_BYTES):
            if self._doomed:
                self._owner.cuts += 1
                return
            self._down[1].write(data)
            await self._down[1].drain()
