"""What the alerts' object stores: the alerts, the notices on their way, and when it last looked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, LiteralString

import msgspec

from durable.alerts.model import Alert, Delivery, Notice
from orchestrator.columns import integer, text
from orchestrator.ports import Sql, SqlRow
from orchestrator.schema import migrate

SCHEMA_VERSION: Final = 1
#: Notices that were given up are shown for so long.
DROPPED_KEPT_MS: Final = 7 * 86_400_000

_SCHEMA: tuple[LiteralString, ...] = (
    "create table if not exists alert (key text primary key, body text) without rowid",
    """create table if not exists notice (
        seq integer primary key, id text, key text, body text, attempts integer, due_at_ms integer, error text,
        dropped_at_ms integer)""",
    "create table if not exists look (id integer primary key check (id = 1), at_ms integer, missing text)",
)
#: The oldest notice on its way of each alert.
_FIRST: LiteralString = """from notice where dropped_at_ms is null and not exists (
    select 1 from notice as earlier where earlier.key = notice.key and earlier.seq < notice.seq
    and earlier.dropped_at_ms is null)"""
_NEXT: LiteralString = (
    "select body, attempts, due_at_ms, error, dropped_at_ms " + _FIRST + " and due_at_ms <= ? order by seq limit 1"
)
_NEXT_DUE: LiteralString = "select min(due_at_ms) " + _FIRST


class AlertStore:
    """The tables of the alerts' object.

    Args:
        sql: its SQLite.
    """

    job_id = None  # for log lines: none of this is about one job

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        self._ready = False

    def migrate(self) -> None:
        """Create the tables; called first in every entry.

        Raises:
            OrchestratorError: a newer release has written here (code ``schema``).
        """
        if not self._ready:
            migrate(self._sql, _SCHEMA, SCHEMA_VERSION, what="alerts")
            self._ready = True

    def alerts(self) -> list[Alert]:
        """Return every alert."""
        rows = self._sql.execute("select body from alert order by key")
        return [msgspec.json.decode(text(row[0]), type=Alert) for row in rows]

    def put(self, before: Sequence[Alert], after: Sequence[Alert]) -> None:
        """Store what is known now; an observation that changes nothing writes nothing."""
        known = {alert.key: alert for alert in before}
        for alert in after:
            if known.pop(alert.key, None) != alert:
                self._sql.execute(
                    "insert into alert (key, body) values (?, ?) on conflict (key) do update set body = excluded.body",
                    alert.key,
                    msgspec.json.encode(alert).decode(),
                )
        for key in known:
            self._sql.execute("delete from alert where key = ?", key)

    def note_look(self, at_ms: int, missing: Sequence[str]) -> None:
        """Store when the alerts were looked at, and what did not answer."""
        self._sql.execute(
            """insert into look (id, at_ms, missing) values (1, ?, ?)
            on conflict (id) do update set at_ms = excluded.at_ms, missing = excluded.missing""",
            at_ms,
            msgspec.json.encode(missing).decode(),
        )
        self._sql.execute("delete from notice where dropped_at_ms < ?", at_ms - DROPPED_KEPT_MS)

    def last_look(self) -> tuple[int, list[str]] | None:
        """Return what :meth:`note_look` stored last."""
        rows = self._sql.execute("select at_ms, missing from look")
        return (integer(rows[0][0]), msgspec.json.decode(text(rows[0][1]), type=list[str])) if rows else None

    # -- notices -----------------------------------------------------------------------------------------------------

    def send(self, notice: Notice) -> None:
        """Put a notice on its way, at once."""
        self._sql.execute(
            "insert into notice (id, key, body, attempts, due_at_ms) values (?, ?, ?, 0, ?)",
            notice.id,
            notice.alert.key,
            msgspec.json.encode(notice).decode(),
            notice.at_ms,
        )

    def next_delivery(self, now_ms: int) -> Delivery | None:
        """Return a notice to be sent now. Those of one alert arrive in order; alerts do not hold each other up."""
        rows = self._sql.execute(_NEXT, now_ms)
        return _delivery(rows[0]) if rows else None

    def deliveries(self, *, limit: int, dropped: bool) -> list[Delivery]:
        """Return notices that have not arrived, oldest first; those on their way, or those that were given up."""
        rows = self._sql.execute(
            """select body, attempts, due_at_ms, error, dropped_at_ms from notice
            where (dropped_at_ms is not null) = ? order by seq limit ?""",
            int(dropped),
            limit,
        )
        return [_delivery(row) for row in rows]

    def delivered(self, notice_id: str) -> None:
        """Forget a notice that has arrived."""
        self._sql.execute("delete from notice where id = ?", notice_id)

    def postpone(self, notice_id: str, due_at_ms: int, error: str) -> None:
        """Try a notice again later."""
        self._sql.execute(
            "update notice set attempts = attempts + 1, due_at_ms = ?, error = ? where id = ?",
            due_at_ms,
            error,
            notice_id,
        )

    def drop(self, notice_id: str, at_ms: int, error: str) -> None:
        """Give a notice up."""
        self._sql.execute(
            """update notice set attempts = attempts + 1, due_at_ms = null, error = ?, dropped_at_ms = ?
            where id = ?""",
            error,
            at_ms,
            notice_id,
        )

    def next_due_ms(self) -> int | None:
        """Return when the next notice is to be sent."""
        self.migrate()
        found = self._sql.execute(_NEXT_DUE)[0][0]
        return None if found is None else integer(found)


def _delivery(row: SqlRow) -> Delivery:
    return Delivery(
        notice=msgspec.json.decode(text(row[0]), type=Notice),
        attempts=integer(row[1]),
        due_at_ms=None if row[2] is None else integer(row[2]),
        error=None if row[3] is None else text(row[3]),
        dropped_at_ms=None if row[4] is None else integer(row[4]),
    )
