"""Where Python meets JavaScript: every value crosses here, converted and typed.

The SDK's own wrappers convert each value recursively and cache attributes (platform.md §4.4); these do neither.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from functools import cache
from typing import Any

import js
from pyodide.ffi import JsException, jsnull, to_js

from durable.bridge_timers import Timer
from durable.database_address import DatabaseAddress
from orchestrator.limits import MAX_BODY_BYTES
from orchestrator.ports import SqlRow, SqlValue
from orchestrator.sql_values import MAX_INTEGER

_JsAny = Any  # the JavaScript side has no types here


def now_ms() -> int:
    """Return the Worker's clock, which stands still during CPU work when deployed (platform.md §1.6)."""
    return int(time.time() * 1000)


def object_name(ctx: _JsAny) -> str:
    """Return the name by which a Durable Object was found."""
    return str(getattr(ctx, "_ctx", ctx).id.name)


class Env:
    """The Worker's bindings, by name."""

    def __init__(self, env: _JsAny) -> None:
        self._env = getattr(env, "_env", env)

    def text(self, name: str) -> str | None:
        """Return a variable or secret, or None when it is unset."""
        value = getattr(self._env, name, None)
        return value if isinstance(value, str) and value else None

    def texts(self) -> dict[str, str]:
        """Return every variable and secret."""
        names: list[str] = js.Object.keys(self._env).to_py()
        return {name: value for name in names if (value := self.text(name)) is not None}

    def has(self, name: str) -> bool:
        """Tell whether there is a binding of this name."""
        return getattr(self._env, name, None) is not None

    async def call_object(self, binding: str, name: str, method: str, *args: str) -> str:
        """Call a method of the Durable Object ``name``, strings in and a string out.

        Raises:
            ObjectCallError: the call did not come through, or the object threw.
        """
        # A stub may be broken after an error, so each call makes its own (platform.md §1.7).
        stub = getattr(self._env, binding).getByName(name)
        try:
            result = await getattr(stub, method)(*args)
        except JsException as error:
            raise ObjectCallError(error) from None
        return str(result)

    async def fetch_object(self, binding: str, name: str, request: _JsAny) -> _JsAny:
        """Pass a request on to the Durable Object ``name``; its response, which may hand over a WebSocket."""
        return await getattr(self._env, binding).getByName(name).fetch(request)

    async def send(self, binding: str, body: Mapping[str, str], *, delay_s: int = 0) -> None:
        """Send a JSON message to a queue."""
        options = {"delaySeconds": delay_s} if delay_s else {}
        try:
            await getattr(self._env, binding).send(_object(body), _object(options))
        except JsException as error:
            raise ObjectCallError(error) from None

    async def send_batch(self, binding: str, bodies: Sequence[Mapping[str, str]]) -> None:
        """Send JSON messages to a queue: at most 100 (platform.md §2.1)."""
        messages = to_js([{"body": body} for body in bodies], dict_converter=js.Object.fromEntries)
        try:
            await getattr(self._env, binding).sendBatch(messages)
        except JsException as error:
            raise ObjectCallError(error) from None

    def write_point(self, binding: str, indexes: list[str], blobs: list[str], doubles: list[float]) -> None:
        """Write a data point to Analytics Engine; do nothing where the binding is not there.

        Raises:
            ObjectCallError: the platform refused it.
        """
        if not self.has(binding):
            return
        try:
            getattr(self._env, binding).writeDataPoint(
                _object({"indexes": indexes, "blobs": blobs, "doubles": doubles})
            )
        except JsException as error:
            raise ObjectCallError(error) from None

    def bucket(self, name: str) -> Bucket:
        """Return an R2 bucket."""
        return Bucket(getattr(self._env, name))

    def hyperdrive(self, name: str) -> DatabaseAddress:
        """Return where a Hyperdrive binding connects to."""
        binding = getattr(self._env, name)
        return DatabaseAddress(
            host=str(binding.host),
            port=int(binding.port),
            user=str(binding.user),
            password=str(binding.password),
            database=str(binding.database),
        )

    def ai(self, name: str) -> Ai | None:
        """Return the Workers AI binding, or None when there is none."""
        return Ai(getattr(self._env, name)) if self.has(name) else None


class Ai:
    """The Workers AI binding."""

    def __init__(self, ai: _JsAny) -> None:
        self._ai = ai

    async def run(self, model: str, inputs_json: str) -> str:
        """Run a model; JSON in, JSON out.

        Raises:
            AiError: the platform refused or failed; its message.
        """
        try:
            return str(js.JSON.stringify(await self._ai.run(model, js.JSON.parse(inputs_json))))
        except JsException as error:
            raise AiError(str(error)[:500]) from None


class AiError(Exception):
    """Workers AI gave no answer."""


