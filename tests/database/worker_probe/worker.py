"""A Worker that runs the scenarios of its path, each in an object of its own, all at once."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any
from urllib.parse import urlparse

from worker_probe.scenarios import SCENARIOS
from workers import DurableObject, Response, WorkerEntrypoint

from durable.database_address import DatabaseAddress
from durable.postgres_pg8000 import Pg8000Database


class DatabaseProbe(DurableObject):
    async def run(self, scenario: str) -> str:
        hyperdrive = self.env.DB
        address = DatabaseAddress(
            host=hyperdrive.host,
            port=int(hyperdrive.port),
            user=hyperdrive.user,
            password=hyperdrive.password,
            database=hyperdrive.database,
        )
        try:
            async with asyncio.timeout(60):
                await SCENARIOS[scenario](lambda: Pg8000Database(address))
        except BaseException:
            return traceback.format_exc()
        return "passed"


class Default(WorkerEntrypoint):
    async def fetch(self, request: Any) -> Response:
        names = urlparse(str(request.url)).path.strip("/").split("+")
        objects = [self.env.PROBES.getByName(f"{number}-{name}") for number, name in enumerate(names)]
        results = await asyncio.gather(*(item.run(name) for item, name in zip(objects, names, strict=True)))
        return Response("\n".join(results))
