"""What the command line ends with: exit codes that mean something, and what to do about each refusal."""

from __future__ import annotations

import enum

from orchestrator.client import (
    ClientError,
    ConfigurationError,
    ForbiddenError,
    JobUnsuccessfulError,
    NoAnswerError,
    NotFoundError,
    ProblemError,
    UnauthorizedError,
    WaitTimeoutError,
)


class MisuseError(ClientError):
    """The command line contradicts itself, or says too little."""


class Exit(enum.IntEnum):
    """Exit codes; docs/cli.md shows them."""

    OK = 0
    UNSUCCESSFUL = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    UNAUTHORIZED = 5
    UNAVAILABLE = 6
    TIMEOUT = 7
    INTERRUPTED = 130


MEANINGS = {
    Exit.OK: "done",
    Exit.UNSUCCESSFUL: "carried out, and the outcome is bad: a job failed, some of many were refused, a check failed",
    Exit.USAGE: "the command line itself is wrong, or a setting is missing",
    Exit.NOT_FOUND: "there is no such job, workflow, schedule, lane or dead letter",
    Exit.REFUSED: "the server refused: the request does not fit, or the state of things does not allow it",
    Exit.UNAUTHORIZED: "no key, or one that does not allow this",
    Exit.UNAVAILABLE: "nobody answered, or the server failed, also after several attempts",
    Exit.TIMEOUT: "the job has not ended in time; it goes on",
    Exit.INTERRUPTED: "interrupted by Ctrl-C; jobs go on",
}

_HINTS = {
    "unauthorized": "give the right key with --api-key or ORCHESTRATOR_API_KEY",
    "no_api_key_configured": "set the Worker's secret: `orchestrator provision` shows how",
    "not_found": "is it this orchestrator, and of the command line's version?",
    "unknown_job": "`orchestrator list` shows the jobs there are; ended ones are deleted after their retention",
    "unknown_workflow": "`orchestrator workflows` shows those that are deployed",
    "unknown_key": "`orchestrator keys` shows the keys there are",
    "unknown_lane": "`orchestrator lanes` shows the lanes there are",
    "unknown_schedule": "`orchestrator schedules` shows the schedules there are",
    "unknown_dead_letter": "`orchestrator dead-letters` shows those there are",
    "missing_scope": "take a key that has the scope, or have it given to this one",
    "restricted_key": "take a key that is not restricted to a tenant or workflows",
    "foreign_tenant": "take a key of the tenant's",
    "foreign_workflow": "take a key that is for this workflow",
    "catalog_incomplete": "`orchestrator catalog` shows which part is missing",
    "conflict": "`orchestrator status ID` shows where the job stands",
    "idempotency_conflict": "one key is one payload: take another key, or send the same payload",
    "job_undone": "`orchestrator retry ID --scratch`",
    "job_ended": "`orchestrator retry ID` runs a job again that ended without success",
    "object_overloaded": "try again in a moment",
    "object_unreachable": "try again in a moment",
}


def exit_of(error: ClientError) -> Exit:
    """Return the exit code of an error."""
    match error:
        case ConfigurationError() | MisuseError():
            return Exit.USAGE
        case UnauthorizedError() | ForbiddenError():
            return Exit.UNAUTHORIZED
        case NotFoundError():
            return Exit.NOT_FOUND
        case JobUnsuccessfulError():
            return Exit.UNSUCCESSFUL
        case WaitTimeoutError():
            return Exit.TIMEOUT
        case ProblemError() if error.status < 500 and error.status != 429:
            return Exit.REFUSED
        case _:
            return Exit.UNAVAILABLE


def code_of(error: ClientError) -> str:
    """Return the stable code of an error."""
    match error:
        case ProblemError():
            return error.code
        case ConfigurationError():
            return "configuration"
        case MisuseError():
            return "usage"
        case NoAnswerError():
            return "no_answer"
        case JobUnsuccessfulError():
            return "job_unsuccessful"
        case WaitTimeoutError():
            return "timeout"
        case _:
            return "unexpected_answer"


def hint_of(error: ClientError) -> str | None:
    """Return what to do about an error."""
    match error:
        case ConfigurationError():
            return "start the local stack with `orchestrator dev`, or name a server: --url and --api-key"
        case NoAnswerError():
            return "is it running? `orchestrator dev` starts the local stack, `orchestrator doctor` looks for the cause"
        case WaitTimeoutError() | JobUnsuccessfulError():
            return f"`orchestrator status {error.job.id} --steps` shows where it stands"
        case _:
            return _HINTS.get(code_of(error))
