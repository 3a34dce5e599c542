"""The API's way to the object that keeps the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from durable import envelope
from durable.audit import AuditEntry, AuditOutcome, AuditQuery
from durable.bridge import Env
from durable.envelope import text_of
from durable.object_calls import call_object

T = TypeVar("T")

AUDIT = "AUDIT"
AUDIT_NAME = "audit-0"


class ObjectAudit:
    """Implements :class:`durable.http.host.AuditBackend`.

    Args:
        env: the Worker's bindings.
    """

    def __init__(self, env: Env) -> None:
        self._env = env

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """See :class:`durable.http.host.AuditBackend`."""
        await self._call("add", type(None), text_of(entries))

    async def settle(self, outcomes: Sequence[AuditOutcome]) -> None:
        """See :class:`durable.http.host.AuditBackend`."""
        await self._call("settle", type(None), text_of(outcomes))

    async def list(self, query: AuditQuery) -> list[AuditEntry]:
        """See :class:`durable.http.host.AuditBackend`."""
        return await self._call("list", list[AuditEntry], text_of(query))

    async def _call(self, method: str, into: type[T], *args: str) -> T:
        return envelope.unwrap(await call_object(self._env, AUDIT, AUDIT_NAME, method, *args), into)
