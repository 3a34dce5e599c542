"""An object that sets timers in every way the product and its libraries do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlparse

from workers import DurableObject, Response, WorkerEntrypoint

from durable.bridge_timers import take_back_cancelled_timers
from durable.fetch_http import FetchHttp
from orchestrator.errors import HttpError

take_back_cancelled_timers()
LONG_S = 600


class Probe(DurableObject):
    async def check(self, name: str, url: str) -> str:
        return json.dumps(await CHECKS[name](url))


async def cancelled(url: str) -> object:
    """Set long timers and have none of them run out."""
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(LONG_S, done.cancel).cancel()
    async with asyncio.timeout(LONG_S):
        await asyncio.sleep(0)
    waiting = asyncio.ensure_future(asyncio.sleep(LONG_S))
    finished, _ = await asyncio.wait(
        [waiting, asyncio.ensure_future(asyncio.sleep(0.01))], timeout=LONG_S, return_when=asyncio.FIRST_COMPLETED
    )
    waiting.cancel()
    return len(finished)


async def in_order(url: str) -> object:
    """Return the order in which timers fire, and which fire at all."""
    loop, order = asyncio.get_running_loop(), list[str]()
    for delay_ms in (60, 20, 40, 0, 1):
        loop.call_later(delay_ms / 1000, order.append, str(delay_ms))
    late = loop.call_later(0.05, order.append, "never")
    loop.call_later(0.03, late.cancel)
    await asyncio.sleep(0.1)
    late.cancel()
    return sorted(order[:2]) + order[2:]


async def times_out(url: str) -> object:
    """Return what asyncio raises when the time is over."""
    try:
        async with asyncio.timeout(0.02):
            await asyncio.sleep(LONG_S)
    except TimeoutError:
        return "TimeoutError"
    return None


async def fetches(url: str) -> object:
    """Return what a server's silence leads to, and a quick answer's status."""
    http = FetchHttp()
    try:
        await http.request("GET", f"{url}/silent", timeout_ms=100)
    except HttpError as error:
        silence = error.error_code
    else:
        silence = "an answer"
    answer = await http.request("GET", f"{url}/quick", timeout_ms=LONG_S * 1000)
    return [silence, answer.status]


CHECKS: dict[str, Callable[[str], Awaitable[object]]] = {
    "cancelled": cancelled,
    "in_order": in_order,
    "times_out": times_out,
    "fetches": fetches,
}


class Default(WorkerEntrypoint):
    async def fetch(self, request: Any) -> Response:
        query = {key: values[0] for key, values in parse_qs(urlparse(str(request.url)).query).items()}
        probe = self.env.PROBES.getByName(query["check"])
        return Response(await probe.check(query["check"], query["url"]))