class ObjectCallError(Exception):
    """A call to an object or queue failed. ``overloaded`` is the platform's own word for it, ``retryable`` ours."""

    def __init__(self, error: JsException) -> None:
        super().__init__(str(error)[-500:])  # the end of a traceback says what went wrong
        # An object that was reset while it was called is there again for the next call.
        self.retryable = any(getattr(error, name, False) is True for name in ("retryable", "durableObjectReset"))
        self.overloaded = bool(getattr(error, "overloaded", False))


class Storage:
    """A Durable Object's storage."""

    def __init__(self, ctx: _JsAny) -> None:
        self._storage = getattr(ctx, "_ctx", ctx).storage
        self._exec = self._storage.sql.exec
        self.rows_written = 0
        self.rows_read = 0

    @property
    def size_bytes(self) -> int:
        """What the database takes."""
        return int(self._storage.sql.databaseSize)

    def execute(self, query: str, params: tuple[SqlValue, ...]) -> list[SqlRow]:
        """Run a statement and drain its cursor: an open one locks tables (platform.md §1.2)."""
        cursor = self._exec(query, *[param if _crosses(param) else _to_sql(param) for param in params])
        # What gives no rows has run to its end: asking for them would be two more calls across.
        rows = [tuple(map(_from_sql, row)) for row in cursor.raw().toArray()] if _gives_rows(query) else []
        self.rows_written += int(cursor.rowsWritten)
        self.rows_read += int(cursor.rowsRead)
        return rows

    def set_alarm(self, at_ms: int) -> None:
        """Arm the alarm; it commits with the writes around it. The output gate waits for it, so nobody else need."""
        self._storage.setAlarm(at_ms)

    def clear_alarm(self) -> None:
        """Disarm the alarm."""
        self._storage.deleteAlarm()

    async def get_alarm(self) -> int | None:
        """Return the time that the alarm is set to; None while it runs, unless it was set again."""
        at_ms = await self._storage.getAlarm()
        return int(at_ms) if isinstance(at_ms, (int, float)) else None

    async def sync(self) -> None:
        """Wait until every write so far is durable."""
        await self._storage.sync()

    async def wipe(self) -> None:
        """Delete everything, the alarm included (from compatibility date 2026-02-24 on)."""
        await self._storage.deleteAll()


class Bucket:
    """An R2 bucket."""

    def __init__(self, bucket: _JsAny) -> None:
        self._bucket = bucket

    async def head(self, key: str) -> tuple[int, str] | None:
        """Return an object's size in bytes and version."""
        found = await self._bucket.head(key)
        return None if _absent(found) else (int(found.size), str(found.etag))

    async def get(self, key: str, offset: int, length: int | None) -> bytes | None:
        """Return part of an object's bytes."""
        span = {"offset": offset} if length is None else {"offset": offset, "length": length}
        options = {} if offset == 0 and length is None else {"range": span}
        try:
            found = await self._bucket.get(key, _object(options))
        except JsException:
            # A range that begins at the end or after it is an error to R2; here it has no bytes.
            known = await self.head(key) if options else None
            if known is None or offset < known[0]:
                raise
            return b""
        return None if _absent(found) else bytes((await found.arrayBuffer()).to_bytes())

    async def put(self, key: str, data: bytes) -> None:
        """Store an object."""
        await self._bucket.put(key, to_js(data))

    async def put_stream(self, key: str, pieces: AsyncIterable[bytes], size: int) -> None:
        """Store an object piece by piece; each waits until the one before is on its way."""
        stream = js.FixedLengthStream.new(size)
        storing: _JsAny = self._bucket.put(key, stream.readable)
        writer = stream.writable.getWriter()
        written = 0
        try:
            async for piece in pieces:
                written += len(piece)
                if written > size:
                    break
                await writer.write(to_js(piece))
            if written != size:
                raise ValueError(f"the pieces are not of the {size} bytes that were announced")
            await writer.close()
        except BaseException as error:
            # Takes back what was sent: the store keeps nothing of an object that was not sent whole.
            with contextlib.suppress(JsException):
                await writer.abort(str(error))
            with contextlib.suppress(JsException):
                await storing
            raise
        await storing

    async def delete(self, keys: list[str]) -> None:
        """Remove objects."""
        await self._bucket.delete(to_js(keys))

    async def list(self, prefix: str, after: str, limit: int) -> list[str]:
        """Return keys in order."""
        options: dict[str, object] = {"prefix": prefix, "limit": limit}
        if after:
            options["startAfter"] = after
        found = await self._bucket.list(_object(options))
        return [str(item.key) for item in found.objects]


class FetchError(Exception):
    """``fetch`` gave no whole answer. ``timed_out`` tells why, ``status`` how the answer began, if it did."""

    def __init__(self, message: str, *, timed_out: bool, status: int | None) -> None:
        super().__init__(message)
        self.timed_out = timed_out
        self.status = status


