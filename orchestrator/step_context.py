"""What a running step knows about itself, reached with :func:`current_step`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import msgspec

from orchestrator.errors import OrchestratorError
from orchestrator.model import Created, CreateJob, JobOptions, Progress
from orchestrator.ports import Database
from orchestrator.reuse import keyed_job_id


class StepContext(msgspec.Struct, frozen=True, kw_only=True):
    """The attempt under way."""

    job_id: str
    key: str
    #: 1-based.
    attempt: int
    #: Stable under retries and replays: hand it to outside systems (design.md §6).
    idempotency_key: str
    #: When the attempt is given up.
    deadline_ms: int
    #: The time at which the attempt began; fixed for the attempt.
    now_ms: int
    #: The adapters the composition root provides; ``steps`` narrows them.
    services: object
    database: Callable[[], Database]
    report: Callable[[Progress], None]
    beat: Callable[[object], None]
    #: What the attempt before this one said with its last heartbeat that was stored; None when it said nothing.
    last_heartbeat: object = None
    write_log: Callable[[str, dict[str, object]], None]
    create_job: Callable[[CreateJob], Awaitable[Created]]
    #: Whose job it is; the jobs it starts are of the same tenant.
    tenant: str | None = None

    def log(self, message: str, **fields: object) -> None:
        """Write a structured log line with the job, step and attempt."""
        self.write_log(message, {**fields, "step": self.key, "attempt": self.attempt})

    async def start_job(
        self, workflow: str, key: str, payload: object, *, options: JobOptions | None = None
    ) -> Created:
        """Start a job of its own, which is nobody's child. The same workflow and key are one job, however often.

        For a step that starts many at once, in bounded memory; one at a time is ``job.start_child``.

        Args:
            workflow: its workflow.
            key: its idempotency key.
            payload: its payload.
            options: its other options; it is handed to its own object directly, without a queue.

        Raises:
            ConflictError: the key is taken by a job with another payload (code ``idempotency_conflict``).
            RetryableError: its object did not answer.
        """
        options = options or JobOptions()
        options = msgspec.structs.replace(
            options, idempotency_key=key, mode="direct", tenant=options.tenant or self.tenant
        )
        job_id = keyed_job_id(workflow, key, tenant=options.tenant)
        request = CreateJob(job_id=job_id, workflow=workflow, payload=payload, options=options)
        return await self.create_job(request)

    def heartbeat(self, details: object = None) -> None:
        """Say that the step lives, and how far it is, for the attempt that follows if this one dies.

        Details are stored at most once a second: a crash may cost what was said since; a failure or a timeout costs
        nothing.

        Args:
            details: small and encodable, say a cursor; the next attempt finds them in ``last_heartbeat``.

        Raises:
            StepTimeoutError: this attempt was given up; nothing it does is recorded any more.
            InvalidRequestError: the details are too large or cannot be encoded.
        """
        self.beat(details)

    def progress(self, done: float, total: float | None = None, unit: str = "items") -> None:
        """Say how far the job is; stored with the next checkpoint."""
        self.report(Progress(done, total, unit))


_current: ContextVar[StepContext] = ContextVar("orchestrator_step")


def current_step() -> StepContext:
    """Return the attempt that this code runs in.

    Raises:
        OrchestratorError: called outside a step (code ``not_in_step``).
    """
    found = _current.get(None)
    if found is None:
        raise OrchestratorError("current_step() works inside functions that job.* operations run", code="not_in_step")
    return found


def enter_step(context: StepContext) -> None:
    """Make ``context`` the current step of the running task."""
    _current.set(context)
