"""Every error the engine raises or records, with a stable code.

::

    OrchestratorError                 code, retryable, details
    ├── NonRetryableError             a step that must not be tried again
    ├── RetryableError                a step that may be tried again, optionally after ``retry_after_ms``
    │   ├── StepTimeoutError          step_timeout
    │   │   └── HeartbeatTimeoutError heartbeat_timeout
    │   └── HttpError                 http_unreachable | http_timeout | http_body_too_large
    ├── StepFailedError               step_failed: what workflow code sees when an operation gave up
    ├── DefinitionError               a workflow that cannot be registered
    ├── JournalMismatchError          journal_mismatch: the journal contradicts the code
    ├── ForeignAwaitableError         foreign_awaitable
    ├── NotAwaitedError               not_awaited: an operation was made and forgotten
    ├── DuplicateStepError            duplicate_step: one name twice in parallel code without a key; duplicate_child
    ├── ValueTooLargeError            value_too_large
    ├── ValueNotEncodableError        value_not_encodable
    ├── StorageValueError             storage_value
    └── RequestError                  what callers sent is wrong; carries an HTTP status
        ├── InvalidRequestError       400  invalid_request
        ├── UnauthorizedError         401  unauthorized
        ├── ForbiddenError            403  forbidden
        ├── UnknownJobError           404  unknown_job
        ├── UnknownLaneError          404  unknown_lane
        ├── UnknownWorkflowError      404  unknown_workflow
        ├── UnknownTokenError         404  unknown_token
        ├── UnknownScheduleError      404  unknown_schedule
        ├── UnknownDeadLetterError    404  unknown_dead_letter
        ├── UnknownKeyError           404  unknown_key
        ├── ConflictError             409  conflict
        ├── PayloadTooLargeError      413  payload_too_large
        ├── InvalidPayloadError       422  invalid_payload
        ├── InvalidCronError          422  invalid_cron
        ├── UnknownTimeZoneError      422  unknown_time_zone
        └── ContradictionError        422  contradictory_options
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec


class ErrorRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as it is stored and shown: never a traceback, never a secret."""

    code: str
    message: str
    step: str | None = None
    attempt: int | None = None
    cause: str | None = None


class OrchestratorError(Exception):
    """Base of every error with a code.

    Args:
        message: text for people; the class's own sentence when left out.
        code: overrides the class's code, for classes that carry several.
        details: facts for programs, shown in problem documents.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str | None = None, *, code: str | None = None, details: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message or (self.__class__.__doc__ or "").strip().split("\n")[0])
        self.error_code: str = code or self.code
        self.details: Mapping[str, object] = details or {}


class NonRetryableError(OrchestratorError):
    """The step failed in a way that another attempt cannot mend."""

    code = "non_retryable"


class RetryableError(OrchestratorError):
    """The step failed; another attempt may succeed."""

    code = "retryable"
    retryable = True

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        details: Mapping[str, object] | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message, code=code, details=details)
        self.retry_after_ms = retry_after_ms


class StepTimeoutError(RetryableError):
    """The step did not finish within its timeout."""

    code = "step_timeout"


class HeartbeatTimeoutError(StepTimeoutError):
    """The step gave no sign of life for longer than it had promised."""

    code = "heartbeat_timeout"


class HttpError(RetryableError):
    """No usable HTTP answer arrived."""

    code = "http_unreachable"


class StepFailedError(OrchestratorError):
    """A step gave up. ``record`` says which, after how many attempts, and why."""

    code = "step_failed"

    def __init__(self, record: ErrorRecord) -> None:
        super().__init__(record.message, code=record.code)
        self.record = record


class DefinitionError(OrchestratorError):
    """The workflow's definition is wrong."""

    code = "definition"


class JournalMismatchError(OrchestratorError):
    """The journal contradicts the code that replays it."""

    code = "journal_mismatch"


class ForeignAwaitableError(OrchestratorError):
    """Workflow code awaited something that is not a job operation."""

    code = "foreign_awaitable"


class NotAwaitedError(OrchestratorError):
    """Workflow code made an operation and did not await it."""

    code = "not_awaited"


class DuplicateStepError(OrchestratorError):
    """One name was used twice in parallel code without an explicit key."""

    code = "duplicate_step"


class ValueTooLargeError(OrchestratorError):
    """A value is larger than a checkpoint may be."""

    code = "value_too_large"


class ValueNotEncodableError(OrchestratorError):
    """A value cannot be encoded as MessagePack."""

    code = "value_not_encodable"


class StorageValueError(OrchestratorError):
    """A SQL parameter would not be stored faithfully."""

    code = "storage_value"


class RequestError(OrchestratorError):
    """The request cannot be served as it was sent."""

    code = "bad_request"
    status: ClassVar[int] = 400


class InvalidRequestError(RequestError):
    """The request is malformed."""

    code = "invalid_request"


class UnauthorizedError(RequestError):
    """The request carries no valid key."""

    code = "unauthorized"
    status = 401


class ForbiddenError(RequestError):
    """The key does not allow this."""

    code = "forbidden"
    status = 403


class UnknownJobError(RequestError):
    """There is no such job."""

    code = "unknown_job"
    status = 404


class UnknownLaneError(RequestError):
    """There is no such lane."""

    code = "unknown_lane"
    status = 404


class UnknownWorkflowError(RequestError):
    """There is no such workflow."""

    code = "unknown_workflow"
    status = 404


class UnknownTokenError(RequestError):
    """There is no such token."""

    code = "unknown_token"
    status = 404


class UnknownScheduleError(RequestError):
    """There is no such schedule."""

    code = "unknown_schedule"
    status = 404


class UnknownKeyError(RequestError):
    """There is no such key."""

    code = "unknown_key"
    status = 404


class UnknownDeadLetterError(RequestError):
    """There is no such dead letter."""

    code = "unknown_dead_letter"
    status = 404


class ConflictError(RequestError):
    """The job's state does not allow this."""

    code = "conflict"
    status = 409


class PayloadTooLargeError(RequestError):
    """The request body is larger than allowed."""

    code = "payload_too_large"
    status = 413


class InvalidPayloadError(RequestError):
    """The payload does not fit the workflow's model."""

    code = "invalid_payload"
    status = 422


class InvalidCronError(RequestError):
    """The cron expression is malformed, or no date fits it."""

    code = "invalid_cron"
    status = 422


class UnknownTimeZoneError(RequestError):
    """There is no such time zone."""

    code = "unknown_time_zone"
    status = 422


class ContradictionError(RequestError):
    """Two options of the request exclude each other."""

    code = "contradictory_options"
    status = 422
