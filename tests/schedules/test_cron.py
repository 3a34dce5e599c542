"""Cron expressions: known dates, every kind of clock change, and agreement with a model that counts minutes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.cron import Cron
from orchestrator.errors import InvalidCronError, RequestError, UnknownTimeZoneError
from tests.schedules import model

DAY = timedelta(days=1)


def unix_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def planned(expression: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    times = Cron(expression, zone).between(unix_ms(start), unix_ms(end))
    return [datetime.fromtimestamp(at_ms / 1000, UTC) for at_ms in times]


def local(expression: str, zone: str, day: date, days: int = 1) -> list[str]:
    """The planned times from the midnight at which a day begins on, as its own clocks show them."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    start, end = midnight.astimezone(UTC), (midnight + days * DAY).astimezone(UTC)
    second = timedelta(seconds=1)
    found = planned(expression, zone, start - second, end - second)
    return [moment.astimezone(ZoneInfo(zone)).strftime("%d %H:%M %z") for moment in found]


@pytest.mark.parametrize(
    ("expression", "zone", "day", "expected"),
    [
        # The clock skips 02:00 to 03:00: a fixed time in it runs right after.
        ("30 2 * * *", "America/New_York", date(2026, 3, 8), ["08 03:00 -0400"]),
        ("30 2 * * *", "Europe/Paris", date(2026, 3, 29), ["29 03:00 +0200"]),
        # Several fixed times in one gap run once; one that is right after the gap is the same moment.
        ("0,30 2,3 * * *", "Europe/Paris", date(2026, 3, 29), ["29 03:00 +0200", "29 03:30 +0200"]),
        # An expression that follows the clock has no such times.
        ("*/20 2 * * *", "Europe/Paris", date(2026, 3, 29), []),
        ("0 */2 * * *", "Europe/Paris", date(2026, 3, 29), [
            "29 00:00 +0100", "29 04:00 +0200", "29 06:00 +0200", "29 08:00 +0200", "29 10:00 +0200", "29 12:00 +0200",
            "29 14:00 +0200", "29 16:00 +0200", "29 18:00 +0200", "29 20:00 +0200", "29 22:00 +0200",
        ]),
        # The clock repeats 01:00 to 02:00: a fixed time runs the first time only.
        ("30 1 * * *", "America/New_York", date(2026, 11, 1), ["01 01:30 -0400"]),
        ("30 2 * * *", "Europe/Paris", date(2026, 10, 25), ["25 02:30 +0200"]),
        # An expression that follows the clock runs each time.
        ("*/30 1 * * *", "America/New_York", date(2026, 11, 1), [
            "01 01:00 -0400", "01 01:30 -0400", "01 01:00 -0500", "01 01:30 -0500",
        ]),
        # Half an hour: Lord Howe.
        ("15 2 * * *", "Australia/Lord_Howe", date(2026, 10, 4), ["04 02:30 +1100"]),
        ("*/10 3 * * *", "Australia/Lord_Howe", date(2026, 4, 5), [
            "05 03:00 +1030", "05 03:10 +1030", "05 03:20 +1030", "05 03:30 +1030", "05 03:40 +1030", "05 03:50 +1030",
        ]),
        ("45 1 * * *", "Australia/Lord_Howe", date(2026, 4, 5), ["05 01:45 +1100"]),
        # A day that begins at 01:00: Cairo.
        ("0 0 * * *", "Africa/Cairo", date(2026, 4, 24), ["24 01:00 +0300"]),
        # A whole day that never was: Samoa went over the date line.
        ("0 12 30 12 *", "Pacific/Apia", date(2011, 12, 31), ["31 00:00 +1400"]),
        # No changes at all.
        ("30 2 * * *", "Asia/Kathmandu", date(2026, 3, 29), ["29 02:30 +0545"]),
        ("0 12 * * *", "UTC", date(2026, 3, 29), ["29 12:00 +0000"]),
    ],
)  # fmt: skip
def test_changes_of_the_clock(expression: str, zone: str, day: date, expected: list[str]) -> None:
    assert local(expression, zone, day) == expected


