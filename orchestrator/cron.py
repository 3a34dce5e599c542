"""Cron expressions in time zones: which moment comes next.

The expression is read, and wall clocks are searched, by ``cronsim``, which follows Debian's cron. Wall times become
moments here: with a zone of its own, cronsim loses whole days where the clock moves by half an hour (Lord Howe).
The rules are those of Debian's cron (``man 8 cron``):

- an expression with a fixed time (neither minute nor hour begins with ``*``) whose time the clock skips runs right
  after the gap; a time that the clock repeats runs once, the first time;
- any other expression follows the clock: skipped times do not exist, and repeated ones run twice.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from copy import copy
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from orchestrator.errors import InvalidCronError, UnknownTimeZoneError
from orchestrator.limits import MAX_CRON_CHARS

_FIELDS = 5
#: ``5-5/2``, which cronsim reads as ``5/2`` and Debian as ``5``.
_STEP_OF_ONE = re.compile(r"\b(\w+)-\1/", re.IGNORECASE)
_SECOND = timedelta(seconds=1)
#: Offsets are compared this far apart: no zone has moved its clock and back within it.
_STRIDE = timedelta(days=7)
#: The last moment that a schedule may name; ``datetime`` itself ends in 9999.
_LAST = datetime(9000, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Cron:
    """A cron expression in a time zone.

    Args:
        expression: five fields: minute, hour, day of month, month, day of week (0 to 7, Sunday is 0 and 7).
        time_zone: a name of the IANA database, such as ``Europe/Paris``.

    Raises:
        InvalidCronError: the expression is malformed, or no date fits it.
        UnknownTimeZoneError: there is no such zone.
    """

    def __init__(self, expression: str, time_zone: str) -> None:
        if len(expression) > MAX_CRON_CHARS:
            raise InvalidCronError(f"A cron expression has at most {MAX_CRON_CHARS} characters")
        fields = expression.split()
        if len(fields) != _FIELDS:
            raise InvalidCronError(
                "A cron expression has five fields: minute, hour, day of month, month, day of week; "
                f"this one has {len(fields)}"
            )
        if _STEP_OF_ONE.search(expression):
            raise InvalidCronError("A step needs a range of more than one value")
        self._zone = _zone(time_zone)
        self._fixed = not fields[0].startswith("*") and not fields[1].startswith("*")
        try:
            self._parsed = CronSim(expression, datetime(2000, 1, 1))
            never = self._next_wall(datetime(2000, 1, 1)) is None
        except CronSimError as error:
            raise InvalidCronError(f"The cron expression is malformed or fits no date: {error}") from None
        if never:
            raise InvalidCronError("No date fits the cron expression")

    def next_after(self, after_ms: int) -> int | None:
        """Return the first planned time after a moment, Unix time in ms, or None when there is none in 50 years."""
        after = _moment(after_ms)
        if after >= _LAST:
            return None
        found = self._next_fixed(after) if self._fixed else self._next_flowing(after)
        return None if found is None else _unix_ms(found)

    def between(self, after_ms: int, until_ms: int) -> Iterator[int]:
        """Yield the planned times in ``(after_ms, until_ms]``, in order."""
        at_ms = self.next_after(after_ms)
        while at_ms is not None and at_ms <= until_ms:
            yield at_ms
            at_ms = self.next_after(at_ms)

    def latest(self, after_ms: int, until_ms: int) -> int | None:
        """Return the last planned time in ``(after_ms, until_ms]``, or None, without walking through all of them."""
        found = self.next_after(after_ms)
        if found is None or found > until_ms:
            return None
        low_ms, high_ms = after_ms, until_ms  # a time follows low_ms in the range, and none follows high_ms
        while high_ms - low_ms > 1:
            middle_ms = (low_ms + high_ms) // 2
            later = self.next_after(middle_ms)
            if later is None or later > until_ms:
                high_ms = middle_ms
            else:
                low_ms, found = middle_ms, later
        return found

    def describe(self) -> str:
        """Return the expression in English words."""
        return self._parsed.explain()

    def _next_wall(self, wall: datetime) -> datetime | None:
        search = copy(self._parsed)  # it iterates in place, and reading the expression again costs more
        search.dt = wall
        return next(search, None)

    def _next_fixed(self, after: datetime) -> datetime | None:
        """Every planned wall time runs once: at its first moment, or at the end of the gap it falls into."""
        wall: datetime | None = after.astimezone(self._zone).replace(tzinfo=None)
        while wall is not None:
            wall = self._next_wall(wall)
            found = None if wall is None else self._first_moment(wall)
            if found is not None and found > after:
                return found
        return None

    def _next_flowing(self, after: datetime) -> datetime | None:
        """Search with the offset of now; where the clock is moved before a match, go on from there."""
        start, offset = after, self._offset(after)
        wall = _wall(start, offset)
        while True:
            match = self._next_wall(wall)
            if match is None:
                return None
            found = match.replace(tzinfo=UTC) - offset
            turn = self._turn(start, found, offset)
            if turn is None:
                return found
            start, offset = turn, self._offset(turn)
            wall = _wall(turn, offset) - _SECOND  # a match at the turn itself counts

    def _first_moment(self, wall: datetime) -> datetime:
        """Return the first moment at which the zone's clock shows ``wall`` or more."""
        local = wall.replace(tzinfo=self._zone, fold=0)
        moment = local.astimezone(UTC)
        if moment.astimezone(self._zone).replace(tzinfo=None) == wall:
            return moment
        # In a gap: with the offset from before it the moment lies after it, and with the one from after it before it.
        before = local.replace(fold=1).astimezone(UTC)
        return self._turn(before, moment, self._offset(before)) or moment

    def _turn(self, start: datetime, end: datetime, offset: timedelta) -> datetime | None:
        """Return the first second in ``(start, end]`` whose offset is another one, or None."""
        low = start
        while low < end:
            high = min(low + _STRIDE, end)
            if self._offset(high) != offset:
                seconds = range(1, (high - low) // _SECOND + 1)
                turned = bisect_left(seconds, True, key=lambda count: self._offset(low + count * _SECOND) != offset)
                return low + seconds[turned] * _SECOND
            low = high
        return None

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self._zone).utcoffset() or timedelta()


@lru_cache(maxsize=256)
def cron(expression: str, time_zone: str) -> Cron:
    """Return a :class:`Cron`, made once.

    Raises:
        InvalidCronError: the expression is malformed, or no date fits it.
        UnknownTimeZoneError: there is no such zone.
    """
    return Cron(expression, time_zone)


def _zone(name: str) -> ZoneInfo:
    # The list, and not the loader, decides: machines differ in what else they would load as a zone.
    if name not in _zone_names():
        raise UnknownTimeZoneError(f"There is no time zone {name[:80]!r}; names are like Europe/Paris or UTC")
    return ZoneInfo(name)


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    return frozenset(resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


def _moment(at_ms: int) -> datetime:
    """Return the second that a Unix time in ms lies in; planned times are whole minutes, so nothing is lost."""
    return _EPOCH + timedelta(seconds=at_ms // 1000)


def _unix_ms(moment: datetime) -> int:
    return (moment - _EPOCH) // _SECOND * 1000


def _wall(moment: datetime, offset: timedelta) -> datetime:
    return (moment + offset).replace(tzinfo=None)
