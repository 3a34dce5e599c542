"""Drives workflow coroutines by ``send()``: order is ours, replay is exact, and no event loop is needed.

A workflow is a tree of fibers: the main coroutine, and one per branch of a ``gather``. The driver resumes fibers,
gives each operation its identity, and asks a resolver for its outcome. It never waits and never does I/O.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import cast

import msgspec

from orchestrator.errors import DuplicateStepError, ForeignAwaitableError, NotAwaitedError, OrchestratorError
from orchestrator.ids import step_key
from orchestrator.limits import MAX_OPERATIONS
from orchestrator.operations import MADE_BY, GatherOp, Operation

AnyOp = Operation[object]


class Success(msgspec.Struct, frozen=True):
    """An operation or a fiber ended with a value."""

    value: object = None


class Failure(msgspec.Struct, frozen=True):
    """An operation or a fiber ended with an error."""

    error: BaseException


Outcome = Success | Failure


class Pending(msgspec.Struct, frozen=True):
    """An operation whose outcome is not known yet."""

    key: str
    op: AnyOp
    fiber: Fiber


class Fiber:
    """One coroutine being driven."""

    def __init__(self, coro: Coroutine[object, object, object], parent: _Join | None, index: int) -> None:
        self.coro = coro
        self.parent = parent
        self.index = index

    @property
    def parallel(self) -> bool:
        """Whether other fibers of the job may run at the same time."""
        return self.parent is not None


class _Join:
    """A gather under way: collects its branches' outcomes in order."""

    def __init__(self, fiber: Fiber, op: GatherOp[object]) -> None:
        self.fiber = fiber
        self.waiting = deque(enumerate(op.branches))
        self.outcomes: list[Outcome | None] = [None] * len(op.branches)
        self.left = len(op.branches)

    def close(self) -> None:
        """Drop the branches that have not begun."""
        for _, branch in self.waiting:
            if not isinstance(branch, Operation):
                branch.close()
        self.waiting.clear()

    def settle(self) -> Outcome:
        """Return the values in order, or the failure of the first branch in order, so that replay agrees."""
        for outcome in self.outcomes:
            if isinstance(outcome, Failure):
                return outcome
        return Success([outcome.value if isinstance(outcome, Success) else None for outcome in self.outcomes])


