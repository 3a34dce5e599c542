"""What people should be told, worked out from the whole past at once: the decision sees one moment at a time."""

from __future__ import annotations

from typing import Literal

import msgspec

from durable.alerts.settings import AlertPolicy

#: What one tick saw of one subject.
State = Literal["wrong", "well", "unknown"]


class Tick(msgspec.Struct, frozen=True):
    at_ms: int
    state: State


class Told(msgspec.Struct, frozen=True):
    at_ms: int
    kind: str


def told(past: list[Tick], policy: AlertPolicy, hold_ms: int) -> list[Told]:
    """Return what people are told of one subject, tick by tick of its past."""
    found: list[Told] = []
    for index, tick in enumerate(past):
        last = found[-1] if found else None
        fires = last is not None and last.kind != "resolved"
        if not fires and tick.state == "wrong":
            if tick.at_ms - _began(past, index, since_ms=last.at_ms if last else -1) >= hold_ms:
                found.append(Told(tick.at_ms, "firing"))
        elif fires and last is not None:
            if tick.state == "wrong" and tick.at_ms - last.at_ms >= policy.repeat_ms:
                found.append(Told(tick.at_ms, "reminder"))
            elif tick.state == "well" and _well_for_ms(past, index) >= policy.clear_ms:
                found.append(Told(tick.at_ms, "resolved"))
    return found


def _began(past: list[Tick], index: int, *, since_ms: int) -> int:
    """Return when the run of wrong ticks that ends here began; ticks that could not tell do not break it."""
    began_ms = past[index].at_ms
    for tick in reversed(past[: index + 1]):
        if tick.state == "well" or tick.at_ms <= since_ms:
            break
        if tick.state == "wrong":
            began_ms = tick.at_ms
    return began_ms


def _well_for_ms(past: list[Tick], index: int) -> int:
    """Return for how long it has been well by this tick; ticks that could not tell do not break it either."""
    began_ms = past[index].at_ms
    for tick in reversed(past[: index + 1]):
        if tick.state == "wrong":
            break
        if tick.state == "well":
            began_ms = tick.at_ms
    return past[index].at_ms - began_ms
