"""Billing periods. Pure."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime


def cycle_day(start_day: int, year: int, month: int) -> int:
    """Return the day of a month on which a cycle begins: the last one in months that are too short."""
    return min(start_day, monthrange(year, month)[1])


def period_start(start_day: int, at_ms: int) -> date:
    """Return the first day, in UTC, of the period that a moment lies in.

    Args:
        start_day: the day of the month on which the organization's periods begin, 1 to 31.
        at_ms: Unix ms.
    """
    today = datetime.fromtimestamp(at_ms / 1000, UTC).date()
    day = cycle_day(start_day, today.year, today.month)
    if today.day >= day:
        return today.replace(day=day)
    year, month = (today.year, today.month - 1) if today.month > 1 else (today.year - 1, 12)
    return date(year, month, cycle_day(start_day, year, month))
