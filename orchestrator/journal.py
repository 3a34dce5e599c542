"""Everything a JobObject stores about its job: the tables, and typed reads and writes.

Writes made between two awaits commit as one (platform.md §1.3), so callers group them and the journal never awaits.
Booleans are stored as 0 and 1, times as integer milliseconds (platform.md §1.2).
"""

from __future__ import annotations

from typing import LiteralString

import msgspec

from orchestrator.columns import blob, integer, text
from orchestrator.journal_tables import PURGE, SCHEMA, SCHEMA_VERSION, UPGRADES
from orchestrator.lifecycle import StepStatus
from orchestrator.mail import History, Inbox, OutboxTable
from orchestrator.model import JobRow, StepRow
from orchestrator.ports import Sql, SqlRow, SqlValue
from orchestrator.schema import migrate
from orchestrator.spill import Spill

#: Those whose line the trigger writes.
_KINDS_WITH_LINE = frozenset({"step", "transaction"})
_FINISH_STEP: LiteralString = """insert or replace into step (key, seq, kind, status, attempt, crashes, due_at_ms,
    started_at_ms, finished_at_ms, value, error, policy)
    select ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? from job where epoch = ?"""
_COMMIT_STEP: LiteralString = """insert into step (key, seq, kind, status, attempt, crashes, due_at_ms,
    started_at_ms, finished_at_ms, value, error, policy)
    select ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? from job where epoch = ?
    on conflict (key) do update set status = excluded.status, attempt = excluded.attempt,
    crashes = excluded.crashes, due_at_ms = excluded.due_at_ms, finished_at_ms = excluded.finished_at_ms,
    value = excluded.value, error = excluded.error, policy = excluded.policy"""
_JOB_FIELDS = JobRow.__struct_fields__
_STEP_FIELDS = StepRow.__struct_fields__


class ChildRow(msgspec.Struct, frozen=True):
    """A child under way, or ended and not yet folded into its fan-out."""

    operation: str
    key: str
    job_id: str
    payload: bytes
    outcome: bytes | None


