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
from orchestrator.model import Event

#: Sockets of one job; the platform allows 32,768, but each event costs a message to each.
MAX_WATCHERS: Final = 100
#: Events read at a time.
PAGE: Final = 500
#: Why a socket is closed (RFC 6455 §7.4.1): all is said; or the client broke the rule that it only listens.
NORMAL: Final = 1000
POLICY: Final = 1008


class Socket(Protocol):
    """One watcher."""

    @property
    def after(self) -> int:
        """The number of the last event it was sent."""
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
    """

    def __init__(
        self, sockets: Sockets, read: Callable[[int, int], list[Event]], over: Callable[[], str | None]
    ) -> None:
        self._sockets = sockets
        self._read = read
        self._over = over
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
        """Send every watcher what it has not seen, and let it go when the job has ended."""
        sockets = self._sockets.open()
        self._watched = bool(sockets)
        over = self._over() if sockets else None
        pages: dict[int, list[Event]] = {}
        for socket in sockets:
            self._send(socket, pages)
            if over is not None:
                socket.close(NORMAL, over)

    def _push_planned(self) -> None:
        self._planned = False
        self.push()

    def _send(self, socket: Socket, pages: dict[int, list[Event]]) -> None:
        """Send a watcher what follows; ``pages`` were read for others before."""
        after = socket.after
        while True:
            if after not in pages:
                pages[after] = self._read(after, PAGE)
            if not pages[after]:
                return
            texts = [event_out(event).model_dump_json() for event in pages[after]]
            after = pages[after][-1].seq
            socket.send(texts, after)
