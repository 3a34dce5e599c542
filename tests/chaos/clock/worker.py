"""An object that reads its clock around CPU work and around I/O."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from workers import DurableObject, Response, WorkerEntrypoint

#: Work that takes longer than the clock's resolution on any machine.
ROUNDS = 2_000_000


class Probe(DurableObject):
    async def check(self) -> str:
        start = [time.time(), time.monotonic(), time.perf_counter()]
        total = sum(range(ROUNDS))
        worked = [time.time(), time.monotonic(), time.perf_counter()]
        await asyncio.sleep(0.01)
        waited = [time.time(), time.monotonic(), time.perf_counter()]
        moved = [
            [after > before for before, after in zip(a, b, strict=True)] for a, b in ((start, worked), (worked, waited))
        ]
        return json.dumps({"total": total, "by_work": moved[0], "by_waiting": moved[1]})


class Default(WorkerEntrypoint):
    async def fetch(self, request: Any) -> Response:
        return Response(await self.env.PROBES.getByName("clock").check())
