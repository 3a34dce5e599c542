"""Operations on other jobs: children that a workflow starts and does not wait for at once, and jobs that it stops."""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec

from orchestrator import bounds
from orchestrator.lifecycle import JobStatus
from orchestrator.model import ChildOutcome, JobOptions
from orchestrator.operations import Operation

T = TypeVar("T")

#: What becomes of a started child when its parent ends (docs/decisions/0010-children-started-without-waiting.md).
OnParentEnd = Literal["cancel", "cancel_unless_completed", "keep"]


class ChildHandle(msgspec.Struct, frozen=True, kw_only=True):
    """A job that a workflow has started."""

    id: str
    #: The operation that started it.
    operation: str
    #: Whether the idempotency key led to a job that was there already.
    deduplicated: bool = False


class StartOp(Operation[ChildHandle]):
    """Start a child job, exactly once."""

    kind = "start"

    def __init__(
        self,
        name: str,
        workflow: str,
        payload: object,
        *,
        key: str | None,
        options: JobOptions,
        on_parent_end: OnParentEnd,
    ) -> None:
        super().__init__(name, key)
        self.workflow = workflow
        self.payload = payload
        self.options = options
        self.on_parent_end: OnParentEnd = on_parent_end


class StartedChild(msgspec.Struct, frozen=True, kw_only=True):
    """What the row of a start holds, from before the child is created on."""

    job_id: str
    on_parent_end: OnParentEnd
    #: Which of the jobs of its idempotency key it is.
    generation: int = 0
    #: Whether this workflow has created it: others' jobs are never cancelled with it.
    own: bool = True
    #: Whether it was cancelled because its parent ended.
    stopped: bool = False

    def handle(self, operation: str) -> ChildHandle:
        """Return what workflow code gets for it."""
        return ChildHandle(id=self.job_id, operation=operation, deduplicated=not self.own)


class EndOp(Operation[T]):
    """Suspend until another job has ended."""

    def __init__(self, name: str, *, key: str | None, job_id: str, operation: str, timeout_ms: int | None) -> None:
        super().__init__(name, key)
        self.job_id = job_id
        #: The operation that started the other job, if one of this job's did.
        self.operation = operation
        self.timeout_ms = None if timeout_ms is None else bounds.duration(timeout_ms, what="A timeout")


class JoinOp(EndOp[object]):
    """Suspend until a started job has ended."""

    kind = "join"

    def __init__(self, name: str, *, key: str | None, child: ChildHandle, timeout_ms: int | None) -> None:
        super().__init__(name, key=key, job_id=child.id, operation=child.operation, timeout_ms=timeout_ms)


class StopOp(EndOp[JobStatus | None]):
    """Cancel another job and suspend until it has ended."""

    kind = "stop"

    def __init__(
        self,
        name: str,
        *,
        key: str | None,
        job_id: str,
        reason: str,
        workflows: tuple[str, ...],
        timeout_ms: int | None,
    ) -> None:
        super().__init__(name, key=key, job_id=job_id, operation="", timeout_ms=timeout_ms)
        self.reason = reason
        #: Jobs of other workflows are left alone.
        self.workflows = workflows


class JoinState(msgspec.Struct, frozen=True):
    """What the row of a wait for another job's end holds."""

    job_id: str
    #: The operation that started the job; empty when none of this job's did.
    operation: str
    outcome: ChildOutcome | None = None
    #: How often the job was asked to tell of its end.
    asked: int = 0
    #: What the timeout leaves after the time at which the row is due; None is no timeout.
    left_ms: int | None = None
