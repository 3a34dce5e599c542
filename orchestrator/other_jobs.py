"""The part of ``JobContext`` that starts, awaits and stops other jobs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeVar, cast

from orchestrator.child_operations import ChildHandle, JoinOp, OnParentEnd, StartOp, StopOp
from orchestrator.errors import InvalidRequestError
from orchestrator.ids import checked_name
from orchestrator.model import ChildOutcome, JobOptions
from orchestrator.operations import ChildrenOp, ChildRequest
from orchestrator.sources import Source, as_source, known_length

S = TypeVar("S")
OnFailure = Literal["fail_fast", "collect"] | int


class OtherJobs:
    """Children, and jobs that are not."""

    #: The job that says all this.
    id: str

    def map_children(
        self,
        name: str,
        workflow: str,
        source: Source[ChildRequest] | Sequence[ChildRequest],
        *,
        reduce: Callable[[S, ChildOutcome], S],
        state: S,
        window: int = 30,
        on_failure: OnFailure = "fail_fast",
        key: str | None = None,
        unit: str = "children",
        total: float | None = None,
        show: Callable[[S, int], Mapping[str, object]] | None = None,
    ) -> ChildrenOp[S]:
        """Run a child job per request, ``window`` at a time, and fold each outcome into ``state`` exactly once.

        Args:
            name: identifies the fan-out.
            workflow: the children's workflow.
            source: a sequence, or a source read by cursor.
            reduce: pure; called once per child that ended.
            state: what the fold begins with.
            window: most children alive at a time.
            on_failure: ``fail_fast`` raises at the first failure, ``collect`` never, a number when more have failed.
            key: explicit key in parallel code.
            unit: names the children in progress.
            total: how many there are; known by itself for a sequence.
            show: pure; given the state and the number of children that ended, returns the facts that status shows
                meanwhile (see ``job.set_metadata``).

        Raises:
            StepFailedError: code ``child_failed``: more children failed than ``on_failure`` allows.
        """
        tolerate = {"fail_fast": 0.0, "collect": math.inf}.get(str(on_failure), on_failure)
        return ChildrenOp(
            checked_name(name),
            workflow,
            as_source(source),
            reduce,
            key=key,
            state=state,
            window=window,
            tolerate=float(tolerate),
            unit=unit,
            total=known_length(source) if total is None else total,
            show=show,
        )

    async def run_child(self, name: str, workflow: str, payload: object, *, key: str | None = None) -> object:
        """Run one child job and return its result.

        Raises:
            StepFailedError: code ``child_failed``: the child ended without success.
        """
        request = ChildRequest(key="child", payload=payload)
        outcome = await self.map_children(name, workflow, [request], reduce=_last, state=cast("object", None), key=key)
        return outcome.state

    def start_child(
        self,
        name: str,
        workflow: str,
        payload: object,
        *,
        key: str | None = None,
        options: JobOptions | None = None,
        on_parent_end: OnParentEnd = "cancel_unless_completed",
    ) -> StartOp:
        """Start a child job, exactly once, and go on without waiting for it; returns its handle.

        Args:
            name: identifies the operation.
            workflow: the child's workflow.
            payload: its payload.
            key: explicit key in parallel code.
            options: of the child's job. An idempotency key may lead to a job that is there already. Priority,
                lane keys and tenant are the parent's unless given.
            on_parent_end: ``cancel_unless_completed``: a parent that is cancelled or fails takes the child with it;
                ``cancel``: so does one that completes; ``keep``: nothing that happens to the parent concerns the child.

        Raises:
            StepFailedError: the workflow is unknown, or the payload does not fit it; with its code.
        """
        return StartOp(
            checked_name(name), workflow, payload, key=key, options=options or JobOptions(), on_parent_end=on_parent_end
        )

    def wait_for_child(
        self, child: ChildHandle, *, timeout_ms: int | None = None, name: str = "wait for child", key: str | None = None
    ) -> JoinOp:
        """Suspend until a job that :meth:`start_child` has started, or found, has ended; returns its result.

        Raises:
            StepFailedError: code ``child_failed``: it ended without success; ``wait_timeout``: not within
                ``timeout_ms``, and it goes on; ``unknown_job``: it has been deleted.
        """
        return JoinOp(checked_name(name), key=key, child=child, timeout_ms=timeout_ms)

    def stop_job(
        self,
        job_id: str,
        *,
        reason: str = "",
        workflows: Sequence[str] = (),
        timeout_ms: int | None = None,
        name: str = "stop job",
        key: str | None = None,
    ) -> StopOp:
        """Cancel another job, whosever it is, and suspend until it has ended; returns the status it ended with.

        None means that there is no such job. One that has ended already is left as it is. Children of the other job are
        cancelled with it, and may end a little later.

        Args:
            job_id: the other job.
            reason: what its error and its ``on_cancel`` hook are told.
            workflows: a job of another workflow than these is no such job.
            timeout_ms: how long to wait.
            name: identifies the operation.
            key: explicit key in parallel code.

        Raises:
            InvalidRequestError: a job cannot stop itself.
            StepFailedError: code ``wait_timeout``: it has not ended within ``timeout_ms``.
        """
        if job_id == self.id:
            raise InvalidRequestError("A job cannot stop itself and wait for that")
        return StopOp(
            checked_name(name),
            key=key,
            job_id=job_id,
            reason=reason,
            workflows=tuple(workflows),
            timeout_ms=timeout_ms,
        )


def _last(_state: object, outcome: ChildOutcome) -> object:
    return outcome.result
