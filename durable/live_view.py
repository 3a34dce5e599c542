"""The live view of one job: its events, pushed by its own object to WebSockets that hibernate.

While nothing happens, nothing runs: the object leaves memory and its sockets stay open (platform.md §1.7). What each
one has seen is kept with it, so the object needs no memory of them. A message leaves only when its event is durable,
since the output gate holds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from durable.http.shapes import event_out
from durable.watch_rights import WatchRight, WatchRights
from orchestrator.errors import OrchestratorError
from orchestrator.model import Event

#: Sockets of one job; the platform allows 32,768, but each event costs a message to each.
MAX_WATCHERS: Final = 100
#: Events read at a time.
PAGE: Final = 500
#: Why a socket is closed (RFC 6455 §7.4.1 and its registry): all is said; the client may not listen, or broke the rule
#: that it only listens; nobody can say now whether it may.
NORMAL: Final = 1000
POLICY: Final = 1008
TRY_AGAIN_LATER: Final = 1013


class Socket(Protocol):
    """One watcher."""

    @property
    def after(self) -> int:
        """The number of the last event it was sent."""
        ...

    @property
    def right(self) -> WatchRight:
        """What it may watch by."""
        ...

    def renew(self, right: WatchRight) -> None:
        """Remember that it may go on."""
        ...

    def send(self, texts: Sequence[str], after: int) -> None:
        """Send messages, and remember the number of the last one's event. One that is broken takes nothing."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Close it; do nothing when it is closed."""
        ...


class Sockets(Protocol):
    """The sockets that the platform keeps for the object."""

    def open(self) -> Sequence[Socket]:
        """Return those that are open."""
        ...


class LiveView:
    """Pushes the events of one job.

    Args:
        sockets: the watchers.
        read: returns events after a number, oldest first, at most so many.
        over: tells why nothing will follow, None while something may.
        rights: judges whether a watcher may go on.
    """

    def __init__(
        self,
        sockets: Sockets,
        read: Callable[[int, int], list[Event]],
        over: Callable[[], str | None],
        rights: WatchRights,
    ) -> None:
        self._sockets = sockets
        self._read = read
        self._over = over
        self._rights = rights
        self._renewal: asyncio.Future[None] | None = None  # a task that nobody holds may vanish
        #: Whether anybody watches; not known before the first look after the object came into memory.
        self._watched: bool | None = None
        self._planned = False

    def has_room(self) -> bool:
        """Tell whether another watcher may come."""
        return len(self._sockets.open()) < MAX_WATCHERS

    def joined(self) -> None:
        """Send a new watcher what there is."""
        self._watched = True
        self.push()

    def poke(self) -> None:
        """Take note that there are new events: they are pushed when the running code next waits."""
        if self._watched is False or self._planned:
            return
        self._planned = True
        asyncio.get_running_loop().call_soon(self._push_planned)

    def push(self) -> None:
        """Send every watcher what it has not seen, and let it go when the job has ended.

        One whose right has run out gets it once the right is renewed.
        """
        sockets = self._sockets.open()
        self._watched = bool(sockets)
        over = self._over() if sockets else None
        pages: dict[int, list[Event]] = {}
        doubtful: set[str] = set()
        for socket in sockets:
            if self._rights.hold(socket.right):
                self._send(socket, pages)
                if over is not None:
                    socket.close(NORMAL, over)
            elif over is not None or self._page(socket.after, pages):
                doubtful.add(socket.right.key_id)
        if doubtful and self._renewal is None:
            self._renewal = asyncio.ensure_future(self._renew(doubtful))

    def _push_planned(self) -> None:
        self._planned = False
        self.push()

    async def _renew(self, key_ids: set[str]) -> None:
        """Look keys up, part with the watchers of those that are of no use any more, and send the others what waits."""
        try:
            for key_id in key_ids:
                await self._renew_key(key_id)
        finally:
            self._renewal = None
        self.push()

    async def _renew_key(self, key_id: str) -> None:
        code, reason, right = POLICY, "the key has expired or was revoked", None
        try:
            right = await self._rights.renew(key_id)
        except OrchestratorError:
            code, reason = TRY_AGAIN_LATER, "the keys cannot be looked up"
        for socket in self._sockets.open():
            if socket.right.key_id != key_id or self._rights.hold(socket.right):
                continue
            if right is None:
                socket.close(code, reason)
            else:
                socket.renew(right)

    def _page(self, after: int, pages: dict[int, list[Event]]) -> list[Event]:
        if after not in pages:
            pages[after] = self._read(after, PAGE)
        return pages[after]

    def _send(self, socket: Socket, pages: dict[int, list[Event]]) -> None:
        """Send a watcher what follows; ``pages`` were read for others before."""
        after = socket.after
        while page := self._page(after, pages):
            texts = [event_out(event).model_dump_json() for event in page]
            after = page[-1].seq
            socket.send(texts, after)