class FetchBodyError(Exception):
    """The answer's body is larger than allowed. ``status`` is that of the answer."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


async def fetch(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_ms: int, max_body_bytes: int
) -> tuple[int, dict[str, str], bytes]:
    """Send an HTTP request through the platform's ``fetch`` and read the answer whole; redirects are not followed."""
    options: dict[str, object] = {"method": method, "headers": dict(headers), "redirect": "manual"}
    if body is not None:
        options["body"] = to_js(body)
    # Not AbortSignal.timeout: nothing clears its timer, which would keep the object in memory.
    abort = js.AbortController.new()
    timed_out = js.DOMException.new("timeout", "TimeoutError")
    timer = Timer(timeout_ms, lambda: abort.abort(timed_out))
    options["signal"] = abort.signal
    status: int | None = None
    try:
        response = await js.fetch(url, _object(options))
        status = int(response.status)
        data = await _read(response, max_body_bytes)
        if data is None:
            abort.abort()
            raise FetchBodyError(status)
    except JsException as error:
        timed_out = "Timeout" in str(getattr(error, "name", ""))
        raise FetchError(str(error)[:300], timed_out=timed_out, status=status) from None
    finally:
        timer.clear()
    return status, dict(_pairs(response.headers)), data


async def _read(response: _JsAny, max_bytes: int) -> bytes | None:
    """Return an answer's body, or None when it is larger: one that does not say its length is read piece by piece."""
    length = response.headers.get("content-length")
    if _absent(response.body):
        return b""
    if isinstance(length, str) and length.isdigit() and _absent(response.headers.get("content-encoding")):
        return None if int(length) > max_bytes else bytes((await response.arrayBuffer()).to_bytes())
    reader, received = response.body.getReader(), bytearray()
    while not (piece := await reader.read()).done:
        received += piece.value.to_bytes()
        if len(received) > max_bytes:
            return None
    return bytes(received)


def _pairs(headers: _JsAny) -> list[tuple[str, str]]:
    """Return headers in one crossing; their names are lower case already (Fetch standard)."""
    pairs: list[list[str]] = js.Array.from_(headers.entries()).to_py()
    return [(name, value) for name, value in pairs]


class IncomingRequest:
    """A request in the form that the SDK's ASGI adapter reads; its body ends early rather than fill the memory."""

    def __init__(self, request: _JsAny) -> None:
        raw = getattr(request, "js_object", request)
        self.method = str(raw.method)
        self.url = str(raw.url)
        self.headers = _pairs(raw.headers)
        self.body = None if _absent(raw.body) else _bounded(raw.body)


async def _bounded(stream: _JsAny) -> AsyncIterator[_JsAny]:
    size = 0
    async for chunk in stream:
        size += int(chunk.byteLength)
        yield chunk
        if size > MAX_BODY_BYTES:
            return


class Message:
    """One message of a queue batch."""

    def __init__(self, message: _JsAny) -> None:
        self._message = getattr(message, "_binding", message)
        self.id = str(self._message.id)
        self.attempts = int(self._message.attempts)
        try:
            self.body_json = str(js.JSON.stringify(self._message.body))
        except JsException:
            self.body_json = ""  # not JSON, so nothing of ours

    def ack(self) -> None:
        """Take the message off the queue."""
        self._message.ack()

    def retry(self, delay_s: int) -> None:
        """Have the message delivered again later."""
        self._message.retry(_object({"delaySeconds": delay_s}))


def batch_of(batch: _JsAny) -> tuple[str, list[Message]]:
    """Return a queue batch's queue and messages."""
    raw = getattr(batch, "_binding", batch)
    return str(raw.queue), [Message(message) for message in raw.messages]


def _object(mapping: Mapping[str, object]) -> _JsAny:
    return to_js(mapping, dict_converter=js.Object.fromEntries)


def _absent(value: _JsAny) -> bool:
    return value is None or value is jsnull


@cache
def _gives_rows(query: str) -> bool:
    """Tell whether a statement, which is constant text, gives rows."""
    words = query.lower().split()
    return words[0] not in {"insert", "update", "delete", "create", "alter", "drop"} or "returning" in words


def _crosses(value: SqlValue) -> bool:
    """Tell whether SQL takes a value as Pyodide passes it on."""
    kind = type(value)
    # Pyodide makes a BigInt of an integer from there on, which SQL refuses.
    return kind is str or kind is float or (isinstance(value, int) and -MAX_INTEGER < value < MAX_INTEGER)


def _to_sql(value: SqlValue) -> _JsAny:
    if value is None:
        return jsnull
    if isinstance(value, bytes):
        return to_js(value)
    # All numbers are doubles there, so that a large integer loses nothing.
    return float(value) if isinstance(value, int) else value


def _from_sql(value: _JsAny) -> SqlValue:
    if isinstance(value, (str, int, float)):
        return value
    return None if _absent(value) else bytes(value.to_bytes())
