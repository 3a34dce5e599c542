"""What workflow code can await: each operation is an awaitable that hands itself to the driver."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import msgspec

from orchestrator import bounds
from orchestrator.errors import DefinitionError

if TYPE_CHECKING:
    from orchestrator.lane import Reserve
    from orchestrator.model import ChildOutcome
    from orchestrator.ports import Connection
    from orchestrator.retry import RetryPolicy
    from orchestrator.sources import Source

T = TypeVar("T")
S = TypeVar("S")


#: Where operations that the workflow running now makes say that they were forgotten.
MADE_BY: ContextVar[list[str] | None] = ContextVar("orchestrator_made_by", default=None)


class Operation(Generic[T]):
    """Base of everything ``job.*`` returns. Awaiting it suspends the workflow until the engine has the outcome."""

    kind = "operation"
    _forgotten: list[str] | None = None

    def __init__(self, name: str, key: str | None) -> None:
        self.name = name
        self.key = key
        #: Where to say that this was dropped without being awaited; None once it is known to be used.
        self._forgotten = MADE_BY.get()

    def claim(self) -> None:
        """Take note that somebody has a use for this operation."""
        self._forgotten = None

    def __del__(self) -> None:
        if self._forgotten is not None:
            self._forgotten.append(self.name)

    def __await__(self) -> Generator[Operation[object], object, T]:
        self.claim()
        return cast("T", (yield cast("Operation[object]", self)))


class AttemptOp(Operation[T]):
    """Base of the operations that run author code, an attempt at a time."""

    def __init__(
        self, name: str, key: str | None, *, retry: RetryPolicy, timeout_ms: int, heartbeat_ms: int | None = None
    ) -> None:
        # Checked first: what is refused was not forgotten.
        self.timeout_ms = bounds.step_timeout(timeout_ms)
        #: How long it may say nothing; None for any time.
        self.heartbeat_ms = bounds.heartbeat(heartbeat_ms, timeout_ms=timeout_ms)
        super().__init__(name, key)
        self.retry = retry


class StepOp(AttemptOp[T]):
    """Run an async function once, durably."""

    kind = "step"

    def __init__(
        self,
        name: str,
        run: Callable[[], Awaitable[T]],
        *,
        key: str | None,
        retry: RetryPolicy,
        timeout_ms: int,
        heartbeat_ms: int | None,
        into: object | None,
    ) -> None:
        super().__init__(name, key, retry=retry, timeout_ms=timeout_ms, heartbeat_ms=heartbeat_ms)
        self.run = run
        #: The type a replay converts the result to; None for builtins.
        self.into = into


class TransactionOp(AttemptOp[T]):
    """Run an async function inside a database transaction that commits exactly once."""

    kind = "transaction"

    def __init__(
        self,
        name: str,
        body: Callable[[Connection], Awaitable[T]],
        *,
        key: str | None,
        retry: RetryPolicy,
        timeout_ms: int,
        heartbeat_ms: int | None,
        into: object | None,
    ) -> None:
        super().__init__(name, key, retry=retry, timeout_ms=timeout_ms, heartbeat_ms=heartbeat_ms)
        self.body = body
        self.into = into


class BatchSize(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes a cursor loop may use; it learns the best between them."""

    initial: int = 30
    minimum: int = 1
    maximum: int = 1_000

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.initial <= self.maximum:
            raise DefinitionError("Sizes of batches are 1 <= minimum <= initial <= maximum")


class EachOp(AttemptOp["EachResult[S]"], Generic[S]):
    """Walk a source in batches with one overwritten checkpoint."""

    kind = "each"

    def __init__(
        self,
        name: str,
        source: Source[object],
        body: Callable[[Batch[object, S]], Awaitable[S]],
        *,
        key: str | None,
        state: S,
        batch: BatchSize,
        retry: RetryPolicy,
        timeout_ms: int,
        unit: str,
        total: float | None,
    ) -> None:
        super().__init__(name, key, retry=retry, timeout_ms=timeout_ms)
        self.source = source
        self.body = body
        self.state = state
        self.batch = batch
        self.unit = unit
        self.total = total


