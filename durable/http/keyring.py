"""Finding out who calls: the deployment's own key, or one that was made, remembered for a short while."""

from __future__ import annotations

import hashlib
import hmac
import math

from durable.http.access import ROOT, Principal, Scope
from durable.http.host import Host
from durable.http.memory import remember
from durable.keys import KeyRecord, id_in
from orchestrator.errors import RetryableError, UnauthorizedError
from orchestrator.lane import Rate
from orchestrator.limits import RATE_PER_S

#: A key that was looked up is not asked for again this long: so long a revoked one may still pass elsewhere.
REMEMBERED_MS = 30_000
#: Lookups of keys that were never seen to be valid: whoever makes keys up must not keep their object busy.
STRANGERS = Rate(count=50, burst=200)
#: How much of a second's requests may come at once.
BURST_S = 2


async def identify(host: Host, bearer: bytes) -> Principal:
    """Return whose key a request carries.

    Raises:
        UnauthorizedError: nobody's: unknown, expired or revoked.
        RetryableError: the object that keeps the keys does not answer, or too many unknown keys are asked for.
    """
    # Digests are compared, so that not even the key's length shows in the time.
    own, given = (hashlib.sha256(text).digest() for text in ((host.api_key or "").encode(), bearer))
    if host.api_key and hmac.compare_digest(own, given):
        return ROOT
    text = bearer.decode("ascii", "replace")
    key_id = id_in(text)
    record = None if key_id is None else await _record(host, key_id)
    if record is None or not record.is_opened_by(text):
        raise UnauthorizedError("The request carries no valid key")
    if not record.is_valid(host.clock.now_ms()):
        raise UnauthorizedError("The key has expired or was revoked")
    return principal_of(record)


def principal_of(record: KeyRecord) -> Principal:
    """Return on whose behalf a key acts."""
    return Principal(
        key_id=record.id,
        scopes=frozenset(Scope(scope) for scope in record.scopes),
        workflows=None if record.workflows is None else frozenset(record.workflows),
        tenant=record.tenant,
        rate_per_s=record.rate_per_s,
        lane_keys=record.lane_keys,
        max_priority=record.max_priority,
    )


def take_turn(host: Host, principal: Principal) -> int | None:
    """Count a request against its caller's rate; return in how many seconds to come back, or None when it may pass.

    Each isolate counts for itself, which costs nothing and bounds what one caller does to one isolate; there may be
    several isolates.
    """
    per_s = principal.rate_per_s or host.rate_per_s
    now_ms = host.clock.now_ms()
    rate = Rate(count=per_s, burst=max(1, per_s * BURST_S))
    levels = host.memory.levels
    level = levels.get(principal.key_id, 0)
    ready_ms = rate.ready_ms(level)
    if ready_ms > now_ms:
        return math.ceil((ready_ms - now_ms) / 1000)
    remember(levels, principal.key_id, rate.take(level, now_ms))
    return None


def rate_of(setting: str | None) -> int:
    """Return the setting ``API_RATE_PER_S``; one that is no number above 0 changes nothing."""
    return int(setting) if setting is not None and setting.isdecimal() and int(setting) else RATE_PER_S


async def _record(host: Host, key_id: str) -> KeyRecord | None:
    now_ms = host.clock.now_ms()
    known, until_ms = host.memory.keys.get(key_id, (None, 0))
    if now_ms < until_ms:
        return known
    if known is None:
        if STRANGERS.ready_ms(host.memory.strangers) > now_ms:
            raise RetryableError("Too many unknown keys are asked for", code="object_overloaded")
        host.memory.strangers = STRANGERS.take(host.memory.strangers, now_ms)
    found = await host.keys.get(key_id)
    remember(host.memory.keys, key_id, (found, now_ms + REMEMBERED_MS))
    return found
