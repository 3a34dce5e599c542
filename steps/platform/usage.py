"""Billing cycles of organizations, and what their beginning resets (domain.md §2.11)."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from datetime import UTC, date, datetime, time

import msgspec

from orchestrator.ports import Connection
from steps.platform.rows import row_as

#: The hour of the day at which a cycle begins, in UTC.
NOON = time(12, tzinfo=UTC)


class Checked(msgspec.Struct, frozen=True):
    """What decides whether an organization's cycle has begun anew.

    Attributes:
        id: the ``organization`` row.
        cycle_day: ``"billingCycleStart"``, if there is one.
        created_at: when it was made.
        checked_at: ``"usageLastChecked"``.
    """

    id: str
    cycle_day: int | None
    created_at: datetime
    checked_at: datetime


def last_cycle_start(cycle_day: int, until: datetime, begins: time = NOON) -> datetime:
    """Return the latest beginning of a cycle that is not after ``until``; short months end the cycle on their last day.

    Args:
        cycle_day: day of the month, 1 to 31.
        until: a time in UTC.
        begins: the time of that day.
    """
    year, month = until.year, until.month
    while True:
        day = min(cycle_day, calendar.monthrange(year, month)[1])
        found = datetime.combine(date(year, month, day), begins)
        if found <= until:
            return found
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)


def begins_cycle(organization: Checked, planned_at: datetime) -> bool:
    """Tell whether a cycle has begun since the organization was last checked, whenever that was (W-22).

    The day of its creation is no beginning: nothing was used before it.
    """
    created_at = organization.created_at
    start = last_cycle_start(_day(organization), planned_at)
    return organization.checked_at < start and start.date() > created_at.date()


def is_cycle_day(organization: Checked, planned_at: datetime) -> bool:
    """Tell whether this very day begins a cycle, as the platform asks: a day that was missed is a month lost."""
    return last_cycle_start(_day(organization), datetime.combine(planned_at.date(), NOON)).date() == planned_at.date()


async def organizations_after(connection: Connection, before: datetime, after: str, limit: int) -> list[Checked]:
    """Return up to ``limit`` organizations behind ``after`` that were last checked before a time, by their ids."""
    rows = await connection.fetch(
        """select id, "billingCycleStart" as cycle_day,
            to_char("createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as created_at,
            to_char("usageLastChecked", 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as checked_at
        from organization
        where id > $2 and "usageLastChecked" < $1::text::timestamp order by id limit $3::int""",
        _naive(before),
        after,
        limit,
    )
    return [row_as(row, Checked) for row in rows]


async def check(
    connection: Connection, planned_at: datetime, before: datetime, resets: Sequence[str], others: Sequence[str]
) -> None:
    """Begin the cycles of organizations, and note that these and others were checked; those checked meanwhile stay.

    Args:
        connection: a transaction.
        planned_at: the time that the check is for.
        before: organizations last checked at or after this time are left alone.
        resets: whose cycle begins: their searches are forgotten, and their deleted pages given back.
        others: those that were only looked at.
    """
    await connection.execute(
        """update organization set "totalPages" = "totalPages" - "deletedPages", "deletedPages" = 0, "searchUsage" = 0,
            "usageLastChecked" = greatest(now() at time zone 'utc', $2::text::timestamp)
        where id = any($1::text[]) and "usageLastChecked" < $3::text::timestamp""",
        list(resets),
        _naive(planned_at),
        _naive(before),
    )
    await connection.execute(
        """update organization set "usageLastChecked" = greatest(now() at time zone 'utc', $2::text::timestamp)
        where id = any($1::text[]) and "usageLastChecked" < $3::text::timestamp""",
        list(others),
        _naive(planned_at),
        _naive(before),
    )


def _day(organization: Checked) -> int:
    """Return the day on which its cycles begin; nothing in the table keeps it above 0."""
    return organization.created_at.day if organization.cycle_day is None else max(1, organization.cycle_day)


def _naive(moment: datetime) -> str:
    """Return a time as the platform's columns hold it: UTC, without saying so."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
