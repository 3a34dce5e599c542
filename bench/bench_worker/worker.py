"""The bench's main module: the product's, with workflows to measure, the floor, and a look at a job's storage."""

from __future__ import annotations

import json
import time
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from workers import DurableObject, Response

import durable.workflows
from orchestrator.workflow import Registry

from . import admissions, flows

_registry = Registry([*durable.workflows.registry(), *flows.ALL])
# Before the modules that take it from there.
durable.workflows.registry = cache(lambda: _registry)

from durable.job_object import JobObject as ProductJobObject  # noqa: E402
from durable.worker import *  # noqa: E402, F403 # pyright: ignore[reportAssignmentType] - some are replaced below
from durable.worker import Default as ProductDefault  # noqa: E402


class JobObject(ProductJobObject):
    """The product's object, and what it has stored."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self._sql = ctx._ctx.storage.sql

    async def storage(self) -> str:
        """Return the rows of every table, and the database's size in bytes."""
        names = "select name from sqlite_master where type = 'table' and name not like '\\_%' escape '\\'"
        rows: dict[str, int] = {}
        for (name,) in self._sql.exec(names).raw().toArray():
            counted = self._sql.exec(f'select count(*) from "{name}"').raw().toArray()
            rows[str(name)] = int(counted[0][0])
        return json.dumps({"rows": rows, "database_bytes": int(self._sql.databaseSize)})


class FloorObject(DurableObject):
    """What somebody writes by hand without an orchestrator: one insert per step, no retries, no resuming."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self._sql = ctx._ctx.storage.sql

    async def run(self, steps: str, waits: str) -> str:
        """Run steps; return how long they took in ms."""
        execute = self._sql.exec
        execute("create table step (name text primary key, result text)")
        began = time.time()
        add = flows.add_later if waits else flows.add
        total = 0
        for number in range(int(steps)):
            total = await add(total, number)
            execute("insert into step (name, result) values (?, ?)", f"add:{number}", json.dumps(total))
        return json.dumps({"steps": int(steps), "total": total, "elapsed_ms": (time.time() - began) * 1000})


class Default(ProductDefault):
    """The product's entrypoint, and the bench's own routes."""

    async def fetch(self, request: Any) -> Any:
        """Answer a request; only the bench's routes are new."""
        url = urlsplit(str(request.url))
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path == "/bench/floor":
            return Response(await self.env.FLOORS.getByName(query["name"]).run(query["steps"], query.get("waits", "")))
        if url.path == "/bench/admissions":
            lane = self.env.LANES.getByName(query["name"])
            return Response(await admissions.admit(lane, query["name"], int(query["batches"]), int(query["size"])))
        if url.path == "/bench/storage":
            return Response(await self.env.JOBS.getByName(query["id"]).storage())
        return await super().fetch(request)
