"""How long a watcher may go on watching: its key is looked up again while events are sent, and never while none are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from durable.http.access import ROOT
from durable.http.keyring import REMEMBERED_MS
from durable.keys import KeyRecord

#: Whoever let the watcher in may have remembered its key for a while, so the first event after this asks again.
JUST_LET_IN_MS: Final = 1_000


class WatchRight(msgspec.Struct, frozen=True):
    """What a watcher's right rests on; kept with its socket."""

    key_id: str
    #: Until then the key counts as valid without being looked up.
    until_ms: int


class WatchRights:
    """Judges rights.

    Args:
        now_ms: the clock.
        look_up: returns a key's record, None when there is none.
    """

    def __init__(self, now_ms: Callable[[], int], look_up: Callable[[str], Awaitable[KeyRecord | None]]) -> None:
        self._now_ms = now_ms
        self._look_up = look_up

    def let_in(self, key_id: str) -> WatchRight:
        """Return the right of somebody whose request has passed."""
        return WatchRight(key_id, self._now_ms() + JUST_LET_IN_MS)

    def hold(self, right: WatchRight) -> bool:
        """Tell whether a right still counts. The deployment's own key changes with a deployment, which ends sockets."""
        return right.key_id == ROOT.key_id or self._now_ms() < right.until_ms

    async def renew(self, key_id: str) -> WatchRight | None:
        """Return the right that a key gives now; None when it was revoked or has expired.

        Raises:
            OrchestratorError: the object that keeps the keys does not answer.
        """
        asked_ms = self._now_ms()
        record = await self._look_up(key_id)
        if record is None or not record.is_valid(asked_ms):
            return None
        until_ms = asked_ms + REMEMBERED_MS
        return WatchRight(key_id, until_ms if record.expires_at_ms is None else min(until_ms, record.expires_at_ms))
