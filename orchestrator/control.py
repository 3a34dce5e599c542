"""What others have one job do: actions chosen from a list that may be old, and handing over its message."""

from __future__ import annotations

from orchestrator.engine import JobEngine
from orchestrator.errors import ConflictError, RetryableError, UnknownJobError
from orchestrator.lifecycle import TERMINAL, JobStatus
from orchestrator.model import ChildOutcome, ControlJob, JobSummary, StopJob
from orchestrator.outbox import FIRST


def control(engine: JobEngine, request: ControlJob) -> JobStatus:
    """Do what was asked if the job still is in a status for which it was asked; return its status.

    Raises:
        UnknownJobError: nothing was created here.
        ConflictError: its status is another one now (code ``status_changed``), or does not allow this (``conflict``).
    """
    status = engine.known().status
    if request.only_in and status not in request.only_in:
        raise ConflictError(f"The job is {status} now", code="status_changed")
    match request.action:
        case "cancel":
            return engine.cancel(request.reason)
        case "pause":
            return engine.pause()
        case "resume":
            return engine.resume(request.budget)
        case "retry":
            return engine.retry(request.retry)
        case "delete":
            return engine.delete()


async def look_after(engine: JobEngine) -> JobSummary:
    """Look at a job that is late, which mends its alarm and its lane's; return how it is.

    Raises:
        UnknownJobError: nothing was created here, or it was deleted.
        RetryableError: it is being deleted (code ``job_being_deleted``), and is to be looked at until that is done.
    """
    await engine.look()
    if engine.exists():
        engine.wake(ask_lane=True)
        job = engine.journal.load_job()
        if job is not None and job.phase == "deleted" and engine.journal.successor() is None:
            raise RetryableError("The job is being deleted", code="job_being_deleted")
    return engine.summary()


def stop(engine: JobEngine, request: StopJob) -> ChildOutcome | None:
    """Cancel a job unless it has ended; return how it ended, or have it tell when it does.

    Raises:
        UnknownJobError: nothing was created here, or it is of another workflow than those meant.
    """
    job = engine.known()
    if request.workflows and job.workflow not in request.workflows:
        raise UnknownJobError
    if job.status not in TERMINAL:
        engine.cancel(request.reason)
    return engine.watch(request.watcher)


async def take(engine: JobEngine) -> JobStatus:
    """Start a queued job for its message; return its status.

    Until the catalog has heard of the job, the message is all that leads to it, and must come again.

    Raises:
        UnknownJobError: nothing was created here.
        RetryableError: the catalog has not heard of the job (code ``job_unannounced``).
    """
    await engine.look()
    status = engine.dispatch()
    if engine.journal.outbox.has("catalog", FIRST):
        await engine.announce()
        if engine.exists() and engine.journal.outbox.has("catalog", FIRST):
            raise RetryableError("The catalog has not heard of the job yet", code="job_unannounced")
    return status
