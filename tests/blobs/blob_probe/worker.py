"""A Worker that runs the scenario of its path on its bucket."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any
from urllib.parse import urlparse

from blob_probe.scenarios import SCENARIOS
from workers import DurableObject, Response, WorkerEntrypoint

from durable.bridge import Env
from durable.r2_blobs import R2Blobs


class BlobProbe(DurableObject):
    async def run(self, scenario: str) -> str:
        try:
            async with asyncio.timeout(60):
                await SCENARIOS[scenario](R2Blobs(Env(self.env).bucket("BLOBS")))
        except BaseException:
            return traceback.format_exc()
        return "passed"


class Default(WorkerEntrypoint):
    async def fetch(self, request: Any) -> Response:
        name = urlparse(str(request.url)).path.strip("/")
        return Response(await self.env.PROBES.getByName(name).run(name))
