"""One Durable Object of a world: what it has stored, its alarm, and the copy of it that is in memory."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Generic, Literal, LiteralString, TypeVar

from orchestrator.meter import Meter
from orchestrator.ports import SqlRow, SqlValue
from orchestrator.testing.faults import Crash, VirtualClock
from orchestrator.testing.sql import MemorySql

if TYPE_CHECKING:
    from orchestrator.testing.objects import Objects

E = TypeVar("E")


class ObjectResetError(Exception):
    """Storage refuses a copy that is not the object any more (platform.md §1.5)."""


class Copy:
    """An object in memory, and its ports. It ends with whatever ends the object; what it does then reaches nobody.

    Args:
        world: where it lives.
        host: whose copy it is.
    """

    def __init__(self, world: Objects, host: Host) -> None:
        self.world = world
        self.host = host
        #: ``reset``: another copy is the object now, and storage refuses this one; ``dead``: it does nothing more.
        self.state: Literal["alive", "reset", "dead"] = "alive"
        self.meter = Meter()
        self.sql = self
        self.alarm = self

    @property
    def clock(self) -> VirtualClock:
        """The world's clock."""
        return self.world.clock

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Keep a log line."""
        self.world.logs.append((level, event, {"object": self.host.name, **fields}))

    def gate(self) -> None:
        """Hold an outgoing message until every write so far is durable (platform.md §1.3)."""
        if self.state == "dead":
            raise Crash
        if self.state == "alive":
            self.world.gate(self.host)

    async def sync(self) -> None:
        """Make the writes durable."""
        self.gate()
        await self.world.pass_time(self, "sync")

    async def wipe(self) -> None:
        """Lose everything, the alarm included."""
        self._check()
        self.host.wipe()

    # Sql port

    @property
    def rows_written(self) -> int:
        """Rows changed so far."""
        return self.host.sql.rows_written

    @property
    def rows_read(self) -> int:
        """Rows read so far."""
        return self.host.sql.rows_read

    @property
    def size_bytes(self) -> int:
        """What the database takes."""
        return self.host.sql.size_bytes

    def execute(self, query: LiteralString, *params: SqlValue) -> list[SqlRow]:
        """Run a statement in the object's database."""
        self._check()
        try:
            return self.host.sql.execute(query, *params)
        except Crash:
            # Gone at this very moment: what unwinds through the rest of the code stores nothing more.
            self.state = "dead"
            raise

    # Alarm port: the alarm's time is a row of the object, so it commits and is lost with the writes around it.

    def set(self, at_ms: int) -> None:
        """Arm the alarm."""
        self._check()
        if at_ms <= self.clock.now_ms():
            raise AssertionError("an alarm in the past is dropped by workerd inside alarm()")
        self.meter.alarms_set += 1
        self.host.set_alarm(at_ms)

    def clear(self) -> None:
        """Disarm the alarm."""
        self._check()
        self.host.set_alarm(None)

    async def get(self) -> int | None:
        """Return what the alarm is set to."""
        self._check()
        return self.host.alarm_ms

    async def take_back(self) -> None:
        """Disarm the alarm for good."""
        self.clear()
        self.world.taking_back(self.host)
        await self.sync()

    def _check(self) -> None:
        if self.state == "dead":
            raise Crash
        if self.state == "reset":
            raise ObjectResetError("Durable Object storage is no longer accessible: the object was reset")


