"""What the gate remembers from one request to the next, as long as the isolate lives; nothing of it is needed."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

from durable.keys import KeyRecord

#: Keys, and callers' rates, that one isolate remembers.
MAX_REMEMBERED = 5_000

V = TypeVar("V")


class GateMemory:
    """The memory of one isolate."""

    def __init__(self) -> None:
        #: By key id: what was found, and until when this is believed.
        self.keys: OrderedDict[str, tuple[KeyRecord | None, int]] = OrderedDict()
        #: By caller: the level of its bucket.
        self.levels: OrderedDict[str, int] = OrderedDict()
        self.strangers = 0

    def forget(self, key_id: str) -> None:
        """Ask for a key again when it comes next."""
        self.keys.pop(key_id, None)


def remember(memory: OrderedDict[str, V], name: str, value: V) -> None:
    """Keep a value, and forget the one that was kept longest ago when there are too many."""
    memory[name] = value
    memory.move_to_end(name)
    if len(memory) > MAX_REMEMBERED:
        memory.popitem(last=False)
