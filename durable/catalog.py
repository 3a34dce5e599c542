"""The catalog: summaries of jobs for lists and counts, and dead letters. The truth of one job is its own object.

Every call is synchronous SQL between two awaits, so it commits as one (platform.md §1.3). Rows of a job are written at
most: one job row with its four indexes, one count, its tags the first time, and two tallies when it has ended.
"""

from __future__ import annotations

from typing import LiteralString

import msgspec

from durable import expected, recovery
from durable.catalog_model import (
    CatalogCounts,
    CountsQuery,
    DeadLetterPage,
    DeadLetterQuery,
    JobCount,
    JobPage,
    JobQuery,
    OverdueQuery,
    ShardState,
)
from durable.cursors import cursor_of, start_of
from durable.dead_letters import DeadLetters
from durable.ended_jobs import EndedJobs
from durable.expected import ExpectedJobs
from durable.ledger import SCANNED, Entry, EntryPage, EntryQuery, entries_of_ledger
from durable.recovery import Recovery
from orchestrator.columns import integer, text
from orchestrator.lifecycle import TERMINAL, JobStatus
from orchestrator.model import DeletedJob, JobSummary
from orchestrator.ports import Sql, SqlRow, SqlValue
from orchestrator.schema import migrate

SCHEMA_VERSION = 1
#: A job that was looked after is left alone this long, doubling to the maximum while nothing about it changes.
SWEEP_MS = 60_000
SWEEP_MAX_MS = 600_000
#: A late job that was looked after this often, a quarter of an hour, without any change is stuck.
STUCK_SWEEPS = 5
#: What is said of a deleted job this long after its deletion is not believed: longer than any message is under way.
TOMBSTONE_MS = 86_400_000

_SCHEMA: tuple[LiteralString, ...] = (
    """create table if not exists job (
        id text primary key, workflow text, status text, tags text, parent_id text, created_at_ms integer,
        updated_at_ms integer, finished_at_ms integer, due_at_ms integer, revision integer, error text,
        sweep_at_ms integer, sweeps integer, tenant text) without rowid""",
    "create index if not exists job_by_time on job (created_at_ms, id)",
    "create index if not exists job_by_status on job (status, created_at_ms, id)",
    "create index if not exists job_by_workflow on job (workflow, created_at_ms, id)",
    "create index if not exists job_by_tenant on job (tenant, created_at_ms, id) where tenant is not null",
    "create index if not exists job_by_sweep on job (sweep_at_ms) where sweep_at_ms is not null",
    """create table if not exists job_tag (
        tag text, created_at_ms integer, id text, primary key (tag, created_at_ms, id)) without rowid""",
    """create table if not exists job_count (
        workflow text, status text, count integer, primary key (workflow, status)) without rowid""",
    """create table if not exists dead_letter (
        id text primary key, kind text, job_id text, workflow text, cause text, at_ms integer, detail text,
        redriven_at_ms integer) without rowid""",
    "create index if not exists dead_letter_by_time on dead_letter (at_ms, id)",
    """create table if not exists deleted (
        id text primary key, created_at_ms integer, deleted_at_ms integer) without rowid""",
    """create table if not exists minute (
        at_ms integer, workflow text, body text, primary key (at_ms, workflow)) without rowid""",
    "create table if not exists total (workflow text primary key, body text) without rowid",
    recovery.TABLE,
    expected.TABLE,
)
_STORED = (
    "id", "workflow", "status", "tags", "parent_id", "created_at_ms", "updated_at_ms", "finished_at_ms", "due_at_ms",
    "revision", "error", "tenant",
)  # fmt: skip
_SELECT_JOB: LiteralString = """select job.id, job.workflow, job.status, job.tags, job.parent_id, job.created_at_ms,
    job.updated_at_ms, job.finished_at_ms, job.due_at_ms, job.revision, job.error, job.tenant """
