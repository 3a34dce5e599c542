"""Steps and transactions with an explicit key, retry policy or timeout."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

from orchestrator.annotations import return_type
from orchestrator.ids import checked_name
from orchestrator.operations import AttemptOp, StepOp, TransactionOp
from orchestrator.ports import Connection
from orchestrator.retry import RetryPolicy

P = ParamSpec("P")
T = TypeVar("T")


class StepOptions:
    """Makes steps and transactions with an explicit key, retry policy or timeout."""

    def __init__(
        self,
        *,
        key: str | None,
        retry: RetryPolicy,
        timeout_ms: int,
        heartbeat_ms: int | None,
        register: Callable[[AttemptOp[object]], None],
    ) -> None:
        self._key = key
        self._retry = retry
        self._timeout_ms = timeout_ms
        self._heartbeat_ms = heartbeat_ms
        self._register = register

    def step(self, name: str, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> StepOp[T]:
        """See :meth:`JobContext.step`."""
        return StepOp(
            checked_name(name),
            lambda: fn(*args, **kwargs),
            key=self._key,
            retry=self._retry,
            timeout_ms=self._timeout_ms,
            heartbeat_ms=self._heartbeat_ms,
            into=return_type(fn),
        )

    def transaction(
        self, name: str, fn: Callable[Concatenate[Connection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> TransactionOp[T]:
        """See :meth:`JobContext.transaction`."""
        return TransactionOp(
            checked_name(name),
            lambda connection: fn(connection, *args, **kwargs),
            key=self._key,
            retry=self._retry,
            timeout_ms=self._timeout_ms,
            heartbeat_ms=self._heartbeat_ms,
            into=return_type(fn),
        )

    def compensate(self, name: str, fn: Callable[P, Awaitable[object]], *args: P.args, **kwargs: P.kwargs) -> None:
        """See :meth:`JobContext.compensate`."""
        self._register(self.step(name, fn, *args, **kwargs))

    def compensate_transaction(
        self,
        name: str,
        fn: Callable[Concatenate[Connection, P], Awaitable[object]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """See :meth:`JobContext.compensate_transaction`."""
        self._register(self.transaction(name, fn, *args, **kwargs))
