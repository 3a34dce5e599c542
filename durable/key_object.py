"""``KeyObject``: the Durable Object that keeps the API keys. Strings of JSON in, strings of JSON out.

Methods answer ``{"ok": …}`` or ``{"error": …}`` like those of ``JobObject``.
"""

from __future__ import annotations

import msgspec
from workers import DurableObject

from durable import bridge, envelope
from durable.keys import KeyQuery, KeyRecord, KeyStore
from durable.object_sql import ObjectSql


class KeyObject(DurableObject):
    """The keys. The constructor only remembers (platform.md §4.5)."""

    def __init__(self, ctx: object, env: object) -> None:
        super().__init__(ctx, env)
        self._keys = KeyStore(ObjectSql(bridge.Storage(ctx)))

    async def add(self, body: str) -> str:
        """Keep a key: ``KeyRecord`` in."""
        return envelope.answer(lambda: self._keys.add(msgspec.json.decode(body, type=KeyRecord)))

    async def get(self, key_id: str) -> str:
        """One key: its id in, ``KeyRecord`` or null out."""
        return envelope.answer(lambda: self._keys.get(key_id))

    async def list(self, body: str) -> str:
        """List keys: ``KeyQuery`` in, a list of ``KeyRecord`` out."""
        return envelope.answer(lambda: self._keys.list(msgspec.json.decode(body, type=KeyQuery)))

    async def revoke(self, key_id: str) -> str:
        """End a key's use: its id in."""
        return envelope.answer(lambda: self._keys.revoke(key_id, bridge.now_ms()))
