"""Checks of what authors say in numbers, at the place where they say it."""

from __future__ import annotations

from orchestrator.errors import InvalidRequestError
from orchestrator.limits import MAX_DELAY_MS, MAX_STEP_TIMEOUT_MS

#: The end of the year 9999, the last that an ISO 8601 time has four digits for.
MAX_TIME_MS = 253_402_300_799_999


def duration(value_ms: int, *, what: str) -> int:
    """Return a duration that timers can wait for.

    Raises:
        InvalidRequestError: it is negative or longer than a year.
    """
    if not 0 <= value_ms <= MAX_DELAY_MS:
        raise InvalidRequestError(f"{what} is between 0 and {MAX_DELAY_MS} ms (a year); got {value_ms}")
    return value_ms


def point_in_time(at_ms: int) -> int:
    """Return a Unix time in ms.

    Raises:
        InvalidRequestError: it is none.
    """
    if not 0 <= at_ms <= MAX_TIME_MS:
        raise InvalidRequestError(f"A time is Unix time in ms before the year 10000; got {at_ms}")
    return at_ms


def step_timeout(value_ms: int) -> int:
    """Return a step's timeout.

    Raises:
        InvalidRequestError: the platform would end the step's alarm first.
    """
    if not 1 <= value_ms <= MAX_STEP_TIMEOUT_MS:
        raise InvalidRequestError(
            f"A step's timeout is between 1 and {MAX_STEP_TIMEOUT_MS} ms, since the platform ends alarms after 15 min;"
            f" got {value_ms}. Split the step, or walk its work with job.each"
        )
    return value_ms


def heartbeat(value_ms: int | None, *, timeout_ms: int) -> int | None:
    """Return how long a step may be silent; None for any time.

    Raises:
        InvalidRequestError: it is longer than the step may take.
    """
    if value_ms is not None and not 1 <= value_ms <= timeout_ms:
        raise InvalidRequestError(
            f"A step's heartbeat is between 1 ms and its timeout of {timeout_ms} ms; got {value_ms}"
        )
    return value_ms


def count(value: float, *, what: str, least: int = 1) -> float:
    """Return a number of things.

    Raises:
        InvalidRequestError: it is too small.
    """
    if value < least:
        raise InvalidRequestError(f"{what} is at least {least}; got {value}")
    return value
