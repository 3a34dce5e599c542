"""``AlertsObject``: the one Durable Object of the alerts. Strings of JSON in, strings of JSON out.

Methods answer ``{"ok": …}`` or ``{"error": …}`` like those of ``JobObject``.
"""

from __future__ import annotations

import msgspec
from workers import DurableObject

from durable import bridge, envelope
from durable.alerts.engine import AlertEngine
from durable.alerts.model import Observation
from durable.alerts.settings import AlertPolicy, AlertReceiver
from durable.fetch_http import FetchHttp
from durable.object_platform import ObjectPorts


class AlertsObject(DurableObject):
    """The alerts. The constructor only remembers (platform.md §4.5)."""

    def __init__(self, ctx: object, env: object) -> None:
        super().__init__(ctx, env)
        bindings = bridge.Env(env)
        self._engine = AlertEngine(
            _Ports(bridge.Storage(ctx)),
            lambda: AlertPolicy.from_env(bindings.texts()),
            lambda: AlertReceiver.from_env(bindings.texts()),
        )

    async def observe(self, body: str) -> str:
        """Take what a tick has measured: ``Observation`` in."""
        await self._engine.look()
        return envelope.answer(lambda: self._engine.observe(msgspec.json.decode(body, type=Observation)))

    async def view(self) -> str:
        """The alerts as operators see them: ``AlertsView`` out."""
        return envelope.answer(self._engine.view)

    async def alarm(self, info: object = None) -> None:
        """Deliver what is due."""
        await self._engine.tick()


class _Ports(ObjectPorts):
    """Implements :class:`durable.alerts.engine.AlertPlatform`."""

    def __init__(self, storage: bridge.Storage) -> None:
        super().__init__(storage)
        self.http = FetchHttp()