class Batch(msgspec.Struct, Generic[T, S], frozen=True):
    """What the body of a cursor loop gets."""

    items: Sequence[T]
    #: 0-based; stable under retries, so ``idempotency_key`` is too.
    index: int
    #: What the body returned for the batch before, or the loop's initial state.
    state: S
    idempotency_key: str
    #: What the source said about this page beside its items.
    page: object


class EachResult(msgspec.Struct, Generic[S], frozen=True):
    """What a cursor loop leaves behind."""

    state: S
    items: int
    batches: int


class SleepOp(Operation[None]):
    """Suspend until a point in time."""

    kind = "sleep"

    def __init__(self, name: str, *, key: str | None, delay_ms: int | None, until_ms: int | None) -> None:
        super().__init__(name, key)
        self.delay_ms = None if delay_ms is None else bounds.duration(delay_ms, what="A sleep")
        self.until_ms = None if until_ms is None else bounds.point_in_time(until_ms)


class RateOp(Operation[None]):
    """Suspend until a token of a shared bucket may be used."""

    kind = "rate"

    def __init__(self, name: str, *, key: str | None, bucket: Reserve) -> None:
        super().__init__(name, key)
        self.bucket = bucket


class Token(msgspec.Struct, frozen=True):
    """A wait that an outside system completes over HTTP."""

    #: Routes itself to its job; ``POST /api/v1/waitpoints/tokens/{id}/complete``.
    id: str
    #: The bearer token that may complete this wait and nothing else. Derived when asked for, never stored.
    access_token: str
    expires_at_ms: int

    def __repr__(self) -> str:
        return f"Token({self.id}, …)"


class TokenOp(Operation[Token]):
    """Create a token."""

    kind = "token"

    def __init__(self, name: str, *, key: str | None, timeout_ms: int) -> None:
        super().__init__(name, key)
        self.timeout_ms = bounds.duration(timeout_ms, what="A timeout")


class WaitOp(Operation[object]):
    """Suspend until an event arrives or a token is completed, or until the wait times out."""

    kind = "wait"

    def __init__(
        self, name: str, *, key: str | None, event: str | None, token: Token | None, timeout_ms: int | None
    ) -> None:
        super().__init__(name, key)
        self.event = event
        self.token = token
        self.timeout_ms = None if timeout_ms is None else bounds.duration(timeout_ms, what="A timeout")


class ChildRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One child of a fan-out."""

    key: str
    payload: object


class ChildrenOp(Operation["ChildrenResult[S]"], Generic[S]):
    """Run a child job per item of a source, a sliding window at a time, and fold their outcomes durably."""

    kind = "children"

    def __init__(
        self,
        name: str,
        workflow: str,
        source: Source[ChildRequest],
        reduce: Callable[[S, ChildOutcome], S],
        *,
        key: str | None,
        state: S,
        window: int,
        tolerate: float,
        unit: str,
        total: float | None,
        show: Callable[[S, int], Mapping[str, object]] | None = None,
    ) -> None:
        super().__init__(name, key)
        self.unit = unit
        self.total = total
        self.workflow = workflow
        self.source = source
        self.reduce = reduce
        self.state = state
        self.window = int(bounds.count(window, what="A fan-out's window"))
        #: Most failures that are no failure of the fan-out; infinity collects them all.
        self.tolerate = bounds.count(tolerate, what="How many failures are tolerated", least=0)
        self.show = show


class ChildrenResult(msgspec.Struct, Generic[S], frozen=True):
    """What a fan-out leaves behind."""

    state: S
    succeeded: int
    failed: int
    #: The first failures, bounded (limits.MAX_FAILURES_KEPT); ``failed`` is the exact count.
    failures: tuple[ChildOutcome, ...]


class GatherOp(Operation["list[T]"], Generic[T]):
    """Run branches in parallel."""

    kind = "gather"

    def __init__(self, branches: Sequence[Coroutine[object, object, T] | Operation[T]], *, limit: int | None) -> None:
        super().__init__("gather", None)
        self.branches = branches
        self.limit = max(1, len(branches)) if limit is None else int(bounds.count(limit, what="How many run at a time"))
