"""The API's way to the object that keeps the keys."""

from __future__ import annotations

from typing import TypeVar

from durable import envelope
from durable.bridge import Env
from durable.envelope import text_of
from durable.keys import KeyQuery, KeyRecord
from durable.object_calls import call_object

T = TypeVar("T")

KEYS = "KEYS"
KEYS_NAME = "keys-0"


class ObjectKeys:
    """Implements :class:`durable.http.host.KeysBackend`.

    Args:
        env: the Worker's bindings.
    """

    def __init__(self, env: Env) -> None:
        self._env = env

    async def add(self, record: KeyRecord) -> None:
        """See :class:`durable.http.host.KeysBackend`."""
        await self._call("add", type(None), text_of(record))

    async def get(self, key_id: str) -> KeyRecord | None:
        """See :class:`durable.http.host.KeysBackend`."""
        return await self._call("get", KeyRecord | None, key_id)  # type: ignore[arg-type]

    async def list(self, query: KeyQuery) -> list[KeyRecord]:
        """See :class:`durable.http.host.KeysBackend`."""
        return await self._call("list", list[KeyRecord], text_of(query))

    async def revoke(self, key_id: str) -> None:
        """See :class:`durable.http.host.KeysBackend`."""
        await self._call("revoke", type(None), key_id)

    async def _call(self, method: str, into: type[T], *args: str) -> T:
        return envelope.unwrap(await call_object(self._env, KEYS, KEYS_NAME, method, *args), into)
