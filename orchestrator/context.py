"""``JobContext``: the ``job`` that workflow code gets."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Concatenate, Literal, ParamSpec, Protocol, TypeVar, cast

from orchestrator.child_operations import ChildHandle, JoinOp, OnParentEnd, StartOp, StopOp
from orchestrator.errors import InvalidRequestError
from orchestrator.ids import checked_name
from orchestrator.lane import Rate, Reserve, bucket_name
from orchestrator.limits import STEP_TIMEOUT_MS
from orchestrator.model import ChildOutcome, JobOptions, Progress
from orchestrator.operations import (
    Batch,
    BatchSize,
    ChildrenOp,
    ChildRequest,
    EachOp,
    GatherOp,
    Operation,
    RateOp,
    SleepOp,
    StepOp,
    Token,
    TokenOp,
    TransactionOp,
    WaitOp,
)
from orchestrator.ports import Connection
from orchestrator.retry import RetryPolicy
from orchestrator.sources import Source, as_source
from orchestrator.step_options import StepOptions

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")
OnFailure = Literal["fail_fast", "collect"] | int


class Recorder(Protocol):
    """What the context asks the engine to record at once: replay-safe values and what callers can see."""

    def identify(self, name: str, key: str | None) -> str:
        """Return the identity of the next use of this name."""
        ...

    def remember_now(self, name: str, key: str | None) -> int:
        """Return the time recorded under this name, recording the wall clock the first time."""
        ...

    def patched(self, change: str) -> bool:
        """Tell which side of a change to the code this job takes, recording it the first time."""
        ...

    def set_progress(self, progress: Progress) -> None:
        """Show progress."""
        ...

    def set_metadata(self, key: str, value: object) -> None:
        """Show a fact about the job."""
        ...

    def log(self, message: str, fields: Mapping[str, object]) -> None:
        """Append a log line unless this is a replay."""
        ...


class JobContext:
    """Operations of a workflow. Each returns an awaitable of the engine's own; nothing else may be awaited.

    Names identify operations across replays and deploys: the same name in sequence is numbered, in parallel code give
    a ``key``.
    """

    def __init__(self, *, job_id: str, retry: RetryPolicy, recorder: Recorder) -> None:
        self.id = job_id
        self._retry = retry
        self._recorder = recorder

    def step(
        self,
        name: str,
        fn: Callable[P, Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> StepOp[T]:
        """Run ``fn(*args, **kwargs)`` once, durably: its result is recorded and returned by every replay.

        For a key, a retry policy or a timeout use :meth:`options`.
        """
        return self.options().step(name, fn, *args, **kwargs)

    def options(
        self, *, key: str | None = None, retry: RetryPolicy | None = None, timeout_ms: int = STEP_TIMEOUT_MS
    ) -> StepOptions:
        """Return a maker of steps with an explicit key, retry policy or timeout."""
        return StepOptions(key=key, retry=retry or self._retry, timeout_ms=timeout_ms)

    def transaction(
        self, name: str, fn: Callable[Concatenate[Connection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> TransactionOp[T]:
        """Run ``fn(connection, *args)`` in a database transaction whose effect happens exactly once (design.md §6)."""
        return self.options().transaction(name, fn, *args, **kwargs)

    def each(
        self,
        name: str,
        source: Source[T] | Sequence[T],
        fn: Callable[[Batch[T, S]], Awaitable[S]],
        *,
        state: S,
        batch: int | BatchSize = 30,
        key: str | None = None,
        retry: RetryPolicy | None = None,
        timeout_ms: int = STEP_TIMEOUT_MS,
        unit: str = "items",
        total: float | None = None,
    ) -> EachOp[S]:
        """Walk a source of any length; one checkpoint row, overwritten after each batch.

        Args:
            name: identifies the loop.
            source: a sequence, or anything that reads from a storable cursor.
            fn: handles a batch and returns the state that the next batch gets.
            state: the state of the first batch.
            batch: items per batch to begin with, or the sizes allowed.
            key: explicit key in parallel code.
            retry: for one batch; progress resets it.
            timeout_ms: for one batch.
            unit: names the items in progress.
            total: the number of items; known by itself for a sequence.
        """
        size = BatchSize(initial=batch, maximum=max(batch, BatchSize().maximum)) if isinstance(batch, int) else batch
        return EachOp(
            checked_name(name),
            cast("Source[object]", as_source(source)),
            cast("Callable[[Batch[object, S]], Awaitable[S]]", fn),
            key=key,
            state=state,
            batch=size,
            retry=retry or self._retry,
            timeout_ms=timeout_ms,
            unit=unit,
            total=_length(source) if total is None else total,
        )

    def map(
        self,
        name: str,
        items: Sequence[S],
        fn: Callable[[S], Awaitable[T]],
        *,
        key: Callable[[S], Hashable],
        concurrency: int = 6,
        retry: RetryPolicy | None = None,
        timeout_ms: int = STEP_TIMEOUT_MS,
    ) -> GatherOp[T]:
        """Run one step per item, ``concurrency`` at a time; results in the order of the items."""
        maker = [self.options(key=str(key(item)), retry=retry, timeout_ms=timeout_ms) for item in items]
        return self.gather(
            *(make.step(name, fn, item) for make, item in zip(maker, items, strict=True)), limit=concurrency
        )

    def gather(self, *branches: Coroutine[object, object, T] | Operation[T], limit: int | None = None) -> GatherOp[T]:
        """Run operations or coroutines in parallel; raises the first branch's failure once all have ended."""
        return GatherOp(branches, limit=limit)

    def sleep(self, delay_ms: int, *, name: str = "sleep", key: str | None = None) -> SleepOp:
        """Suspend for ``delay_ms``; the wake-up time is fixed when the sleep begins."""
        return SleepOp(checked_name(name), key=key, delay_ms=delay_ms, until_ms=None)

    def sleep_until(self, at_ms: int, *, name: str = "sleep", key: str | None = None) -> SleepOp:
        """Suspend until a Unix time in ms; a time in the past is no error."""
        return SleepOp(checked_name(name), key=key, delay_ms=None, until_ms=at_ms)

    def rate_limit(
        self, key: str, *, count: int, per_ms: int = 1_000, burst: int | None = None, name: str = "rate limit"
    ) -> RateOp:
        """Suspend until a token of the bucket ``key``, which every job shares, may be used.

        Args:
            key: names the bucket, such as ``pinecone-delete/ns_1``.
            count: tokens that flow in per ``per_ms``.
            per_ms: the period, in ms.
            burst: tokens kept when nobody took any for long; ``count`` unless told otherwise.
            name: identifies the operation, together with ``key``; numbered when used again in sequence.
        """
        rate = Rate(count=count, per_ms=per_ms, burst=burst)
        return RateOp(
            f"{checked_name(name)} {checked_name(key, what='bucket')}", key=None, bucket=Reserve(bucket_name(key), rate)
        )

    def wait_for_event(self, event: str, *, timeout_ms: int | None = None, key: str | None = None) -> WaitOp:
        """Suspend until ``POST /v1/jobs/{id}/events/{event}``; returns its data. Events that came before count.

        Raises:
            StepFailedError: code ``wait_timeout``: nothing came within ``timeout_ms``.
        """
        name = checked_name(event, what="event name")
        return WaitOp(f"event {name}", key=key, event=name, token=None, timeout_ms=timeout_ms)

    def create_token(self, *, timeout_ms: int, name: str = "token", key: str | None = None) -> TokenOp:
        """Create a token for an outside system, which completes it once over HTTP within ``timeout_ms``."""
        return TokenOp(checked_name(name), key=key, timeout_ms=timeout_ms)

    def wait_for_token(
        self, token: Token, *, timeout_ms: int | None = None, name: str = "wait", key: str | None = None
    ) -> WaitOp:
        """Suspend until the token is completed; returns the data it was completed with.

        Args:
            token: of this job.
            timeout_ms: wait no longer than this. The token stays valid and may be waited for again.
            name: identifies the wait.
            key: explicit key in parallel code.

        Raises:
            StepFailedError: code ``wait_timeout``: the token expired, or ``timeout_ms`` is over.
        """
        return WaitOp(checked_name(name), key=key, event=None, token=token, timeout_ms=timeout_ms)

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
            total=_length(source) if total is None else total,
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

    def progress(self, done: float, total: float | None = None, unit: str = "items") -> None:
        """Say how far the job is; stored with the next checkpoint."""
        self._recorder.set_progress(Progress(done, total, unit))

    def set_metadata(self, key: str, value: object) -> None:
        """Attach a fact that status shows; stored with the next checkpoint."""
        self._recorder.set_metadata(checked_name(key), value)

    def log(self, message: str, **fields: object) -> None:
        """Append a line to the job's history; a replay does not repeat it."""
        self._recorder.log(message, fields)

    def patched(self, change: str) -> bool:
        """Tell whether this job takes the new side of a change to its workflow's code.

        Jobs that had already passed this point when the change was deployed take the old side in every replay; all
        others take the new one.

        Args:
            change: names the change; keep it as long as jobs from before it may run.
        """
        return self._recorder.patched(checked_name(change, what="change name"))

    def now_ms(self, *, name: str = "now", key: str | None = None) -> int:
        """Return the Unix time in ms, the same in every replay."""
        return self._recorder.remember_now(name, key)

    def now(self, *, name: str = "now", key: str | None = None) -> datetime:
        """Return the time in UTC, the same in every replay."""
        return datetime.fromtimestamp(self.now_ms(name=name, key=key) / 1000, UTC)

    def random(self, *, key: str | None = None) -> float:
        """Return a number in [0, 1), fixed by the job and this use."""
        return int.from_bytes(self._draw("random", key)[:7], "big") / 2**56

    def uuid(self, *, key: str | None = None) -> str:
        """Return a UUID (version 8, RFC 9562), fixed by the job and this use."""
        raw = bytearray(self._draw("uuid", key)[:16])
        raw[6] = (raw[6] & 0x0F) | 0x80
        raw[8] = (raw[8] & 0x3F) | 0x80
        text = raw.hex()
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def _draw(self, kind: str, key: str | None) -> bytes:
        return hashlib.sha256(f"{self.id}\x1f{self._recorder.identify(kind, key)}".encode()).digest()


def _last(_state: object, outcome: ChildOutcome) -> object:
    return outcome.result


def _length(source: object) -> float | None:
    return len(cast("Sequence[object]", source)) if isinstance(source, Sequence) else None
