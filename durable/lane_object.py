"""``LaneObject``: the Durable Object of one lane, or of one bucket of ``job.rate_limit``.

Strings of JSON in, strings of JSON out; methods answer ``{"ok": …}`` or ``{"error": …}`` like those of ``JobObject``.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from workers import DurableObject

from durable import bridge, envelope
from durable.object_network import ObjectNetwork
from durable.object_platform import WorkerClock, write_log
from durable.object_sql import ObjectAlarm, ObjectSql
from orchestrator.lane import PermitBatch, Reserve
from orchestrator.lane_engine import LaneEngine


class ObjectLanePlatform:
    """Implements :class:`orchestrator.lane_engine.LanePlatform` for a Durable Object."""

    def __init__(self, storage: bridge.Storage, env: bridge.Env) -> None:
        self.clock = WorkerClock()
        self.sql = ObjectSql(storage)
        self.alarm = ObjectAlarm(storage)
        self.permits = ObjectNetwork(env)
        self.log = write_log


class LaneObject(DurableObject):
    """One lane. The constructor only remembers (platform.md §4.5)."""

    def __init__(self, ctx: object, env: object) -> None:
        super().__init__(ctx, env)
        self._engine = LaneEngine(ObjectLanePlatform(bridge.Storage(ctx), bridge.Env(env)))

    async def request(self, body: str) -> str:
        """Ask for permits: ``PermitBatch`` in, a list of ``PermitAnswer`` out."""
        await self._engine.look()
        return self._answer(lambda: self._engine.request(msgspec.json.decode(body, type=PermitBatch)))

    async def release(self, body: str) -> str:
        """Give permits back: their ids in."""
        return self._answer(lambda: self._engine.release(msgspec.json.decode(body, type=list[str])))

    async def renew(self, body: str) -> str:
        """Lengthen leases: permit ids in, whether each is held out."""
        return self._answer(lambda: self._engine.renew(msgspec.json.decode(body, type=list[str])))

    async def explain(self, permit_id: str) -> str:
        """Where a request stands: ``PermitAnswer`` or null out."""
        return self._answer(lambda: self._engine.explain(permit_id))

    async def reserve(self, body: str) -> str:
        """Take the next token of the bucket: ``Reserve`` in, ``Reserved`` out."""
        return self._answer(lambda: self._engine.reserve(msgspec.json.decode(body, type=Reserve)))

    async def pause(self, name: str) -> str:
        """Grant nothing more: ``LaneView`` out."""
        return self._answer(lambda: (self._engine.pause(), self._engine.view(name))[1])

    async def resume(self, name: str) -> str:
        """Grant again: ``LaneView`` out."""
        return self._answer(lambda: (self._engine.resume(), self._engine.view(name))[1])

    async def view(self, name: str) -> str:
        """The lane as operators see it: ``LaneView`` out."""
        return self._answer(lambda: self._engine.view(name))

    def _answer(self, call: Callable[[], object]) -> str:
        try:
            return envelope.answer(call)
        except Exception:
            self._engine.forget()  # what is stored counts
            raise

    async def alarm(self, info: object = None) -> None:
        """Hand over and verify permits, and grant what a rate allows now."""
        await self._engine.tick()
