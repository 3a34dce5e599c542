"""What a scenario does to a platform from outside, and how scenarios are registered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec


class Platform(Protocol):
    """The simulator, or real workerd."""

    @property
    def is_simulated(self) -> bool: ...

    def now_ms(self) -> int: ...

    async def act(self, name: str, act: str, *args: str) -> str:
        """Have an object act.

        Raises:
            RetryableError: it did not answer.
            OrchestratorError: it failed.
        """
        ...

    async def wait(self, delay_ms: int) -> None:
        """Let time pass."""
        ...

    async def evict(self, name: str) -> None:
        """Have the platform forget an idle object's memory."""
        ...

    async def crash(self) -> None:
        """End every process at once, and start again on what is durable."""
        ...

    async def send(self, queue: str, text: str, *, delay_s: int = 0) -> None:
        """Send a message to a queue."""
        ...


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """What every platform must do, and on which evidence.

    Args:
        run: the scenario.
        cites: the section of platform.md that says so.
        crashes: whether it ends every process.
        long: whether it takes minutes on a real clock; these run in ``make conformance`` only.
        strikes: the points at which the simulator's faults strike, where the real platform needs none.
    """

    run: Callable[[Platform], Awaitable[None]]
    cites: str
    crashes: bool = False
    long: bool = False
    strikes: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return getattr(self.run, "__name__", "")


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    cites: str, *, crashes: bool = False, long: bool = False, strikes: tuple[str, ...] = ()
) -> Callable[[Callable[[Platform], Awaitable[None]]], Callable[[Platform], Awaitable[None]]]:
    """Register a scenario; see :class:`Scenario`."""

    def register(run: Callable[[Platform], Awaitable[None]]) -> Callable[[Platform], Awaitable[None]]:
        made = Scenario(run=run, cites=cites, crashes=crashes, long=long, strikes=frozenset(strikes))
        SCENARIOS[made.name] = made
        return run

    return register


async def until(platform: Platform, condition: Callable[[], Awaitable[bool]], *, within_ms: int) -> None:
    """Wait until something holds."""
    deadline_ms = platform.now_ms() + within_ms
    while not await condition():
        if platform.now_ms() > deadline_ms:
            raise AssertionError("it did not come to hold in time")
        await platform.wait(max(25, within_ms // 200))
