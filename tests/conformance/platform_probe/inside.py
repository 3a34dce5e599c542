"""What code in an object has, on every platform."""

from __future__ import annotations

from typing import NoReturn, Protocol

from orchestrator.ports import Alarm, Clock, Sql


class Inside(Protocol):
    """One copy of an object in memory."""

    @property
    def sql(self) -> Sql: ...

    @property
    def alarm(self) -> Alarm: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def memory(self) -> dict[str, str]:
        """What is lost with the copy."""
        ...

    async def sync(self) -> None: ...

    async def wipe(self) -> None: ...

    async def wait(self, delay_ms: int) -> None:
        """Wait for something that is not storage."""
        ...

    async def call(self, name: str, act: str, *args: str) -> str:
        """Have another object act."""
        ...

    def die(self) -> NoReturn:
        """End this copy at once, as a platform that kills it does."""
        ...
