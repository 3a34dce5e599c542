"""A Worker that exercises the local runtime: object storage, alarms, queues, R2 and a socket to Postgres."""

from __future__ import annotations

import json
import time
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs, urlparse

import js
from workers import DurableObject, Response, WorkerEntrypoint, fetch

VERSION = "1"


class Probe(DurableObject):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.born = str(time.time())
        self.storage = ctx._ctx.storage
        self.storage.sql.exec("create table if not exists event (name text, at real)")

    async def note(self, name: str) -> str:
        self.storage.sql.exec("insert into event values (?, ?)", name, time.time())
        return name

    async def arm(self, delay_ms: str) -> str:
        await self.storage.setAlarm(time.time() * 1000 + float(delay_ms))
        return delay_ms

    async def alarm(self, info: object = None) -> None:
        await self.note("alarm")

    async def events(self) -> str:
        return json.dumps([row.name for row in self.storage.sql.exec("select name from event").toArray()])

    async def incarnation(self) -> str:
        return self.born

    async def database(self) -> str:
        hyperdrive = self.env.DB
        connection: Any = import_module("pg8000.native").Connection(
            hyperdrive.user,
            host=hyperdrive.host,
            port=int(hyperdrive.port),
            password=hyperdrive.password,
            database=hyperdrive.database,
        )
        try:
            return json.dumps(connection.run("select 41 + 1"))
        finally:
            connection.close()


class Default(WorkerEntrypoint):
    async def fetch(self, request: Any) -> Response:
        url = urlparse(str(request.url))
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        probe = self.env.PROBES.getByName(query.get("name", "one"))
        if url.path == "/version":
            return Response(VERSION)
        if url.path == "/note":
            return Response(await probe.note(query["text"]))
        if url.path == "/arm":
            return Response(await probe.arm(query["ms"]))
        if url.path == "/events":
            return Response(await probe.events())
        if url.path == "/enqueue":
            await self.env.QUEUE.send({"text": query["text"]})
            return Response("sent")
        if url.path == "/database":
            return Response(await probe.database())
        if url.path == "/blob":
            stored = await self.env.BLOBS.get(query["key"])
            return Response(await stored.text() if stored else "absent")
        if url.path == "/incarnation":
            return Response(await probe.incarnation())
        if url.path == "/fetch":
            return Response(await (await fetch(query["url"])).text())
        if url.path == "/trap":
            self.trap()
        if url.path == "/print":
            for _ in range(int(query.get("times", 1))):
                print(query["text"])
        return Response("ok")

    def trap(self) -> None:
        """End the interpreter the way a WebAssembly trap does."""
        api: Any = import_module("pyodide_js")._api
        api.fatal_error(js.Error.new("unreachable"))

    async def queue(self, batch: Any, env: object = None, ctx: object = None) -> None:
        for message in batch.messages:
            await self.env.PROBES.getByName("queue").note(message.body["text"])
            message.ack()

    async def scheduled(self, controller: Any, env: object = None, ctx: object = None) -> None:
        await self.env.PROBES.getByName("cron").note(controller.cron)
