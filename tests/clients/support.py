"""Drives calls without a network: with scripted replies, or against the API in a world of virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import httpx
import msgspec

from durable.http.gate import Message, Receive, Send
from orchestrator.client import AsyncClient, Client, Retries
from orchestrator.client import flow as effects
from orchestrator.client.flow import Answer, Backend, Flow, Lost, Request, Stream
from orchestrator.client.retries import with_retries
from tests.http.support import APP, KEY, Api

T = TypeVar("T")

URL = "http://api"
#: As patient as the default, without the patience of a wall clock.
QUICK = Retries(initial_s=0.001, max_s=0.002)


def json_answer(body: object, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, msgspec.json.encode(body))


def problem_answer(status: int, code: str, **headers: str) -> Answer:
    document = {"type": "about:blank", "title": "t", "status": status, "code": code, "detail": "what happened"}
    return json_answer(document, status, **headers)


class Script:
    """Performs effects with replies that were written before: answers to requests, and the parts of streams."""

    def __init__(
        self, *replies: Answer | Lost, parts: Sequence[bytes | Lost] = (), backend: Backend | None = None
    ) -> None:
        self._replies = list(replies)
        self._parts = list(parts)
        self._backend = backend or Backend.ORCHESTRATOR
        self._keys = 0
        self.now_s = 1_000.0
        self.requests: list[Request] = []
        self.pauses: list[float] = []

    def run(self, flow: Flow[T], retries: Retries | None = None) -> T:
        persistent = with_retries(flow, retries or Retries())
        reply: effects.Reply = None
        try:
            while True:
                reply = self.perform(persistent.send(reply))
        except StopIteration as stop:
            return stop.value

    def items(self, stream: Stream[T], retries: Retries | None = None) -> list[T]:
        found: list[T] = []
        persistent = with_retries(stream, retries or Retries())
        reply: effects.Reply = None
        try:
            while True:
                effect = persistent.send(reply)
                if isinstance(effect, effects.Emit):
                    found.append(effect.item)
                    reply = None
                else:
                    reply = self.perform(effect)
        except StopIteration:
            return found

    def perform(self, effect: effects.Effect) -> effects.Reply:
        match effect:
            case effects.Send(request) | effects.Open(request):
                self.requests.append(request)
                return self._replies.pop(0)
            case effects.Read():
                return self._parts.pop(0) if self._parts else b""
            case effects.Pause(seconds):
                self.pauses.append(seconds)
                self.now_s += seconds
                return None
            case effects.Now():
                return self.now_s
            case effects.Draw():
                return 0.5
            case effects.NewKey():
                self._keys += 1
                return f"key-{self._keys}"
            case effects.WhichBackend():
                return self._backend

    def body(self, index: int = -1) -> object:
        """Return a request's body."""
        return msgspec.json.decode(self.requests[index].body or b"null")


class InProcess(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """The API in this process. Takes one fault per request: ``refused`` never arrives, ``lost`` loses the answer."""

    def __init__(self, api: Api, faults: Sequence[str] = ()) -> None:
        self._api = api
        self._faults = list(faults)
        # The world has one time: two streams that wait at once would each turn it their own way.
        self._turn = asyncio.Lock()
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def answer() -> tuple[httpx.Response, bytes]:
            response = await self.handle_async_request(request)
            return response, await response.aread()

        response, body = asyncio.run(answer())
        return httpx.Response(response.status_code, headers=response.headers, content=body)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        fault = self._faults.pop(0) if self._faults else ""
        if fault == "refused":
            raise httpx.ConnectError("refused", request=request)
        async with self._turn:
            response = await httpx.ASGITransport(app=self._app).handle_async_request(request)
        if fault == "lost":
            raise httpx.ReadError("reset", request=request)
        return response

    async def _app(self, scope: Message, receive: Receive, send: Send) -> None:
        scope["env"] = self._api.host
        await APP(scope, receive, send)


class Runner:
    """Runs calls with one of the two drivers; the tests of both are the same."""

    def __init__(self, api: Api, *, awaited: bool, faults: Sequence[str] = (), retries: Retries = QUICK) -> None:
        self.transport = InProcess(api, faults)
        self._awaited = awaited
        self._retries = retries

    def run(self, flow: Flow[T]) -> T:
        if self._awaited:
            return asyncio.run(self._run(flow))
        with Client(URL, KEY, retries=self._retries, transport=self.transport) as client:
            return client.run(flow)

    def items(self, stream: Stream[T]) -> list[T]:
        if self._awaited:
            return asyncio.run(self._items(stream))
        with Client(URL, KEY, retries=self._retries, transport=self.transport) as client:
            return list(client.iterate(stream))

    async def _run(self, flow: Flow[T]) -> T:
        async with AsyncClient(URL, KEY, retries=self._retries, transport=self.transport) as client:
            return await client.run(flow)

    async def _items(self, stream: Stream[T]) -> list[T]:
        async with AsyncClient(URL, KEY, retries=self._retries, transport=self.transport) as client:
            return [item async for item in client.iterate(stream)]