@pytest.mark.parametrize(
    ("expression", "start", "expected"),
    [
        ("0 0 31 * *", date(2026, 1, 1), ["2026-01-31", "2026-03-31", "2026-05-31"]),
        ("0 0 29 2 *", date(2025, 1, 1), ["2028-02-29", "2032-02-29", "2036-02-29"]),
        ("0 0 29 2 *", date(2096, 3, 1), ["2104-02-29", "2108-02-29", "2112-02-29"]),  # 2100 is no leap year
        ("0 0 L * *", date(2028, 2, 1), ["2028-02-29", "2028-03-31", "2028-04-30"]),
        ("0 0 * * 0", date(2026, 11, 24), ["2026-11-29", "2026-12-06", "2026-12-13"]),  # Sunday, as on Unix
        ("0 0 * * 7", date(2026, 11, 24), ["2026-11-29", "2026-12-06", "2026-12-13"]),
        ("0 0 * * SUN", date(2026, 11, 24), ["2026-11-29", "2026-12-06", "2026-12-13"]),
        ("0 0 * * 1", date(2026, 11, 24), ["2026-11-30", "2026-12-07", "2026-12-14"]),  # Monday; Cloudflare's Sunday
        ("0 0 * * MON-FRI", date(2026, 11, 27), ["2026-11-30", "2026-12-01", "2026-12-02"]),
        ("0 0 13 * 5", date(2026, 11, 7), ["2026-11-13", "2026-11-20", "2026-11-27"]),  # day or weekday, as on Unix
        ("0 0 1-7 * */7", date(2026, 11, 8), ["2026-12-06", "2027-01-03", "2027-02-07"]),  # a star: day and weekday
    ],
)
def test_dates(expression: str, start: date, expected: list[str]) -> None:
    after = Cron(expression, "UTC")
    at_ms = unix_ms(datetime(start.year, start.month, start.day, tzinfo=UTC))
    found: list[str] = []
    for _ in expected:
        following = after.next_after(at_ms)
        assert following is not None
        at_ms = following
        found.append(datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d"))
    assert found == expected


@pytest.mark.parametrize(
    "expression",
    [
        "", "* * * *", "* * * * * *", "@daily", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *",
        "* * * * 8", "*/0 * * * *", "5-1 * * * *", "a * * * *", "1,,2 * * * *", "-1 * * * *", "1.5 * * * *",
        "5-5/2 * * * *", "* * * * MON#6", "² * * * *", "* * * * " + ",".join(["1"] * 200),
        "0 0 30 2 *", "0 0 31 2,4,6,9,11 *",  # no such day
        "* * */20 * 1L",  # the last Monday is never the 1st or 21st
    ],
)  # fmt: skip
def test_malformed_and_impossible_expressions_are_refused(expression: str) -> None:
    with pytest.raises(InvalidCronError):
        Cron(expression, "UTC")


@pytest.mark.parametrize("zone", ["", "Europe", "Europe/Paris/..", "europe/paris", "localtime", "+02:00", "x" * 999])
def test_unknown_zones_are_refused(zone: str) -> None:
    with pytest.raises(UnknownTimeZoneError):
        Cron("* * * * *", zone)


@given(st.text(alphabet="0123456789*,-/#LWMONFRI ²\t", max_size=40), st.sampled_from(["UTC", "Australia/Lord_Howe"]))
def test_any_text_is_understood_or_refused(text: str, zone: str) -> None:
    try:
        found = Cron(text, zone)
    except RequestError:
        return
    assert found.next_after(1_764_000_000_000) is not None
    assert found.describe()


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    step = st.integers(1, high)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    long_span = st.tuples(st.integers(low, high - 1), step).map(lambda pair: f"{pair[0]}-{high}/{pair[1]}")
    parts = st.one_of(number.map(str), span, long_span)
    lists = st.lists(parts, min_size=1, max_size=3).map(",".join)
    return st.one_of(st.just("*"), step.map(lambda every: f"*/{every}"), lists)


EXPRESSIONS = st.tuples(
    _field(0, 59), _field(0, 23), st.one_of(st.just("*"), _field(1, 28)), st.just("*"), _field(0, 6)
).map(" ".join)
#: A zone and a moment near which its clock is moved, forward and back; and one without changes.
TURNS = st.sampled_from(
    [
        ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
        ("Europe/Paris", datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("Europe/Paris", datetime(2026, 10, 25, 1, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
        ("Africa/Cairo", datetime(2026, 4, 23, 22, tzinfo=UTC)),
        ("Africa/Cairo", datetime(2026, 10, 29, 21, tzinfo=UTC)),
        ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
        ("Africa/Casablanca", datetime(2026, 2, 15, 2, tzinfo=UTC)),
        ("UTC", datetime(2028, 2, 29, tzinfo=UTC)),
    ]
)


@settings(max_examples=150, deadline=None)
@given(EXPRESSIONS, TURNS, st.integers(-3_000, 3_000), st.integers(1, 2_000))
def test_the_model_agrees(expression: str, turn: tuple[str, datetime], offset: int, length: int) -> None:
    zone, around = turn
    start = around + timedelta(minutes=offset)
    end = start + timedelta(minutes=length)
    expected = model.times(expression, zone, start, end)
    assert planned(expression, zone, start, end) == expected
    latest = Cron(expression, zone).latest(unix_ms(start), unix_ms(end))
    assert latest == (unix_ms(expected[-1]) if expected else None)


@settings(max_examples=100, deadline=None)
@given(EXPRESSIONS, TURNS, st.integers(-200_000_000, 200_000_000))
def test_times_are_whole_minutes_and_go_forward(expression: str, turn: tuple[str, datetime], offset_ms: int) -> None:
    zone, around = turn
    at_ms = unix_ms(around) + offset_ms
    cron = Cron(expression, zone)
    for _ in range(20):
        following = cron.next_after(at_ms)
        assert following is not None
        assert following > at_ms
        assert following % 60_000 == 0
        at_ms = following
