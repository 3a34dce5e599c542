"""What a job forgets when it is retried, so that this much of it runs again."""

from __future__ import annotations

from orchestrator import codec
from orchestrator.child_operations import JoinState, StartedChild
from orchestrator.compensation import SCOPE, any_undone
from orchestrator.errors import ConflictError, InvalidRequestError
from orchestrator.journal import Journal
from orchestrator.lifecycle import StepStatus
from orchestrator.model import JobRow, RetryJob, StepRow
from orchestrator.workflow import Registry


def forget_steps(journal: Journal, job: JobRow, request: RetryJob, registry: Registry) -> bool:
    """Forget the steps that are to run again, and the starts of children that went down with the job.

    A job whose steps were undone begins from scratch. Returns whether that is so.

    Args:
        journal: the job's.
        job: the job.
        request: where it is to begin again.
        registry: its workflow may begin from scratch.

    Raises:
        InvalidRequestError: there is no such step (code ``unknown_step``).
        ConflictError: what comes before the step was undone (code ``job_undone``).
    """
    undone = any_undone(journal)
    if undone and request.from_step is not None:
        raise ConflictError("What the job did was undone: it can only begin from scratch", code="job_undone")
    first: StepRow | None = None
    if request.from_step is not None:
        first = journal.step(request.from_step)
        if first is None:
            raise InvalidRequestError(f"The job has no step {request.from_step[:80]!r}", code="unknown_step")
    for scope in (SCOPE, "on_failure/", "on_cancel/"):
        journal.forget_steps_of(scope)
    if request.scratch or undone or (first is None and _begins_from_scratch(job, registry)):
        journal.forget_steps_from(0)
    elif first is not None:
        journal.forget_steps_from(first.seq)
    for row in journal.steps():
        if _was_stopped(row) or (first is None and row.status is StepStatus.FAILED):
            journal.forget_step(row.key)
            _forget_start_of(journal, row)
    for row in journal.open_steps():
        # When the job ended, nothing of it was due any more. A token's end is due to who waits for it.
        if row.due_at_ms is not None and row.kind != "token":
            journal.set_due(row.key, row.due_at_ms)
    return undone


def _begins_from_scratch(job: JobRow, registry: Registry) -> bool:
    return job.workflow in registry and registry.get(job.workflow).options.retried_from == "scratch"


def _forget_start_of(journal: Journal, row: StepRow) -> None:
    """Forget the start of a child that ended without success and was waited for."""
    state = codec.decode_as(row.value, JoinState) if row.kind == "join" and row.value is not None else None
    if state is not None and state.outcome is not None and not state.outcome.ok:
        journal.forget_step(state.operation)


def _was_stopped(row: StepRow) -> bool:
    return row.kind == "start" and row.value is not None and codec.decode_as(row.value, StartedChild).stopped
