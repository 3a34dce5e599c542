"""What callers see of a job, made from its journal."""

from __future__ import annotations

from typing import cast

from orchestrator import codec
from orchestrator.admission import Tickets
from orchestrator.cost import cost_of
from orchestrator.errors import ErrorRecord
from orchestrator.journal import Journal
from orchestrator.lane import PermitAnswer
from orchestrator.lifecycle import TERMINAL, JobStatus, StepStatus
from orchestrator.limits import MAX_DEAD_STEPS
from orchestrator.model import (
    ChildOutcome,
    DeadStep,
    JobOptions,
    JobOwner,
    JobRow,
    JobSummary,
    JobView,
    ParentRef,
    Progress,
    StepRow,
    StepView,
    WaitView,
)

_REASONS = {
    ("sleep", StepStatus.WAITING): "sleeping",
    ("rate", StepStatus.WAITING): "waiting for a token of a shared rate limit",
    ("children", StepStatus.WAITING): "waiting for child jobs",
    ("join", StepStatus.WAITING): "waiting for a child job",
    ("stop", StepStatus.WAITING): "waiting for another job to stop",
}


#: What a loop or fan-out counts; the state it carries stays private.
_COUNTERS = ("items", "batches", "started", "succeeded", "failed")


def job_view(job: JobRow, journal: Journal, lane: PermitAnswer | None = None) -> JobView:
    """Return the job's status, exact at this moment; ``lane`` is what its lane says now, when it waits for one."""
    options = codec.decode_as(job.options, JobOptions)
    return JobView(
        id=job.job_id,
        workflow=job.workflow,
        version=job.version,
        status=job.status,
        progress=None if job.progress is None else codec.decode_as(job.progress, Progress),
        metadata={} if job.metadata is None else codec.decode_as(job.metadata, dict[str, object]),
        result=None if job.result is None else codec.decode(job.result),
        error=_shown_error(job),
        tags=options.tags,
        parent_id=_parent_id(job),
        created_at_ms=job.created_at_ms,
        started_at_ms=job.started_at_ms,
        finished_at_ms=job.finished_at_ms,
        slices=job.slices,
        crashes=job.crashes_total,
        steps=journal.count_steps(),
        rows_written=job.rows_written,
        revision=job.revision,
        waits=_waits(job, journal, lane),
        tenant=options.tenant,
        attempts=_attempts(job),
        cost=cost_of(job, journal.sql.size_bytes),
    )


def job_owner(job: JobRow) -> JobOwner:
    """Return whose the job is."""
    return JobOwner(workflow=job.workflow, tenant=codec.decode_as(job.options, JobOptions).tenant)


def step_view(row: StepRow) -> StepView:
    """Return one step; values stay private, counters are shown."""
    return StepView(
        key=row.key,
        kind=row.kind,
        status=row.status,
        attempt=row.attempt,
        started_at_ms=row.started_at_ms,
        finished_at_ms=row.finished_at_ms,
        due_at_ms=row.due_at_ms,
        error=_error(row.error),
        counters=_counters(row),
    )


def job_outcome(job: JobRow, key: str) -> ChildOutcome:
    """Return how a job ended, as its parent wants it."""
    result = None if job.result is None else codec.decode(job.result)
    return ChildOutcome(key=key, job_id=job.job_id, status=job.status, result=result, error=_error(job.error))


def dead_steps(job: JobRow, journal: Journal) -> tuple[DeadStep, ...]:
    """Return the first steps that gave up and that their job has completed without."""
    if job.status is not JobStatus.COMPLETED:
        return ()
    found: list[DeadStep] = []
    for row in journal.failed_steps(MAX_DEAD_STEPS):
        error = _error(row.error)
        cause = "failed" if error is None else f"{error.code}: {error.message}"[:300]
        at_ms = row.finished_at_ms or job.finished_at_ms or row.started_at_ms
        found.append(DeadStep(key=row.key, kind=row.kind, attempts=row.attempt, cause=cause, at_ms=at_ms))
    return tuple(found)


def summary(job: JobRow, journal: Journal, due_at_ms: int | None) -> JobSummary:
    """Return what the catalog is to know."""
    error = _shown_error(job)
    options = codec.decode_as(job.options, JobOptions)
    return JobSummary(
        id=job.job_id,
        workflow=job.workflow,
        status=job.status,
        tags=options.tags,
        parent_id=_parent_id(job),
        created_at_ms=job.created_at_ms,
        updated_at_ms=job.finished_at_ms or job.started_at_ms or job.created_at_ms,
        finished_at_ms=job.finished_at_ms,
        due_at_ms=due_at_ms,
        revision=job.revision,
        error=None if error is None else f"{error.code}: {error.message}"[:300],
        tenant=options.tenant,
        ready_at_ms=job.created_at_ms + options.delay_ms,
        started_at_ms=job.started_at_ms,
        slices=job.slices,
        crashes=job.crashes_total,
        rows_written=job.rows_written,
        attempts=_attempts(job),
        failed_in=None if error is None else error.step,
        dead_steps=dead_steps(job, journal),
    )


def _attempts(job: JobRow) -> int:
    return job.generation + (job.started_at_ms is not None)


def _waits(job: JobRow, journal: Journal, lane: PermitAnswer | None) -> tuple[WaitView, ...]:
    if job.status in TERMINAL:
        return ()  # the steps that it was waiting for are not waited for any more
    if job.status is JobStatus.QUEUED:
        return (WaitView(kind="queue", key="", reason="waiting for a queue consumer", due_at_ms=job.due_at_ms),)
    if job.status is JobStatus.WAITING:
        ticket = Tickets(journal.sql).get()
        if ticket is not None:
            found = lane or PermitAnswer(granted=False, reason=ticket.reason, due_at_ms=ticket.due_at_ms)
            reason = "the permit is on its way" if found.granted else found.reason
            return (WaitView(kind="lane", key=ticket.lane, reason=reason, due_at_ms=found.due_at_ms),)
        debounced = codec.decode_as(job.options, JobOptions).debounce_ms
        reason = "starts when no further call comes, or after the longest wait" if debounced else "starts later"
        return (WaitView(kind="start", key="", reason=reason, due_at_ms=job.due_at_ms),)
    return tuple(
        WaitView(kind=row.kind, key=row.key, reason=_reason(row), due_at_ms=row.due_at_ms)
        for row in journal.open_steps()
        if row.status is not StepStatus.RUNNING
    )


def _reason(row: StepRow) -> str:
    if row.status is StepStatus.RETRYING:
        error = _error(row.error)
        return f"attempt {row.attempt} follows after {error.code if error else 'an error'}"
    return _REASONS.get((row.kind, row.status), str(row.status))


def _counters(row: StepRow) -> dict[str, int] | None:
    if row.kind not in {"each", "children"} or row.value is None:
        return None
    tally = codec.decode(row.value)
    found = cast("dict[str, object]", tally)
    return {name: value for name in _COUNTERS if isinstance(value := found.get(name), int)}


def _parent_id(job: JobRow) -> str | None:
    return None if job.parent is None else codec.decode_as(job.parent, ParentRef).job_id


def _shown_error(job: JobRow) -> ErrorRecord | None:
    return _error(job.error if job.pause_error is None else job.pause_error)


def _error(data: bytes | None) -> ErrorRecord | None:
    return None if data is None else codec.decode_as(data, ErrorRecord)
