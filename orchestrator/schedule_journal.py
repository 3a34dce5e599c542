"""Everything a ScheduleObject stores: the schedule, the starts that wait, and what became of planned times.

Writes made between two awaits commit as one (platform.md §1.3), so callers group them and nothing here awaits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString, cast

import msgspec

from orchestrator import codec
from orchestrator.columns import blob, integer, text
from orchestrator.limits import MAX_SCHEDULE_BACKLOG, SCHEDULE_HISTORY, SCHEDULE_STARTS_PER_TICK
from orchestrator.ports import Sql, SqlRow
from orchestrator.schedule_model import Outcome, Reason, ScheduleEvent, ScheduleRow, WaitingStart
from orchestrator.schema import migrate

SCHEMA_VERSION = 1
_SCHEMA: tuple[LiteralString, ...] = (
    "create table if not exists schedule (id integer primary key check (id = 1), body blob)",
    """create table if not exists waiting (
        job_id text primary key, planned_ms integer, reason text, backlog integer) without rowid""",
    """create table if not exists event (
        seq integer primary key, planned_ms integer, at_ms integer, outcome text, reason text, job_id text unique,
        running integer, count integer, error text)""",
)
_EVENT_FIELDS = ScheduleEvent.__struct_fields__


class ScheduleJournal:
    """Typed access to the tables of one schedule.

    Args:
        sql: the object's SQLite.
    """

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        self._ready = False

    def exists(self) -> bool:
        """Tell whether anything was ever stored here, without storing anything."""
        return self._ready or bool(self._sql.execute("select 1 from sqlite_master where name = 'schedule'"))

    def migrate(self) -> None:
        """Create the tables. Called first in every entry, never in a constructor (platform.md §10 rule 14)."""
        if self._ready:
            return
        migrate(self._sql, _SCHEMA, SCHEMA_VERSION, what="schedule")
        self._ready = True

    # -- the schedule ------------------------------------------------------------------------------------------------

    def load(self) -> ScheduleRow | None:
        """Return the schedule, or None when there is none."""
        if not self.exists():
            return None
        self.migrate()
        rows = self._sql.execute("select body from schedule")
        return codec.decode_as(blob(rows[0][0]), ScheduleRow) if rows else None

    def store(self, row: ScheduleRow) -> None:
        """Store the schedule."""
        self.migrate()
        body = codec.encode(row, what="schedule")
        self._sql.execute(
            "insert into schedule (id, body) values (1, ?) on conflict (id) do update set body = excluded.body", body
        )

    def wipe(self) -> None:
        """Forget everything."""
        self._sql.execute("delete from schedule")
        self._sql.execute("delete from waiting")
        self._sql.execute("delete from event")

    # -- starts that wait --------------------------------------------------------------------------------------------

    def add_waiting(self, starts: Sequence[WaitingStart]) -> None:
        """Have jobs started; one that waits already stays as it is."""
        for start in starts:
            self._sql.execute(
                "insert into waiting (job_id, planned_ms, reason, backlog) values (?, ?, ?, ?) on conflict do nothing",
                start.job_id,
                start.planned_ms,
                start.reason,
                int(start.backlog),
            )

    def waiting(self, limit: int) -> list[WaitingStart]:
        """Return starts that wait: those that somebody asked for now, those whose time has come, then the backlog."""
        rows = self._sql.execute(
            """select job_id, planned_ms, reason, backlog from waiting
            order by reason <> 'manual', backlog, planned_ms limit ?""",
            limit,
        )
        return [
            WaitingStart(
                job_id=text(row[0]),
                planned_ms=integer(row[1]),
                reason=cast("Reason", text(row[2])),
                backlog=bool(row[3]),
            )
            for row in rows
        ]

    def count_waiting(self) -> int:
        """Return how many starts wait."""
        return integer(self._sql.execute("select count(*) from waiting")[0][0])

    def is_waiting(self, job_id: str) -> bool:
        """Tell whether this job is still to be started."""
        return bool(self._sql.execute("select 1 from waiting where job_id = ?", job_id))

    def buffered(self) -> list[WaitingStart]:
        """Return the starts whose time has come and that their overlap policy holds back."""
        return [start for start in self.waiting(MAX_SCHEDULE_BACKLOG) if not start.backlog and start.reason != "manual"]

    def remove_waiting(self, job_id: str) -> None:
        """Forget a start that waits."""
        self._sql.execute("delete from waiting where job_id = ?", job_id)

    def drop_planned(self) -> None:
        """Forget the starts that nobody asked for by hand: what pausing does."""
        self._sql.execute("delete from waiting where reason in ('scheduled', 'catch_up')")

    def drop_waiting(self) -> None:
        """Forget every start that waits."""
        self._sql.execute("delete from waiting")

    # -- history -----------------------------------------------------------------------------------------------------

    def add_started(self, start: WaitingStart, at_ms: int) -> None:
        """Note that a job was started; noting it again changes nothing."""
        self._sql.execute(
            """insert into event (planned_ms, at_ms, outcome, reason, job_id, running, count)
            values (?, ?, 'started', ?, ?, 1, 1) on conflict do nothing""",
            start.planned_ms,
            at_ms,
            start.reason,
            start.job_id,
        )
        self._trim()

    def add_not_started(
        self, outcome: Outcome, reason: Reason, planned_ms: int, at_ms: int, *, count: int = 1, error: str | None = None
    ) -> None:
        """Note planned times that were not run. The same in a row is one line, which keeps the history short."""
        last = self._sql.execute(
            "select seq, outcome, reason, error from event where seq = (select max(seq) from event)"
        )
        if last and tuple(last[0][1:]) == (outcome, reason, error):
            self._sql.execute(
                "update event set planned_ms = ?, at_ms = ?, count = count + ? where seq = ?",
                planned_ms,
                at_ms,
                count,
                last[0][0],
            )
            return
        self._sql.execute(
            """insert into event (planned_ms, at_ms, outcome, reason, running, count, error)
            values (?, ?, ?, ?, 0, ?, ?)""",
            planned_ms,
            at_ms,
            outcome,
            reason,
            count,
            error,
        )
        self._trim()

    def history(self) -> list[ScheduleEvent]:
        """Return the history, the last line first."""
        rows = self._sql.execute(
            """select planned_ms, at_ms, outcome, reason, job_id, count, error from event
            order by seq desc limit ?""",
            SCHEDULE_HISTORY,
        )
        return [_event(row) for row in rows]

    def running(self) -> list[str]:
        """Return jobs that were started and are not known to have ended: as many as one tick looks after."""
        rows = self._sql.execute(
            "select job_id from event where running = 1 order by seq desc limit ?", SCHEDULE_STARTS_PER_TICK
        )
        return [text(row[0]) for row in rows]

    def note_end(self, job_id: str) -> None:
        """Note that a job has ended."""
        self._sql.execute("update event set running = 0 where job_id = ?", job_id)

    def _trim(self) -> None:
        # A job that runs is kept beyond the bound of the history: what comes next depends on it.
        self._sql.execute(
            """delete from event where seq <= (select max(seq) from event) - ?
            and (running = 0 or seq <= (select max(seq) from event) - ?)""",
            SCHEDULE_HISTORY,
            MAX_SCHEDULE_BACKLOG,
        )


def _event(row: SqlRow) -> ScheduleEvent:
    return msgspec.convert(dict(zip(_EVENT_FIELDS, row, strict=True)), ScheduleEvent, strict=False)
