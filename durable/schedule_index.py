"""The list of all schedules: for listing, for schedules that the code declares, and for alarms that got lost.

The truth of one schedule is its own object, which tells the list of its changes, newer revisions winning.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import LiteralString

import msgspec

from orchestrator.errors import InvalidRequestError
from orchestrator.ports import Sql, SqlRow, SqlValue
from orchestrator.schedule_model import ScheduleSummary
from orchestrator.schema import migrate

SCHEMA_VERSION = 1
#: A schedule is late when it did not act this long after it meant to.
GRACE_MS = 30_000
#: A late schedule that was looked after is left alone this long, doubling to the maximum while nothing changes.
POKE_MS = 60_000
POKE_MAX_MS = 600_000
#: Late schedules looked after per tick of the platform; the next tick goes on with the others.
POKE_LIMIT = 200

_SCHEMA: tuple[LiteralString, ...] = (
    """create table if not exists schedule (
        id text primary key, workflow text, origin text, fingerprint text, revision integer, body blob,
        poke_at_ms integer, pokes integer) without rowid""",
    "create index if not exists schedule_by_poke on schedule (poke_at_ms) where poke_at_ms is not null",
    "create table if not exists schedule_tag (tag text, id text, primary key (tag, id)) without rowid",
)
_ALL: LiteralString = "select schedule.id, schedule.body from schedule where schedule.id > ?"
_TAGGED: LiteralString = """select schedule.id, schedule.body from schedule_tag join schedule
    on schedule.id = schedule_tag.id where schedule.id > ? and schedule_tag.tag = ?"""


class ScheduleQuery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which schedules to list, in the order of their ids. ``cursor`` is what the page before answered."""

    workflow: str | None = None
    tag: str | None = None
    cursor: str | None = None
    limit: int = 50


class SchedulePage(msgspec.Struct, frozen=True):
    """One page of schedules."""

    schedules: list[ScheduleSummary]
    next_cursor: str | None


class RoundQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The platform has ticked: what is to be done? ``declared`` has the fingerprints of the code's schedules by id."""

    now_ms: int
    declared: Mapping[str, str]


class Round(msgspec.Struct, frozen=True):
    """The ids of schedules to look after, to record or bring up to date, and to stop."""

    late: list[str]
    declare: list[str]
    retire: list[str]


class ScheduleList:
    """The tables of the list.

    Args:
        sql: the object's SQLite.
    """

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        self._ready = False

    def migrate(self) -> None:
        """Create the tables; called first in every entry, never in a constructor (platform.md §10 rule 14).

        Raises:
            OrchestratorError: a newer release has written here (code ``schema``).
        """
        if self._ready:
            return
        migrate(self._sql, _SCHEMA, SCHEMA_VERSION, what="list")
        self._ready = True

    def publish(self, summary: ScheduleSummary) -> None:
        """Take note of a schedule, or of its end, unless the same or a newer revision is known."""
        self.migrate()
        known = self._sql.execute("select revision from schedule where id = ?", summary.id)
        if known and int(known[0][0] or 0) >= summary.revision:
            return
        self.forget(summary.id)
        if summary.gone:
            return
        self._sql.execute(
            """insert into schedule (id, workflow, origin, fingerprint, revision, body, poke_at_ms, pokes)
            values (?, ?, ?, ?, ?, ?, ?, 0)""",
            summary.id,
            summary.workflow,
            summary.origin,
            summary.fingerprint,
            summary.revision,
            msgspec.json.encode(summary),
            summary.due_at_ms,
        )
        for tag in set(summary.tags):
            self._sql.execute("insert into schedule_tag (tag, id) values (?, ?)", tag, summary.id)

    def forget(self, schedule_id: str) -> None:
        """Take a schedule off the list."""
        self.migrate()
        self._sql.execute("delete from schedule where id = ?", schedule_id)
        self._sql.execute("delete from schedule_tag where id = ?", schedule_id)

    def page(self, query: ScheduleQuery) -> SchedulePage:
        """Return schedules.

        Raises:
            InvalidRequestError: the cursor is not one of ours (code ``invalid_cursor``).
        """
        self.migrate()
        text: LiteralString = _ALL if query.tag is None else _TAGGED
        params: list[SqlValue] = [_position(query.cursor)]
        if query.tag is not None:
            params.append(query.tag)
        if query.workflow is not None:
            text += " and schedule.workflow = ?"
            params.append(query.workflow)
        text += " order by schedule.id limit ?"
        rows = self._sql.execute(text, *params, query.limit + 1)
        found = [_summary(row) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        return SchedulePage(found, _cursor(found[-1].id) if more else None)

    def round(self, query: RoundQuery) -> Round:
        """Return what is to be done at a tick of the platform. Late schedules are then left alone for a while."""
        self.migrate()
        late = self._sql.execute(
            "select id, pokes from schedule where poke_at_ms <= ? order by poke_at_ms limit ?",
            query.now_ms - GRACE_MS,
            POKE_LIMIT,
        )
        for schedule_id, pokes in late:
            wait_ms = min(POKE_MAX_MS, POKE_MS * 2 ** min(int(pokes or 0), 10)) - GRACE_MS
            self._sql.execute(
                "update schedule set poke_at_ms = ?, pokes = pokes + 1 where id = ?",
                query.now_ms + wait_ms,
                schedule_id,
            )
        rows = self._sql.execute("select id, fingerprint from schedule where origin = 'code'")
        listed = {str(row[0]): str(row[1]) for row in rows}
        return Round(
            late=[str(row[0]) for row in late],
            declare=[name for name, fingerprint in query.declared.items() if listed.get(name) != fingerprint],
            retire=[name for name in listed if name not in query.declared],
        )


def _summary(row: SqlRow) -> ScheduleSummary:
    body = row[1]
    return msgspec.json.decode(body if isinstance(body, bytes) else b"", type=ScheduleSummary)


def _cursor(schedule_id: str) -> str:
    return base64.urlsafe_b64encode(schedule_id.encode()).decode().rstrip("=")


def _position(cursor: str | None) -> str:
    if cursor is None:
        return ""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidRequestError("The cursor is not one that this API gave", code="invalid_cursor") from None