_FROM_ALL: LiteralString = "from job where (job.created_at_ms, job.id) < (?, ?)"
_FROM_TAG: LiteralString = """from job_tag as tagged join job on job.id = tagged.id
    where tagged.tag = ? and (tagged.created_at_ms, tagged.id) < (?, ?)"""
_NEWEST: LiteralString = " order by job.created_at_ms desc, job.id desc limit ?"
_NEWEST_TAGGED: LiteralString = " order by tagged.created_at_ms desc, tagged.id desc limit ?"


class Catalog:
    """The tables of one catalog shard.

    Args:
        sql: the object's SQLite.
        name: the shard's.
    """

    def __init__(self, sql: Sql, name: str = "catalog-1-0") -> None:
        self.name = name
        self.recovery = Recovery(sql)
        self._sql = sql
        self._ready = False
        self._letters = DeadLetters(sql)
        self._ended = EndedJobs(sql)
        self._expected = ExpectedJobs(sql)

    @property
    def letters(self) -> DeadLetters:
        """The dead letters, their table made."""
        self.migrate()
        return self._letters

    def migrate(self) -> None:
        """Create the tables, and begin to recover when there were none.

        Called first in every entry, never in a constructor (platform.md §10 rule 14).

        Raises:
            OrchestratorError: a newer release has written here (code ``schema``).
        """
        if self._ready:
            return
        is_new = not self._sql.execute("select 1 from sqlite_master where name = 'schema_version'")
        migrate(self._sql, _SCHEMA, SCHEMA_VERSION, what="catalog")
        if is_new:
            self.recovery.begin()
        self._ready = True

    def publish(self, summary: JobSummary) -> bool:
        """Take note of a job's state unless a later one, or the same one, is known, or the job was deleted.

        Returns:
            Whether the job is known to have ended, and was not before.
        """
        self.migrate()
        self._expected.told(summary.id)
        if self._sql.execute(
            "select 1 from deleted where id = ? and created_at_ms >= ?", summary.id, summary.created_at_ms
        ):
            return False
        known = self._sql.execute("select revision, workflow, status, finished_at_ms from job where id = ?", summary.id)
        if known and integer(known[0][0]) >= summary.revision:
            self._looked_at(summary)
            return False
        if known:
            self._count(str(known[0][1]), str(known[0][2]), -1)
        else:
            for tag in summary.tags:
                self._sql.execute(
                    "insert or ignore into job_tag (tag, created_at_ms, id) values (?, ?, ?)",
                    tag,
                    summary.created_at_ms,
                    summary.id,
                )
        self._count(summary.workflow, summary.status.value, 1)
        self._put(summary)
        self._letters.follow(summary)
        has_ended = summary.finished_at_ms is not None and summary.status in TERMINAL
        if not has_ended or (known and known[0][3] == summary.finished_at_ms):
            return False
        self._ended.add(summary)
        return True

    def expect(self, job_id: str, now_ms: int, *, firm: bool = False) -> None:
        """Take note that a job is being recorded and has not told of itself, or (``firm``) that it acts again."""
        self.migrate()
        self._expected.add(job_id, now_ms, firm=firm)

    def looked_for(self, job_id: str) -> None:
        """Take note that somebody has looked for a job, whether there is one or not."""
        self.migrate()
        self._expected.looked_for(job_id)

    def forget(self, job: DeletedJob) -> None:
        """Take note that a job was deleted: nothing of it is listed any more, whatever arrives late."""
        self.migrate()
        self._sql.execute("delete from deleted where deleted_at_ms < ?", job.deleted_at_ms - TOMBSTONE_MS)
        self._sql.execute(
            """insert into deleted (id, created_at_ms, deleted_at_ms) values (?, ?, ?)
            on conflict (id) do update set created_at_ms = max(created_at_ms, excluded.created_at_ms),
            deleted_at_ms = max(deleted_at_ms, excluded.deleted_at_ms)""",
            job.id,
            job.created_at_ms,
            job.deleted_at_ms,
        )
        known = self._sql.execute(
            "select workflow, status, tags, created_at_ms from job where id = ? and created_at_ms <= ?",
            job.id,
            job.created_at_ms,
        )
        for workflow, status, tags, created_at_ms in known:
            self._count(str(workflow), str(status), -1)
            for tag in msgspec.json.decode(str(tags), type=tuple[str, ...]):
                self._sql.execute(
                    "delete from job_tag where tag = ? and created_at_ms = ? and id = ?", tag, created_at_ms, job.id
                )
            self._sql.execute("delete from job where id = ?", job.id)
            self._letters.forget_job(job.id)

    def list_jobs(self, query: JobQuery) -> JobPage:
        """Return jobs, newest first.

        Raises:
            InvalidRequestError: the cursor is not one of ours (code ``invalid_cursor``).
        """
        self.migrate()
        at_ms, after_id = start_of(query.cursor, before_ms=query.created_before_ms)
        text: LiteralString = _SELECT_JOB + (_FROM_ALL if query.tag is None else _FROM_TAG)
        params: list[SqlValue] = [at_ms, after_id] if query.tag is None else [query.tag, at_ms, after_id]
        if query.workflow is not None:
            text += " and job.workflow = ?"
            params.append(query.workflow)
        if query.status is not None:
            text += " and job.status = ?"
            params.append(query.status.value)
        if query.created_after_ms is not None:
            text += " and job.created_at_ms >= ?"
            params.append(query.created_after_ms)
        if query.tenant is not None:
            text += " and job.tenant = ?"
            params.append(query.tenant)
        if query.workflows is not None:
            text += " and job.workflow in (select value from json_each(?))"
            params.append(msgspec.json.encode(query.workflows).decode())
        text += _NEWEST if query.tag is None else _NEWEST_TAGGED
        rows = self._sql.execute(text, *params, query.limit + 1)
        jobs = [_summary(row) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        return JobPage(jobs, cursor_of(jobs[-1].created_at_ms, jobs[-1].id) if more else None, self.incomplete())

    def list_dead_letters(self, query: DeadLetterQuery) -> DeadLetterPage:
        """Return dead letters, newest first.

        Raises:
            InvalidRequestError: the cursor is not one of ours (code ``invalid_cursor``).
        """
        return msgspec.structs.replace(self.letters.list(query), incomplete=self.incomplete())

    def overdue(self, query: OverdueQuery) -> list[str]:
        """Return jobs that are late by more than the grace period, the latest first, and leave them alone for a while.

        A job that runs for long is late here, since the catalog does not follow each slice: looking after it does no
        harm, and less and less often.
        """
        self.migrate()
        rows = self._sql.execute(
            "select id, sweeps from job where sweep_at_ms <= ? order by sweep_at_ms limit ?",
            query.now_ms - query.grace_ms,
            query.limit,
        )
        for job_id, sweeps in rows:
            wait_ms = min(SWEEP_MAX_MS, SWEEP_MS * 2 ** min(int(sweeps or 0), 10))
            self._sql.execute(
                "update job set sweep_at_ms = ?, sweeps = sweeps + 1 where id = ?",
                query.now_ms + wait_ms - query.grace_ms,
                job_id,
            )
        late = [str(row[0]) for row in rows]
        return late + self._expected.overdue(query.now_ms, query.limit - len(late))

    def entries(self, query: EntryQuery) -> EntryPage:
        """Return the jobs that a ledger should know."""
        self.migrate()
        rows = self._sql.execute(
            "select id, created_at_ms from job where id > ? order by id limit ?", query.after, SCANNED
        )
        entries = [Entry(text(row[0]), integer(row[1])) for row in rows]
        after = entries[-1].id if len(rows) == SCANNED else None
        return EntryPage(entries_of_ledger(entries, query.of), after, self.recovery.complete)

    def knows_end_of(self, entry: Entry) -> bool:
        """Tell whether a job is known to have ended."""
        rows = self._sql.execute(
            "select status from job where id = ? and created_at_ms = ?", entry.id, entry.created_at_ms
        )
        return any(row[0] in TERMINAL for row in rows)

    def state(self) -> ShardState:
        """Return how complete the shard is."""
        self.migrate()
        progress = self.recovery.progress()
        return ShardState(
            name=self.name,
            jobs=integer(self._sql.execute("select coalesce(sum(count), 0) from job_count")[0][0]),
            complete=progress.complete,
            ledger=progress.source,
            skipped=progress.skipped,
            due_at_ms=progress.due_at_ms,
        )

    def rebuild(self) -> ShardState:
        """Begin to ask the ledgers and the jobs for everything, as if nothing were known."""
        self.migrate()
        self.recovery.begin()
        return self.state()

    def incomplete(self) -> list[str]:
        """Return the shard's name while it may not know every job of its own."""
        return [] if self.recovery.complete else [self.name]

    def counts(self, query: CountsQuery) -> CatalogCounts:
        """Return the numbers behind the metrics and alerts."""
        self.migrate()
        jobs = self._sql.execute(
            "select workflow, status, count from job_count where count > 0 order by workflow, status"
        )
        late = self._sql.execute("select count(*) from job where sweep_at_ms <= ?", query.now_ms - query.grace_ms)
        stuck = self._sql.execute(
            "select count(*) from job where sweep_at_ms is not null and sweeps >= ?", STUCK_SWEEPS
        )
        oldest = self._sql.execute("select min(created_at_ms) from job where status = ?", JobStatus.QUEUED.value)[0][0]
        return CatalogCounts(
            jobs=[JobCount(str(row[0]), JobStatus(str(row[1])), int(row[2] or 0)) for row in jobs],
            dead_letters=self._letters.count(),
            overdue=integer(late[0][0]),
            stuck=integer(stuck[0][0]),
            oldest_queued_at_ms=None if oldest is None else int(oldest),
            ended=self._ended.totals(),
            ended_lately=self._ended.since(query.now_ms - query.window_ms),
            incomplete=self.incomplete(),
        )

    def _count(self, workflow: str, status: str, change: int) -> None:
        self._sql.execute(
            """insert into job_count (workflow, status, count) values (?, ?, ?)
            on conflict (workflow, status) do update set count = count + excluded.count""",
            workflow,
            status,
            change,
        )

    def _looked_at(self, summary: JobSummary) -> None:
        """Leave a job alone until it acts next: somebody has looked, and nothing about it has changed."""
        self._sql.execute(
            """update job set due_at_ms = ?, sweep_at_ms = ?, sweeps = 0
            where id = ? and revision = ? and due_at_ms < ? and sweep_at_ms < ?""",
            summary.due_at_ms,
            summary.due_at_ms,
            summary.id,
            summary.revision,
            summary.due_at_ms,
            summary.due_at_ms,
        )

    def _put(self, summary: JobSummary) -> None:
        self._sql.execute(
            """insert into job (id, workflow, status, tags, parent_id, created_at_ms, updated_at_ms, finished_at_ms,
            due_at_ms, revision, error, sweep_at_ms, tenant, sweeps) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)
            on conflict (id) do update set status = excluded.status, updated_at_ms = excluded.updated_at_ms,
            finished_at_ms = excluded.finished_at_ms, due_at_ms = excluded.due_at_ms, revision = excluded.revision,
            error = excluded.error, sweep_at_ms = excluded.sweep_at_ms, sweeps = 0""",
            summary.id,
            summary.workflow,
            summary.status.value,
            msgspec.json.encode(summary.tags).decode(),
            summary.parent_id,
            summary.created_at_ms,
            summary.updated_at_ms,
            summary.finished_at_ms,
            summary.due_at_ms,
            summary.revision,
            summary.error,
            summary.due_at_ms,
            summary.tenant,
        )


def _summary(row: SqlRow) -> JobSummary:
    fields = dict(zip(_STORED, row, strict=True))
    tags = msgspec.json.decode(str(fields["tags"]), type=tuple[str, ...])
    return msgspec.convert({**fields, "tags": tags}, JobSummary, strict=False)
