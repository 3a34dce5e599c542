"""A Worker whose objects act as they are told."""

from __future__ import annotations

import asyncio
import inspect
import json
import traceback
from typing import Any, NoReturn
from urllib.parse import unquote, urlparse

import js
from platform_probe.acts import ACTS, consume, on_alarm
from platform_probe.sql_scenarios import SQL_SCENARIOS
from workers import DurableObject, Response, WorkerEntrypoint

from durable import bridge
from durable.object_platform import WorkerClock
from durable.object_sql import ObjectAlarm, ObjectSql
from orchestrator.errors import OrchestratorError, RetryableError


class Stop(BaseException):
    """This copy of the object has ended."""


class Probe(DurableObject):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.state = getattr(ctx, "_ctx", ctx)
        self.storage = bridge.Storage(ctx)
        self.bindings = bridge.Env(env)
        self.sql = ObjectSql(self.storage)
        self.alarms = ObjectAlarm(self.storage)
        self.memory: dict[str, str] = {}

    async def act(self, body: str) -> str:
        name, *args = json.loads(body)
        try:
            result = ACTS[name](_Inside(self), *args)
            return json.dumps({"ok": await result if inspect.isawaitable(result) else result})
        except OrchestratorError as error:
            return _failure(error)

    async def check(self, scenario: str) -> str:
        try:
            SQL_SCENARIOS[scenario](self.sql)
        except Exception:
            return json.dumps({"ok": traceback.format_exc()})
        return json.dumps({"ok": "passed"})

    async def alarm(self, info: object = None) -> None:
        await on_alarm(_Inside(self))


class _Inside:
    """What code in the object has; the object's own ``alarm`` is the platform's handler."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self.sql = probe.sql
        self.alarm = probe.alarms
        self.clock = WorkerClock()
        self.memory = probe.memory

    async def sync(self) -> None:
        await self._probe.storage.sync()

    async def wipe(self) -> None:
        await self._probe.storage.wipe()

    async def wait(self, delay_ms: int) -> None:
        await asyncio.sleep(delay_ms / 1000)

    async def call(self, name: str, act: str, *args: str) -> str:
        answer = json.loads(await call_once(self._probe.bindings, name, "act", json.dumps([act, *args])))
        if "error" in answer:
            raise OrchestratorError(answer["text"], code=answer["error"])
        return answer["ok"]

    def die(self) -> NoReturn:
        # Not at once: what is aborted in the middle of Python leaves the interpreter broken.
        js.queueMicrotask(self._probe.state.abort.bind(self._probe.state, "the object was ended"))
        raise Stop


class Default(WorkerEntrypoint):
    async def fetch(self, request: Any) -> Response:
        kind, name = (unquote(part) for part in urlparse(str(request.url)).path.strip("/").split("/", 1))
        body, env = str(await request.text()), bridge.Env(self.env)
        try:
            if kind == "send":
                queue, text, delay_s = json.loads(body)
                await env.send(queue.upper(), {"id": text}, delay_s=delay_s)
                return Response(json.dumps({"ok": "sent"}))
            return Response(await call_once(env, name, kind, body))
        except OrchestratorError as error:
            return Response(_failure(error))

    async def queue(self, batch: Any, env: object = None, ctx: object = None) -> None:
        queue, messages = bridge.batch_of(batch)
        if await consume(queue, messages, self._tell):
            raise ValueError("this consumer throws")

    async def _tell(self, tag: str, text: str) -> object:
        body = json.dumps(["note", text])
        return await call_once(bridge.Env(self.env), f"queue {tag}", "act", body)


async def call_once(env: bridge.Env, name: str, method: str, body: str) -> str:
    """Call a probe as ``durable.object_calls`` does, without its repetitions."""
    try:
        return await env.call_object("PROBES", name, method, body)
    except bridge.ObjectCallError as error:
        if error.retryable:
            raise RetryableError(str(error), code="object_unreachable") from None
        raise OrchestratorError(str(error)) from None


def _failure(error: OrchestratorError) -> str:
    return json.dumps({"error": error.error_code, "retryable": error.retryable, "text": str(error)})