class Host(ABC):
    """What outlives an object's copies.

    Args:
        world: where it lives.
        name: the object's name.
    """

    #: Whether its writes are among those that a test may choose to stop before.
    counted = True

    def __init__(self, world: Objects, name: str) -> None:
        self.world = world
        self.name = name
        self.sql = MemorySql(lambda: world.writing(self))
        #: The alarm as the object sees it: None while it runs, unless it was set again.
        self.alarm_ms: int | None = None
        self.alarm_writes = 0
        self.fired = 0
        #: The alarm that runs now, which the platform keeps until its handler has ended.
        self.running_ms: int | None = None
        self._set_again = False
        #: Whether the last copy has taken writes with it.
        self.lost_writes = False
        #: The alarm as it is durable, and after each group of writes since.
        self._kept: list[int | None] = [None]
        self.copy = self.boot()

    @abstractmethod
    def boot(self) -> Copy:
        """Make a copy of the object, as the platform does when it is called and not in memory."""

    @abstractmethod
    def tick(self) -> Coroutine[object, object, None]:
        """Begin the alarm's handler in the present copy."""

    def next_due_ms(self) -> int | None:
        """Return when the object needs its alarm at the latest, as far as that is known here."""
        return None

    def set_alarm(self, at_ms: int | None) -> None:
        """Arm or disarm the alarm, in the group of the writes around it."""
        self.sql.touch()
        self._set_again = True
        self.alarm_ms = at_ms
        self.alarm_writes += at_ms is not None
        self.world.touched(self)

    @property
    def durable_alarm_ms(self) -> int | None:
        """The alarm as it is durable."""
        return self._kept[0]

    def end_turn(self) -> bool:
        """End a group of writes; tell whether there was one."""
        if not self.sql.end_turn():
            return False
        self._kept.append(self._stored_alarm_ms())
        return True

    def commit(self) -> None:
        """Make the writes and the alarm durable together."""
        if self.copy.state == "alive":
            self.sql.commit()
            self._kept = [self._stored_alarm_ms()]

    def crash(self, keep: int = 0) -> None:
        """Lose memory and what was not durable, the first ``keep`` groups of it aside."""
        self.copy.state = "dead"
        self.replace(keep)

    def replace(self, keep: int = 0) -> None:
        """Have a new copy take over from what is durable; see :meth:`crash`."""
        self.lost_writes = self.sql.undurable
        self.sql.discard(keep)
        self.alarm_ms = self._kept[min(keep, len(self._kept) - 1)]
        self._kept = [self.alarm_ms]
        failed = self.running_ms is not None and self.alarm_ms == self.running_ms
        self.running_ms = None
        self.copy = self.boot()
        self.world.crashes += 1
        if failed:
            self.world.alarm_failed(self)

    def retry_alarm(self, at_ms: int | None) -> None:
        """Have the platform run a failed alarm again, or forget it."""
        self.alarm_ms = at_ms
        self._kept = [at_ms]

    def wipe(self) -> None:
        """Lose everything, the alarm included, at once."""
        self.sql.wipe()
        self._set_again = True
        self.alarm_ms = None
        self._kept = [None]

    def begin_alarm(self) -> None:
        """Take note that the alarm's handler begins."""
        self.fired += 1
        self.running_ms, self.alarm_ms = self.alarm_ms, None
        self._set_again = False

    def end_alarm(self) -> None:
        """Take note that the alarm's handler has ended well: its alarm goes, unless it was set again."""
        self.sql.touch()
        self.running_ms = None

    async def fire(self) -> None:
        """Run the alarm to its end, with nothing else going on."""
        copy = self.copy
        self.begin_alarm()
        turns = asyncio.ensure_future(self._commit_every_turn(copy))
        try:
            await self.tick()
            if self.copy is copy:
                self.end_alarm()
                self.commit()
        except Crash:
            if self.copy is copy:
                self.crash()
        finally:
            turns.cancel()

    async def _commit_every_turn(self, copy: Copy) -> None:
        """Only what is written between two turns of the event loop commits together (platform.md §1.3)."""
        while self.copy is copy:
            self.commit()
            await asyncio.sleep(0)

    def _stored_alarm_ms(self) -> int | None:
        running = self.running_ms is not None and not self._set_again
        return self.running_ms if running else self.alarm_ms


class EngineHost(Host, Generic[E]):
    """A host with an engine of ours in its copy."""

    engine: E
