"""The catalog's dead letters: jobs, steps and messages that gave up, until they are tried again or their job goes."""

from __future__ import annotations

from typing import Literal, LiteralString

import msgspec

from durable.catalog_model import DeadLetterPage, DeadLetterQuery, Redriven
from durable.cursors import cursor_of, start_of
from orchestrator.lifecycle import JobStatus
from orchestrator.model import DeadLetter, JobSummary
from orchestrator.ports import Sql, SqlRow, SqlValue

#: Letters of messages are kept this long; those of jobs as long as their job.
MESSAGES_KEPT_MS = 30 * 86_400_000

_SELECT: LiteralString = "select id, kind, job_id, workflow, cause, at_ms, detail, redriven_at_ms from dead_letter "
_SELECT_ONE: LiteralString = _SELECT + "where id = ?"


class DeadLetters:
    """The table of dead letters.

    Args:
        sql: the catalog's SQLite, its tables made.
    """

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    def add(self, letter: DeadLetter) -> None:
        """Keep a dead letter; the first of an id stays, unless a job failed again."""
        self._sql.execute(
            """insert into dead_letter (id, kind, job_id, workflow, cause, at_ms, detail, redriven_at_ms)
            values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (id) do update set cause = excluded.cause,
            at_ms = excluded.at_ms, detail = excluded.detail, redriven_at_ms = null
            where kind = 'job' and excluded.at_ms > at_ms""",
            letter.id,
            letter.kind,
            letter.job_id,
            letter.workflow,
            letter.cause,
            letter.at_ms,
            None if letter.detail is None else msgspec.json.encode(letter.detail).decode(),
            letter.redriven_at_ms,
        )
        self._sql.execute(
            "delete from dead_letter where at_ms < ? and kind = 'message'", letter.at_ms - MESSAGES_KEPT_MS
        )

    def find(self, letter_id: str) -> list[DeadLetter]:
        """Return the dead letter of this id, or none."""
        return [_letter(row) for row in self._sql.execute(_SELECT_ONE, letter_id)]

    def list(self, query: DeadLetterQuery) -> DeadLetterPage:
        """Return dead letters, newest first.

        Raises:
            InvalidRequestError: the cursor is not one of ours (code ``invalid_cursor``).
        """
        text: LiteralString = _SELECT + "where (at_ms, id) < (?, ?)"
        params: list[SqlValue] = [*start_of(query.cursor, before_ms=query.created_before_ms)]
        if query.kind is not None:
            text += " and kind = ?"
            params.append(query.kind)
        if query.workflow is not None:
            text += " and workflow = ?"
            params.append(query.workflow)
        if query.redriven is not None:
            text += " and (redriven_at_ms is not null) = ?"
            params.append(int(query.redriven))
        if query.created_after_ms is not None:
            text += " and at_ms >= ?"
            params.append(query.created_after_ms)
        if query.tenant is not None:
            text += " and exists (select 1 from job where job.id = dead_letter.job_id and job.tenant = ?)"
            params.append(query.tenant)
        if query.workflows is not None:
            text += """ and exists (select 1 from job where job.id = dead_letter.job_id
                and job.workflow in (select value from json_each(?)))"""
            params.append(msgspec.json.encode(query.workflows).decode())
        text += " order by at_ms desc, id desc limit ?"
        rows = self._sql.execute(text, *params, query.limit + 1)
        letters = [_letter(row) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        return DeadLetterPage(letters, cursor_of(letters[-1].at_ms, letters[-1].id) if more else None)

    def mark(self, redriven: Redriven) -> None:
        """Take note that a letter was tried again; one that is gone by now was, too."""
        self._sql.execute(
            "update dead_letter set redriven_at_ms = ? where id = ? and at_ms <= ?",
            redriven.at_ms,
            redriven.id,
            redriven.at_ms,
        )

    def follow(self, summary: JobSummary) -> None:
        """Keep a failed job, and steps that gave up, as dead letters until the job runs again."""
        self._forget_steps(summary.id)
        if summary.status is JobStatus.FAILED:
            at_ms = summary.finished_at_ms or summary.updated_at_ms
            self._follow(summary, f"job:{summary.id}", "job", summary.error or "failed", at_ms, summary.failed_in, 0)
        else:
            self._sql.execute("delete from dead_letter where id = ?", f"job:{summary.id}")
        for step in summary.dead_steps:
            letter_id = f"step:{summary.id}:{step.key}"
            self._follow(summary, letter_id, "step", step.cause, step.at_ms, step.key, step.attempts)

    def _follow(
        self,
        summary: JobSummary,
        letter_id: str,
        kind: Literal["job", "step"],
        cause: str,
        at_ms: int,
        step: str | None,
        attempts: int,
    ) -> None:
        # The payload is where the job's journal is: it may be large, and whoever reads letters need not see it.
        payload = f"/v1/jobs/{summary.id}/export"
        self.add(
            DeadLetter(
                id=letter_id,
                kind=kind,
                job_id=summary.id,
                workflow=summary.workflow,
                cause=cause,
                at_ms=at_ms,
                detail={"step": step, "attempts": attempts or summary.attempts, "payload": payload},
            )
        )

    def forget_job(self, job_id: str) -> None:
        """Forget that a job and steps of it gave up."""
        self._sql.execute("delete from dead_letter where id = ?", f"job:{job_id}")
        self._forget_steps(job_id)

    def _forget_steps(self, job_id: str) -> None:
        # From the job's first letter to just behind its last: ';' follows ':'.
        self._sql.execute("delete from dead_letter where id > ? and id < ?", f"step:{job_id}:", f"step:{job_id};")

    def count(self) -> int:
        """Return how many letters nobody has tried again."""
        return int(self._sql.execute("select count(*) from dead_letter where redriven_at_ms is null")[0][0] or 0)


def _letter(row: SqlRow) -> DeadLetter:
    fields: dict[str, object] = dict(zip(DeadLetter.__struct_fields__, row, strict=True))
    detail = None if row[6] is None else msgspec.json.decode(str(row[6]))
    return msgspec.convert({**fields, "detail": detail}, DeadLetter, strict=False)
