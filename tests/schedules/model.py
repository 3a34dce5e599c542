"""An independent model of cron: it looks at every minute there is, with a field parser of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def fields(expression: str) -> list[set[int]]:
    """Return the numbers each field allows: numbers, ranges, lists, ``*`` and steps."""
    return [_field(text, *bounds) for text, bounds in zip(expression.split(), _BOUNDS, strict=True)]


def times(expression: str, zone_name: str, start: datetime, end: datetime) -> list[datetime]:
    """Return the planned moments in ``(start, end]``, minute by minute."""
    zone = ZoneInfo(zone_name)
    minute, hour = expression.split()[:2]
    fixed = not minute.startswith("*") and not hour.startswith("*")
    if not fixed:
        return [moment for moment in _minutes(start, end) if fits(expression, moment.astimezone(zone))]
    # The first moment whose clock shows this wall time or a later one, looked for from well before the range.
    found: set[datetime] = set()
    highest: datetime | None = None
    for moment in _minutes(start - timedelta(days=2), end):
        wall = moment.astimezone(zone).replace(tzinfo=None)
        if highest is not None and wall <= highest:
            continue  # the clock repeats itself
        passed = wall if highest is None else highest + MINUTE
        while passed <= wall:
            if fits(expression, passed) and start < moment <= end:
                found.add(moment)
            passed += MINUTE
        highest = wall
    return sorted(found)


def fits(expression: str, wall: datetime) -> bool:
    """Tell whether a wall time is one the expression names."""
    minutes, hours, days, months, weekdays = fields(expression)
    if wall.minute not in minutes or wall.hour not in hours or wall.month not in months:
        return False
    by_day = wall.day in days
    by_weekday = bool({wall.isoweekday() % 7, wall.isoweekday()} & weekdays)
    _, _, day_text, _, weekday_text = expression.split()
    if day_text.startswith("*") or weekday_text.startswith("*"):
        return by_day and by_weekday
    return by_day or by_weekday


def _minutes(start: datetime, end: datetime) -> Iterator[datetime]:
    moment = start.astimezone(UTC).replace(second=0, microsecond=0)
    while moment < end:
        moment += MINUTE
        if start < moment <= end:
            yield moment


def _field(text: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            first, last = low, high
        elif "-" in span:
            first, last = (int(number) for number in span.split("-"))
        else:
            first = int(span)
            last = high if step else first
        found.update(range(first, last + 1, int(step or 1)))
    return found
