"""pg8000 without its blocking socket: it builds and reads messages in memory, and asyncio carries them.

pg8000's own I/O blocks. In workerd a blocking read suspends the whole Python stack (JSPI): other tasks do go on, but
the reader cannot be cancelled, so a step's timeout would not work. Its ``CoreConnection`` takes a ready socket, so it
gets one that lives in memory; startup, authentication and the decoding of rows and errors stay pg8000's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Protocol, cast

import msgspec

from durable.database_address import DatabaseAddress
from durable.sql_params import DECODERS

#: AuthenticationOk and ReadyForQuery: what pg8000's constructor waits for before it can be used.
_GREETING = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"
_HEADER_BYTES = 5
#: Sent with the startup message, so that values arrive in the form the decoders expect.
_STARTUP = {"DateStyle": "ISO, YMD", "TimeZone": "UTC", "bytea_output": "hex"}

ERROR, READY, ROW_DESCRIPTION, DATA_ROW = b"E", b"Z", b"T", b"D"
PARAMETER_DESCRIPTION, COMMAND_COMPLETE, EMPTY_QUERY = b"t", b"C", b"I"
COPY_IN, COPY_OUT, COPY_BOTH = b"G", b"H", b"W"


class ServerError(msgspec.Struct, frozen=True):
    """An ErrorResponse: the fields this project uses."""

    message: str
    sqlstate: str | None
    constraint: str | None
    fatal: bool


class Reply(msgspec.Struct):
    """What the server answered to one request, up to ReadyForQuery."""

    names: list[str] = msgspec.field(default_factory=list[str])
    rows: list[list[object]] = msgspec.field(default_factory=list[list[object]])
    param_oids: list[int] = msgspec.field(default_factory=list[int])
    tag: str = ""
    error: ServerError | None = None
    complete: bool = False


class _Context(Protocol):
    columns: list[Mapping[str, object]] | None
    rows: list[list[object]] | None
    error: Exception | None


class _Core(Protocol):
    """The part of ``pg8000.core.CoreConnection`` that is used."""

    message_types: Mapping[bytes, Callable[[bytes, _Context], None]]

    def register_in_adapter(self, oid: int, in_func: Callable[[str], object]) -> None: ...


class _MemorySocket:
    """Stands where pg8000 expects a socket and its file."""

    def __init__(self) -> None:
        self.outgoing = bytearray()
        self._greeting = _GREETING

    def makefile(self, mode: str) -> _MemorySocket:
        del mode
        return self

    def read(self, size: int) -> bytes:
        taken, self._greeting = self._greeting[:size], self._greeting[size:]
        return taken

    def write(self, data: bytes) -> None:
        self.outgoing += data

    def flush(self) -> None:
        """Nothing to do: the caller takes ``outgoing``."""

    def close(self) -> None:
        """Nothing to do: the caller owns the real socket."""


class Protocol3:
    """Version 3 of Postgres's protocol over pg8000's handlers, free of I/O.

    ``take_outgoing`` gives bytes to send, ``receive`` takes bytes that came; a :class:`Reply` is complete once the
    server is ready again.

    Args:
        address: whom to log in as.
    """

    def __init__(self, address: DatabaseAddress) -> None:
        module = import_module("pg8000.core")
        self._socket = _MemorySocket()
        core: object = module.CoreConnection(
            user=address.user,
            database=address.database,
            password=address.password,
            startup_params=dict(_STARTUP),
            sock=self._socket,
            ssl_context=False,
        )
        self._core = cast("_Core", core)
        self._new_context = cast("Callable[[None], _Context]", module.Context)
        for oid, decode in DECODERS.items():
            self._core.register_in_adapter(oid, decode)
        self._incoming = bytearray()
        self._context = self._new_context(None)
        self.reply = Reply()

    def take_outgoing(self) -> bytes:
        """Return what is to be sent, once."""
        data = bytes(self._socket.outgoing)
        self._socket.outgoing.clear()
        return data

    def simple(self, query: str) -> bytes:
        """Return the request that runs one or several statements without parameters."""
        return self._request(_message(b"Q", query.encode() + b"\0"))

    def describe(self, query: str) -> bytes:
        """Return the request that asks for the parameter types of ``query``."""
        return self._request(_parse(query, ()) + _message(b"D", b"S\0") + _message(b"S"))

    def extended(self, query: str, oids: Sequence[int], params: Sequence[bytes | None], *, limit: int) -> bytes:
        """Return the request that runs ``query`` in one round trip; ``limit`` 0 asks for every row."""
        execute = _message(b"E", b"\0" + struct.pack("!i", limit))
        return self._request(
            b"".join((_parse(query, oids), _bind(params), _message(b"D", b"P\0"), execute, _message(b"S")))
        )

    def goodbye(self) -> bytes:
        """Return the request that ends the session."""
        return _message(b"X")

    def receive(self, data: bytes) -> None:
        """Take bytes from the server and handle every message that is whole.

        Raises:
            ValueError: the server speaks of something that was not asked for, such as COPY.
        """
        self._incoming += data
        for code, body in self._messages():
            if code in {COPY_IN, COPY_OUT, COPY_BOTH}:
                raise ValueError("COPY is not supported")
            if code == PARAMETER_DESCRIPTION:
                (count,) = struct.unpack_from("!H", body)
                self.reply.param_oids = list(struct.unpack_from(f"!{count}I", body, 2))
            elif code == COMMAND_COMPLETE:
                self.reply.tag = body[:-1].decode()
            elif code == ROW_DESCRIPTION:
                # A new result: of several statements the last one's rows count.
                self._context.rows = None
                self._core.message_types[code](body, self._context)
            else:
                self._core.message_types[code](body, self._context)
            if code in {READY, ERROR}:
                self._settle(code)

    def _request(self, data: bytes) -> bytes:
        self._context = self._new_context(None)
        self.reply = Reply()
        return data

    def _messages(self) -> Iterator[tuple[bytes, bytes]]:
        buffer, start = self._incoming, 0
        try:
            while len(buffer) - start >= _HEADER_BYTES:
                (size,) = struct.unpack_from("!i", buffer, start + 1)
                end = start + 1 + size
                if len(buffer) < end:
                    return
                code, body = bytes(buffer[start : start + 1]), bytes(buffer[start + _HEADER_BYTES : end])
                start = end
                yield code, body
        finally:
            del buffer[:start]

    def _settle(self, code: bytes) -> None:
        reply, context = self.reply, self._context
        if code == ERROR and context.error is not None and reply.error is None:
            reply.error = _server_error(context.error)
        if code == READY:
            reply.rows = context.rows or []
            reply.names = [str(column["name"]) for column in context.columns or []]
            reply.complete = True


def _message(code: bytes, body: bytes = b"") -> bytes:
    return code + struct.pack("!i", len(body) + 4) + body


def _parse(query: str, oids: Sequence[int]) -> bytes:
    return _message(b"P", b"\0" + query.encode() + struct.pack(f"!xH{len(oids)}I", len(oids), *oids))


def _bind(params: Sequence[bytes | None]) -> bytes:
    parts = [b"\0\0\0\0", struct.pack("!H", len(params))]
    for param in params:
        parts += (struct.pack("!i", -1),) if param is None else (struct.pack("!i", len(param)), param)
    parts.append(b"\0\0")
    return _message(b"B", b"".join(parts))


def _server_error(error: Exception) -> ServerError:
    report: object = error.args[0] if error.args else None
    fields: Mapping[str, str] = cast("dict[str, str]", report) if isinstance(report, dict) else {}
    return ServerError(
        message=fields.get("M", "The server reported an error."),
        sqlstate=fields.get("C"),
        constraint=fields.get("n"),
        fatal=fields.get("V", fields.get("S")) in {"FATAL", "PANIC"},
    )
