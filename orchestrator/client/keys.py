"""Calls about API keys and the audit log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, TypeAlias, TypedDict, Unpack

from orchestrator.client.flow import Emit, Flow, Request, Stream, ask, send
from orchestrator.client.operator_answers import ApiKey, AuditEntry, AuditPage, CreatedKey, CurrentKey, KeyPage
from orchestrator.client.payloads import Duration, get, path, post, wire, without_none

Scope: TypeAlias = Literal["enqueue", "read", "operate", "admin"]


class AuditFilter(TypedDict, total=False):
    """Which entries of the audit log."""

    target: str
    key_id: str
    created_after: datetime
    created_before: datetime


def create_key(
    name: str,
    scopes: Sequence[Scope],
    *,
    workflows: Sequence[str] | None = None,
    tenant: str | None = None,
    rate_per_s: int | None = None,
    lane_keys: Mapping[str, str] | None = None,
    max_priority: int | None = None,
    expires_in: Duration | None = None,
) -> Flow[CreatedKey]:
    """Make a key; what opens it is in this answer only.

    An answer that is lost leaves a key that nobody has: it is not asked for twice. List the keys and revoke it.
    """
    body = without_none(
        name=name,
        scopes=scopes,
        workflows=workflows,
        tenant=tenant,
        rate_per_s=rate_per_s,
        lane_keys=lane_keys,
        max_priority=max_priority,
        expires_in=None if expires_in is None else wire(expires_in),
    )
    return ask(post("/v1/keys", body, repeat="unserved"), CreatedKey)


def keys() -> Stream[ApiKey]:
    """Yield the keys, newest first; one that is of no use any more is shown for another 90 days."""
    cursor: str | None = None
    while True:
        page = yield from ask(get("/v1/keys", limit=200, cursor=cursor), KeyPage)
        for key in page.keys:
            yield Emit(key)
        cursor = page.next_cursor
        if cursor is None:
            return


def get_current_key() -> Flow[CurrentKey]:
    """Return what the key of this client may do."""
    return ask(get("/v1/keys/current"), CurrentKey)


def revoke_key(key_id: str) -> Flow[None]:
    """End a key's use, within 30 seconds everywhere; again changes nothing."""
    yield from send(Request(method="DELETE", path=path("/v1/keys/{}", key_id)))


def audit(**where: Unpack[AuditFilter]) -> Stream[AuditEntry]:
    """Yield control actions, newest first, refused ones included."""
    cursor: str | None = None
    while True:
        page = yield from ask(get("/v1/audit", limit=200, cursor=cursor, **where), AuditPage)
        for entry in page.entries:
            yield Emit(entry)
        cursor = page.next_cursor
        if cursor is None:
            return
