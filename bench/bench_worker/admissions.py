"""How fast a lane admits jobs: permits asked for in batches, granted at once, and given back."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable
from typing import Protocol

import msgspec

from orchestrator.lane import KeyLimit, LanePolicy, PermitAnswer, PermitBatch, PermitRequest

#: Jobs of this many tenants take turns.
TENANTS = 10


class Lane(Protocol):
    """The stub of a ``LaneObject``."""

    def request(self, body: str) -> Awaitable[str]:
        """Ask for permits."""
        ...

    def release(self, body: str) -> Awaitable[str]:
        """Give permits back."""
        ...


class _Answer(msgspec.Struct, frozen=True):
    ok: list[PermitAnswer]


async def admit(lane: Lane, name: str, batches: int, size: int) -> str:
    """Admit ``batches`` times ``size`` jobs; return as JSON how many were admitted, and in how many ms."""
    policy = LanePolicy(name=name, concurrency=size, keys=(KeyLimit("tenant", size),))
    admitted, began = 0, time.time()
    for batch in range(batches):
        since_ms = int(time.time() * 1000)
        requests = tuple(
            PermitRequest(
                permit_id=f"{batch}-{number}",
                job_id=f"run_{batch}_{number}",
                keys={"tenant": str(number % TENANTS)},
                since_ms=since_ms,
            )
            for number in range(size)
        )
        answer = await lane.request(msgspec.json.encode(PermitBatch(policy, requests)).decode())
        admitted += sum(item.granted for item in msgspec.json.decode(answer, type=_Answer).ok)
        await lane.release(msgspec.json.encode([request.permit_id for request in requests]).decode())
    return json.dumps({"admitted": admitted, "elapsed_ms": (time.time() - began) * 1000})