class Driver:
    """The fibers of one job.

    Args:
        main: the workflow's coroutine.
        resolve: asked once per operation; returns its outcome, or None when it is pending.
        scope: prefix of every key, so that hooks do not share keys with the workflow.
    """

    def __init__(
        self,
        main: Coroutine[object, object, object],
        resolve: Callable[[str, AnyOp], Outcome | None],
        *,
        scope: str = "",
    ) -> None:
        self._resolve = resolve
        self._scope = scope
        self._ready: deque[tuple[Fiber, Outcome]] = deque()
        self._occurrences: dict[str, int] = {}
        self._parallel_names: set[str] = set()
        self._keys: set[str] = set()
        self._main = Fiber(main, None, 0)
        self._current: Fiber | None = None
        self._joins: list[_Join] = []
        #: Operations that were made and dropped without being awaited.
        self._forgotten: list[str] = []
        self.pending: dict[str, Pending] = {}
        self.outcome: Outcome | None = None
        self._ready.append((self._main, Success()))

    def advance(self) -> None:
        """Resume every fiber that can go on, until all are pending or the workflow has ended."""
        while self._ready:
            fiber, outcome = self._ready.popleft()
            self._run(fiber, outcome)

    def deliver(self, key: str, outcome: Outcome) -> None:
        """Hand a pending operation its outcome; :meth:`advance` then goes on from there."""
        self._ready.append((self.pending.pop(key).fiber, outcome))

    def identify(self, name: str, key: str | None) -> str:
        """Return the identity of the next operation of this name (design.md §4.1).

        Raises:
            DuplicateStepError: the identity would depend on the order in which parallel branches happen to run, or
                an explicit key is used twice.
        """
        parallel = self._current is not None and self._current.parallel
        if key is None:
            occurrence = self._occurrences[name] = self._occurrences.get(name, 0) + 1
            if occurrence > 1 and (parallel or name in self._parallel_names):
                raise DuplicateStepError(f"{name!r} is used twice in parallel code: give each use a key=…")
            if parallel:
                self._parallel_names.add(name)
            identity = step_key(name, occurrence=occurrence, key=None, scope=self._scope)
        else:
            identity = step_key(name, occurrence=1, key=key, scope=self._scope)
        if identity in self._keys:
            raise DuplicateStepError(f"The operation {identity!r} exists already: keys are unique within a job")
        if len(self._keys) >= MAX_OPERATIONS:
            raise OrchestratorError(
                f"A job has at most {MAX_OPERATIONS} operations; walk long lists with job.each",
                code="too_many_operations",
            )
        self._keys.add(identity)
        return identity

    def close(self) -> None:
        """Drop every coroutine without running it further."""
        for item in self.pending.values():
            item.fiber.coro.close()
        for fiber, _ in self._ready:
            fiber.coro.close()
        for join in self._joins:
            join.close()
        self._main.coro.close()
        self.pending.clear()
        self._ready.clear()

    def _run(self, fiber: Fiber, outcome: Outcome) -> None:
        following: Outcome | None = outcome
        while following is not None:
            self._current = fiber
            token = MADE_BY.set(self._forgotten)
            try:
                yielded = _send(fiber.coro, following)
            except StopIteration as stop:
                self._end(fiber, Success(stop.value))
                return
            except (Exception, asyncio.CancelledError, SystemExit, KeyboardInterrupt) as error:
                self._end(fiber, Failure(error))
                return
            finally:
                self._current = None
                MADE_BY.reset(token)
            following = self._take(fiber, yielded)

    def _take(self, fiber: Fiber, yielded: object) -> Outcome | None:
        if isinstance(yielded, GatherOp):
            return self._fork(fiber, cast("GatherOp[object]", yielded))
        if not isinstance(yielded, Operation):
            return Failure(
                ForeignAwaitableError(
                    f"Workflow code awaited {type(yielded).__name__}; await job.* operations only, "
                    "and put I/O into a function that you pass to job.step"
                )
            )
        op = cast("AnyOp", yielded)
        self._current = fiber
        try:
            key = self.identify(op.name, op.key)
        except OrchestratorError as error:
            return Failure(error)
        finally:
            self._current = None
        outcome = self._resolve(key, op)
        if outcome is None:
            self.pending[key] = Pending(key, op, fiber)
        return outcome

    def _fork(self, fiber: Fiber, op: GatherOp[object]) -> Outcome | None:
        join = _Join(fiber, op)
        if not join.left:
            return Success([])
        self._joins.append(join)
        for _ in range(min(op.limit, join.left)):
            self._start_branch(join)
        return None

    def _start_branch(self, join: _Join) -> None:
        index, branch = join.waiting.popleft()
        coro = _only(branch) if isinstance(branch, Operation) else branch
        self._ready.append((Fiber(coro, join, index), Success()))

    def _end(self, fiber: Fiber, outcome: Outcome) -> None:
        join = fiber.parent
        if join is None:
            self.outcome = self._unless_forgotten(outcome)
            return
        join.outcomes[fiber.index] = outcome
        join.left -= 1
        if join.waiting:
            self._start_branch(join)
        elif not join.left:
            self._joins.remove(join)
            self._ready.append((join.fiber, join.settle()))

    def _unless_forgotten(self, outcome: Outcome) -> Outcome:
        """Return the outcome, unless a success left something out that the author meant to be done."""
        if isinstance(outcome, Failure) or not self._forgotten:
            return outcome
        names = ", ".join(map(repr, self._forgotten[:5]))
        return Failure(NotAwaitedError(f"The workflow made and did not await: {names}"))


async def _only(op: AnyOp) -> object:
    return await op


def _send(coro: Coroutine[object, object, object], outcome: Outcome) -> object:
    if isinstance(outcome, Success):
        return coro.send(outcome.value)
    return coro.throw(outcome.error)
