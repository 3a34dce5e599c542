"""``AuditObject``: the Durable Object that keeps the audit log. Strings of JSON in, strings of JSON out.

Methods answer ``{"ok": …}`` or ``{"error": …}`` like those of ``JobObject``.
"""

from __future__ import annotations

import msgspec
from workers import DurableObject

from durable import bridge, envelope
from durable.audit import AuditEntry, AuditLog, AuditOutcome, AuditQuery
from durable.object_sql import ObjectSql


class AuditObject(DurableObject):
    """The audit log. The constructor only remembers (platform.md §4.5)."""

    def __init__(self, ctx: object, env: object) -> None:
        super().__init__(ctx, env)
        self._log = AuditLog(ObjectSql(bridge.Storage(ctx)))

    async def add(self, body: str) -> str:
        """Keep entries: a list of ``AuditEntry`` in."""
        return envelope.answer(lambda: self._log.add(msgspec.json.decode(body, type=list[AuditEntry])))

    async def settle(self, body: str) -> str:
        """Note how actions were answered: a list of ``AuditOutcome`` in."""
        return envelope.answer(lambda: self._log.settle(msgspec.json.decode(body, type=list[AuditOutcome])))

    async def list(self, body: str) -> str:
        """List entries: ``AuditQuery`` in, a list of ``AuditEntry`` out."""
        return envelope.answer(lambda: self._log.list(msgspec.json.decode(body, type=AuditQuery)))
