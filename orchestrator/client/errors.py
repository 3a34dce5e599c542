"""What calls raise.

::

    ClientError
    ├── ConfigurationError        a setting is missing or contradicts another
    ├── NoAnswerError             nobody answered; ``maybe_done`` says whether the request may have taken effect
    ├── UnexpectedAnswerError     an answer that this API does not give
    ├── ProblemError              a problem document (RFC 9457): status, code, and the rest in ``problem``
    │   ├── InvalidRequestError   400, 413, 415, 422 and whatever else is the request's fault
    │   ├── UnauthorizedError     401
    │   ├── ForbiddenError        403
    │   ├── NotFoundError         404
    │   ├── ConflictError         409
    │   ├── RateLimitedError      429
    │   └── UnavailableError      500 and above
    ├── JobUnsuccessfulError      the job ended without success; carries the job
    └── WaitTimeoutError          the job did not end in time; carries the job
"""

from __future__ import annotations

from orchestrator.client.answers import Job, Problem


class ClientError(Exception):
    """Base of what calls raise."""


class ConfigurationError(ClientError):
    """A setting is missing or contradicts another."""


class NoAnswerError(ClientError):
    """Nobody answered.

    Args:
        cause: what happened.
        maybe_done: whether the request may have taken effect all the same.
    """

    def __init__(self, cause: str, *, maybe_done: bool) -> None:
        super().__init__(f"{cause}; the request may have taken effect" if maybe_done else cause)
        self.maybe_done = maybe_done


class UnexpectedAnswerError(ClientError):
    """An answer that this API does not give, for instance from something else that listens there."""


class ProblemError(ClientError):
    """The server refused the request, or failed to serve it."""

    def __init__(self, status: int, problem: Problem, request_id: str | None = None) -> None:
        detail = problem.detail or problem.code
        faults = "".join(
            f"; {item.path}: {item.message}" for item in problem.errors or () if item.message not in detail
        )
        super().__init__(f"{detail}{faults}")
        self.status = status
        self.code = problem.code
        #: What the server's log and audit entries call the request.
        self.request_id = request_id
        #: The whole document.
        self.problem = problem


class InvalidRequestError(ProblemError):
    """The request is not one that can be served."""


class UnauthorizedError(ProblemError):
    """There is no key, or no valid one."""


class ForbiddenError(ProblemError):
    """The key does not allow this."""


class NotFoundError(ProblemError):
    """There is no such thing."""


class ConflictError(ProblemError):
    """The state of things does not allow this."""


class RateLimitedError(ProblemError):
    """Too many requests, also after the waits that were asked for."""


class UnavailableError(ProblemError):
    """The server failed, or a part of it did not answer."""


class JobUnsuccessfulError(ClientError):
    """The job failed, was cancelled, or expired."""

    def __init__(self, job: Job) -> None:
        why = "" if job.error is None else f": {job.error.code}: {job.error.message}"
        super().__init__(f"{job.id} has {job.status}{why}" if job.status != "cancelled" else f"{job.id} was cancelled")
        self.job = job


class WaitTimeoutError(ClientError):
    """The job has not ended in time. It goes on."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"{job.id} is still {job.status}")
        self.job = job


_BY_STATUS = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimitedError,
}


def problem_error(status: int, problem: Problem, request_id: str | None = None) -> ProblemError:
    """Return the error of a refusal."""
    kind = _BY_STATUS.get(status, UnavailableError if status >= 500 else InvalidRequestError)
    return kind(status, problem, request_id)