class Journal:
    """Typed access to the tables of one job."""

    def __init__(self, sql: Sql) -> None:
        self.sql = sql
        self.history = History(sql)
        self.inbox = Inbox(sql)
        self.outbox = OutboxTable(sql)
        self._spill = Spill(sql)
        self._ready = False

    def exists(self) -> bool:
        """Tell whether anything was ever stored here, without storing anything: asking after a job costs no storage."""
        return self._ready or bool(self.sql.execute("select 1 from sqlite_master where name = 'job'"))

    def migrate(self) -> None:
        """Create the tables. Called first in every entry, never in a constructor (platform.md §10 rule 14)."""
        if self._ready:
            return
        migrate(self.sql, SCHEMA, SCHEMA_VERSION, what="journal", upgrades=UPGRADES)
        self._ready = True

    def forget(self) -> None:
        """Take note that the tables are about to go."""
        self._ready = False

    # -- job ---------------------------------------------------------------------------------------------------------

    def load_job(self) -> JobRow | None:
        """Return the job, or None when nothing was created here."""
        rows = self.sql.execute(
            """select job_id, workflow, version, status, phase, epoch, payload, options, parent, created_at_ms,
            started_at_ms, finished_at_ms, due_at_ms, slices, paused_at_ms, generation, crashes, crashes_total,
            slice_open, slice_units, revision, rows_written, progress, metadata, result, error, account,
            pause_error from job"""
        )
        if not rows:
            return None
        job = msgspec.convert(dict(zip(_JOB_FIELDS, rows[0], strict=True)), JobRow, strict=False)
        job.payload = self._spill.get("payload", job.payload) or b""
        job.metadata = self._spill.get("metadata", job.metadata)
        job.result = self._spill.get("result", job.result)
        return job

    def insert_job(self, job: JobRow) -> None:
        """Store a new job."""
        self.sql.execute(
            """insert into job (id, job_id, workflow, version, status, phase, epoch, payload, options, parent,
            created_at_ms, started_at_ms, finished_at_ms, due_at_ms, slices, paused_at_ms, generation, crashes,
            crashes_total, slice_open, slice_units, revision, rows_written, progress, metadata, result, error, account,
            pause_error)
            values (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            *_job_params(msgspec.structs.replace(job, payload=self._spill.put("payload", job.payload) or b"")),
        )

    def update_job(self, job: JobRow) -> None:
        """Store what may change of a job."""
        self.sql.execute(
            """update job set status = ?, phase = ?, epoch = ?, started_at_ms = ?, finished_at_ms = ?, due_at_ms = ?,
            slices = ?, paused_at_ms = ?, generation = ?, crashes = ?, crashes_total = ?, slice_open = ?,
            slice_units = ?, revision = ?,
            rows_written = ?, progress = ?, metadata = ?, result = ?, error = ?, account = ?, pause_error = ?
            where id = 1""",
            job.status.value,
            job.phase,
            job.epoch,
            job.started_at_ms,
            job.finished_at_ms,
            job.due_at_ms,
            job.slices,
            job.paused_at_ms,
            job.generation,
            job.crashes,
            job.crashes_total,
            int(job.slice_open),
            job.slice_units,
            job.revision,
            job.rows_written,
            job.progress,
            self._spill.put("metadata", job.metadata),
            self._spill.put("result", job.result),
            job.error,
            job.account,
            job.pause_error,
        )

    def replace_payload(self, job: JobRow) -> None:
        """Store a payload, and when the job begins, over the former ones: the job has not started."""
        self.sql.execute(
            "update job set payload = ?, due_at_ms = ?, revision = ?",
            self._spill.put("payload", job.payload),
            job.due_at_ms,
            job.revision,
        )

    def epoch(self) -> int:
        """Return the epoch in force."""
        return integer(self.sql.execute("select epoch from job")[0][0])

    # -- steps -------------------------------------------------------------------------------------------------------

    def steps(self) -> list[StepRow]:
        """Return every step, by the time it began."""
        rows = self.sql.execute(
            """select key, seq, kind, status, attempt, crashes, due_at_ms, started_at_ms, finished_at_ms, value, error,
            policy from step order by seq"""
        )
        return [_step(row) for row in rows]

    def step(self, key: str) -> StepRow | None:
        """Return one step, or None when the workflow has not reached it."""
        rows = self.sql.execute(
            """select key, seq, kind, status, attempt, crashes, due_at_ms, started_at_ms, finished_at_ms, value, error,
            policy from step where key = ?""",
            key,
        )
        return _step(rows[0]) if rows else None

    def forget_steps_from(self, seq: int) -> None:
        """Forget every step that the workflow reached at ``seq`` or later, with its children and due time."""
        self.sql.execute("delete from child where operation in (select key from step where seq >= ?)", seq)
        self.sql.execute("delete from due where key in (select key from step where seq >= ?)", seq)
        self.sql.execute("delete from step where seq >= ?", seq)

    def forget_step(self, key: str) -> None:
        """Forget one step, with its children and due time. A cursor loop keeps its cursor."""
        self.sql.execute("delete from child where operation = ?", key)
        self.sql.execute("delete from due where key = ?", key)
        self.sql.execute(
            """update step set status = 'running', attempt = 1, crashes = 0, due_at_ms = null, error = null,
            finished_at_ms = null where key = ? and kind = 'each'""",
            key,
        )
        self.sql.execute("delete from step where key = ? and kind <> 'each'", key)

    def forget_steps_of(self, scope: str) -> None:
        """Forget the steps of a hook."""
        self.sql.execute("delete from step where substr(key, 1, ?) = ?", len(scope), scope)

    def shift_due(self, by_ms: int) -> None:
        """Move every due time later: paused time does not count."""
        self.sql.execute("update due set at_ms = at_ms + ?", by_ms)
        self.sql.execute(
            """update step set due_at_ms = due_at_ms + ?
            where due_at_ms is not null and status in ('retrying', 'waiting')""",
            by_ms,
        )

    def count_steps(self) -> int:
        """Return how many operations have begun."""
        return integer(self.sql.execute("select count(*) from step")[0][0])

    def open_steps(self) -> list[StepRow]:
        """Return the steps that are not settled."""
        rows = self.sql.execute(
            """select key, seq, kind, status, attempt, crashes, due_at_ms, started_at_ms, finished_at_ms, value, error,
            policy from step where status in ('running', 'retrying', 'waiting') order by seq"""
        )
        return [_step(row) for row in rows]

    def failed_steps(self, limit: int) -> list[StepRow]:
        """Return the first steps that gave up."""
        rows = self.sql.execute(
            """select key, seq, kind, status, attempt, crashes, due_at_ms, started_at_ms, finished_at_ms, value, error,
            policy from step where status = 'failed' order by seq limit ?""",
            limit,
        )
        return [_step(row) for row in rows]

    def put_step(self, step: StepRow) -> None:
        """Store a step, over an older state of itself."""
        self.sql.execute(
            """insert into step (key, seq, kind, status, attempt, crashes, due_at_ms, started_at_ms, finished_at_ms,
            value, error, policy) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            on conflict (key) do update set status = excluded.status, attempt = excluded.attempt,
            crashes = excluded.crashes, due_at_ms = excluded.due_at_ms, finished_at_ms = excluded.finished_at_ms,
            value = excluded.value, error = excluded.error, policy = excluded.policy""",
            *_step_params(step),
        )

    def commit_step(self, step: StepRow, epoch: int) -> bool:
        """Store what a step has come to, and the line that tells of its end; False when the epoch is another by now.

        One statement checks the epoch and writes everything.
        """
        before = self.sql.rows_written
        ends = step.status is StepStatus.COMPLETED and step.kind in _KINDS_WITH_LINE
        # Replacing makes it a new row for the trigger, whatever was stored of the step's earlier attempts.
        self.sql.execute(_FINISH_STEP if ends else _COMMIT_STEP, *_step_params(step), epoch)
        if self.sql.rows_written == before:
            return False
        if ends:
            self.history.tell("step.completed", step.key)
        return True

    def set_due(self, key: str, at_ms: int | None) -> None:
        """Say when an operation needs the next tick, or that it no longer does."""
        if at_ms is None:
            self.sql.execute("delete from due where key = ?", key)
        else:
            self.sql.execute(
                "insert into due (key, at_ms) values (?, ?) on conflict (key) do update set at_ms = excluded.at_ms",
                key,
                at_ms,
            )

    def due_ms(self, key: str) -> int | None:
        """Return when something is due, or None."""
        rows = self.sql.execute("select at_ms from due where key = ?", key)
        return integer(rows[0][0]) if rows else None

    def clear_due(self) -> None:
        """Forget every operation's due time: the job has ended."""
        self.sql.execute("delete from due")

    def next_due_ms(self) -> int | None:
        """Return the earliest time anything in the journal is due (design.md §4.4 rule 4)."""
        found = self.sql.execute(
            """select min(at) from (select min(at_ms) as at from due union all select min(due_at_ms) from outbox
            union all select due_at_ms from job)"""
        )[0][0]
        return None if found is None else integer(found)

    def next_own_ms(self) -> int | None:
        """Return the earliest time that counts while the job waits for its lane: its operations can do nothing."""
        found = self.sql.execute(
            """select min(at) from (select min(at_ms) as at from due where key in ('job/ttl', 'job/deadline')
            union all select min(due_at_ms) from outbox union all select due_at_ms from job)"""
        )[0][0]
        return None if found is None else integer(found)

    def next_work_ms(self) -> int | None:
        """Return the earliest time the job itself is due, its outbox aside."""
        found = self.sql.execute(
            "select min(at) from (select min(at_ms) as at from due union all select due_at_ms from job)"
        )[0][0]
        return None if found is None else integer(found)

    # -- the later jobs of an idempotency key ------------------------------------------------------------------------

    def successor(self) -> int | None:
        """Return the generation of the job that the key means instead of this one. Few jobs have the table."""
        if not self.sql.execute("select 1 from sqlite_master where name = 'successor'"):
            return None
        found = self.sql.execute("select max(generation) from successor")[0][0]
        return None if found is None else integer(found)

    def set_successor(self, generation: int) -> None:
        """Say which generation the key means, unless a later one is known."""
        self.sql.execute("create table if not exists successor (id integer primary key check (id = 1), generation)")
        self.sql.execute(
            """insert into successor (id, generation) values (1, ?)
            on conflict (id) do update set generation = max(generation, excluded.generation)""",
            generation,
        )

    def purge(self) -> bool:
        """Forget everything about a deleted job but its record without values; tell whether there was anything."""
        if not self.sql.execute("select 1 from event limit 1"):
            return False
        self._spill.clear()
        for statement in PURGE:
            self.sql.execute(statement)
        return True

    # -- children ----------------------------------------------------------------------------------------------------

    def add_child(self, operation: str, key: str, job_id: str, payload: bytes) -> None:
        """Record a child that is about to be created."""
        self.sql.execute(
            "insert into child (operation, key, job_id, payload, outcome) values (?, ?, ?, ?, null)",
            operation,
            key,
            job_id,
            payload,
        )

    def children(self, operation: str) -> list[ChildRow]:
        """Return the children of a fan-out that are not folded yet."""
        rows = self.sql.execute(
            "select operation, key, job_id, payload, outcome from child where operation = ? order by key", operation
        )
        return [_child(row) for row in rows]

    def children_under_way(self) -> list[str]:
        """Return the job ids of every child that has not ended."""
        return [text(row[0]) for row in self.sql.execute("select job_id from child where outcome is null")]

    def settle_child(self, operation: str, key: str, outcome: bytes) -> bool:
        """Store a child's outcome unless it has one or is gone; tell whether it was stored."""
        changed = self.sql.execute(
            # The payload goes: together they might be more than a row may hold.
            """update child set outcome = ?, payload = x'' where operation = ? and key = ? and outcome is null
            returning 1""",
            outcome,
            operation,
            key,
        )
        return bool(changed)

    def remove_child(self, operation: str, key: str) -> None:
        """Forget a child that was folded."""
        self.sql.execute("delete from child where operation = ? and key = ?", operation, key)


def _job_params(job: JobRow) -> list[str | int | float | bytes | None]:
    return [_param(getattr(job, name)) for name in _JOB_FIELDS]


def _step_params(step: StepRow) -> tuple[SqlValue, ...]:
    return (
        step.key,
        step.seq,
        step.kind,
        step.status.value,
        step.attempt,
        step.crashes,
        step.due_at_ms,
        step.started_at_ms,
        step.finished_at_ms,
        step.value,
        step.error,
        step.policy,
    )


def _param(value: object) -> str | int | float | bytes | None:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, (int, float, bytes)):
        return value
    raise TypeError(type(value).__name__)


def _step(row: SqlRow) -> StepRow:
    return msgspec.convert(dict(zip(_STEP_FIELDS, row, strict=True)), StepRow, strict=False)


def _child(row: SqlRow) -> ChildRow:
    outcome = row[4]
    return ChildRow(text(row[0]), text(row[1]), text(row[2]), blob(row[3]), None if outcome is None else blob(outcome))
