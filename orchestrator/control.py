"""One action on one job, chosen from a list that may be old: judged again by the job itself."""

from __future__ import annotations

from orchestrator.engine import JobEngine
from orchestrator.errors import ConflictError, UnknownJobError
from orchestrator.lifecycle import TERMINAL, JobStatus
from orchestrator.model import ChildOutcome, ControlJob, StopJob


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
