"""``JobContext``: the ``job`` that workflow code gets."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Concatenate, ParamSpec, Protocol, TypeVar, cast

from orchestrator.ids import checked_name
from orchestrator.lane import Rate, Reserve, bucket_name
from orchestrator.limits import STEP_TIMEOUT_MS
from orchestrator.model import Progress
from orchestrator.operations import (
    AttemptOp,
    Batch,
    BatchSize,
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
from orchestrator.other_jobs import OtherJobs
from orchestrator.ports import Connection
from orchestrator.retry import RetryPolicy
from orchestrator.sources import Source, as_source, known_length
from orchestrator.step_options import StepOptions

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")


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

    def register(self, op: AttemptOp[object]) -> None:
        """Have an undo step run when the workflow fails or is cancelled."""
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


class JobContext(OtherJobs):
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
        self,
        *,
        key: str | None = None,
        retry: RetryPolicy | None = None,
        timeout_ms: int = STEP_TIMEOUT_MS,
        heartbeat_ms: int | None = None,
    ) -> StepOptions:
        """Return a maker of steps with an explicit key, retry policy or timeout.

        Args:
            key: tells steps of one name apart.
            retry: instead of the workflow's own.
            timeout_ms: for one attempt, at most 14 minutes.
            heartbeat_ms: an attempt that says nothing for so long, with ``current_step().heartbeat()``, is given up
                long before its timeout, and tried again.
        """
        return StepOptions(
            key=key,
            retry=retry or self._retry,
            timeout_ms=timeout_ms,
            heartbeat_ms=heartbeat_ms,
            register=self._recorder.register,
        )

    def transaction(
        self, name: str, fn: Callable[Concatenate[Connection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> TransactionOp[T]:
        """Run ``fn(connection, *args)`` in a database transaction whose effect happens exactly once (design.md §6)."""
        return self.options().transaction(name, fn, *args, **kwargs)

    def compensate(self, name: str, fn: Callable[P, Awaitable[object]], *args: P.args, **kwargs: P.kwargs) -> None:
        """Have ``fn(*args, **kwargs)`` run as a step when the workflow fails or is cancelled from now on.

        Undo steps run one after the other, the latest registered first, before the hook. They must bear to run again,
        and to find nothing to undo: register one *before* the step whose effect it takes back, since that step may have
        had its effect without coming back.
        """
        self.options().compensate(name, fn, *args, **kwargs)

    def compensate_transaction(
        self,
        name: str,
        fn: Callable[Concatenate[Connection, P], Awaitable[object]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Have ``fn(connection, *args)`` run like :meth:`compensate`, as a transaction that happens exactly once."""
        self.options().compensate_transaction(name, fn, *args, **kwargs)

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
            total=known_length(source) if total is None else total,
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
