"""What a program must lead to, worked out without an engine, storage, time or faults."""

from __future__ import annotations

from typing import Literal

import msgspec

from tests.simulation.program import (
    Call,
    Fan,
    Gather,
    Guard,
    Job,
    Loop,
    Notes,
    Ops,
    Program,
    Rate,
    Sleep,
    Start,
    Step,
    Transaction,
    Undo,
    Wait,
)

#: What the retry policy of every step allows.
ATTEMPTS = 3


class FailedError(Exception):
    """An operation gives up."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Expectation(msgspec.Struct):
    """How a job ends, and what it must and may have done to the outside by then."""

    status: Literal["completed", "failed"]
    value: object
    code: str | None
    must: set[str]
    may: set[str]
    #: What must and may be undone by then.
    undone: set[str] = msgspec.field(default_factory=set[str])
    may_undo: set[str] = msgspec.field(default_factory=set[str])
    #: What the job itself registers, which is undone only if it does not complete.
    own_undo: set[str] = msgspec.field(default_factory=set[str])


class Oracle:
    """Reads a program.

    Args:
        mended: whether the outside is in order by now.
    """

    def __init__(self, *, mended: bool, registered_anywhere: set[str] | None = None) -> None:
        self._mended = mended
        #: What any job registers to be undone, children included: so much may be undone when somebody stops them all.
        self.registered_anywhere = set[str]() if registered_anywhere is None else registered_anywhere
        self.must: set[str] = set()
        self.may: set[str] = set()
        #: What the job itself has registered to be undone, and what children must and may have undone.
        self.registered: set[str] = set()
        self.undone: set[str] = set()
        self.may_undo: set[str] = set()
        #: Children that were started and go on by themselves.
        self.started: list[Expectation] = []

    def expect(self, program: Program) -> Expectation:
        """Return what the first job leads to."""
        return self.job(program.job, "")

    def job(self, job: Job, path: str) -> Expectation:
        """Return what a job leads to."""
        try:
            value = self.body(job.body, path)
        except FailedError as failure:
            undone = self.undone | self.registered
            may_undo = self.may_undo | undone
            return Expectation(
                "failed", None, failure.code, self.must, self.may | self.must, undone, may_undo, self.registered
            )
        for child in self.started:
            self.must |= child.must  # only a parent that does not complete takes them with it
            self.undone |= child.undone
        # Registered steps of a job that completes are undone only if it does not: if it is cancelled or takes too long.
        may_undo = self.may_undo | self.undone | self.registered
        return Expectation(
            "completed", value, None, self.must, self.may | self.must, self.undone, may_undo, self.registered
        )

    def body(self, body: tuple[Ops, ...], path: str) -> list[object]:
        """Return what a body gives."""
        return [self.op(op, f"{path}/{number}") for number, op in enumerate(body)]

    def op(self, op: Ops, path: str) -> object:
        """Return what an operation gives.

        Raises:
            FailedError: it gives up.
        """
        if isinstance(op, Step):
            return self._step(op, path)
        if isinstance(op, Transaction):
            self.must.add(path)
            return path
        if isinstance(op, Undo):
            self.registered.add(path)
            self.registered_anywhere.add(path)
            return None
        if isinstance(op, Loop):
            self.must |= {f"{path}:{number}" for number in range(op.items)}
            return sum(range(op.items))
        if isinstance(op, Wait):
            if not op.comes:
                raise FailedError("wait_timeout")
            return path
        if isinstance(op, Guard):
            try:
                return self.body(op.body, path)
            except FailedError as failure:
                return failure.code
        if isinstance(op, Gather):
            return self._gather(op, path)
        if isinstance(op, (Call, Start, Fan)):
            return self._children(op, path)
        assert isinstance(op, (Sleep, Rate, Notes))
        return None

    def _step(self, op: Step, path: str) -> object:
        if op.kills < 0:
            raise FailedError("step_crashed")
        if op.broken == "always" or (op.broken and not self._mended):
            raise FailedError("broken")
        if op.hangs + op.fails >= ATTEMPTS:
            raise FailedError("step_timeout" if op.hangs >= ATTEMPTS else "shaky")
        return path

    def _gather(self, op: Gather, path: str) -> object:
        """All branches come to their end; the first that failed, in their order, is the failure."""
        values: list[object] = []
        failures: list[FailedError] = []
        for number, branch in enumerate(op.branches):
            try:
                values.append(self.body(branch, f"{path}.{number}"))
            except FailedError as failure:
                failures.append(failure)
        if failures:
            raise failures[0]
        return values

    def _children(self, op: Call | Start | Fan, path: str) -> object:
        if isinstance(op, Start) and not op.waits:
            child = self._alone(op.job, f"{path}.0")
            self.started.append(child)
            self.may |= child.may
            self.may_undo |= child.may_undo
            return None
        jobs = op.jobs if isinstance(op, Fan) else (op.job,)
        ends = [self._alone(job, f"{path}.{number}") for number, job in enumerate(jobs)]
        failed = [end for end in ends if end.status == "failed"]
        if failed and not (isinstance(op, Fan) and op.collect):
            for end in ends:
                self.may |= end.may  # the others are stopped, or were not begun
                self.may_undo |= end.may_undo
            raise FailedError("child_failed")
        for end in ends:
            self.must |= end.must
            self.may |= end.may
            self.undone |= end.undone
            # A child that completed is undone no more; neither is a detached one while its parent goes on.
            self.may_undo |= end.may_undo if end.status == "failed" else end.may_undo - end.own_undo
        if isinstance(op, Fan):
            return sorted([str(number), end.value if end.code is None else None] for number, end in enumerate(ends))
        return ends[0].value

    def _alone(self, job: Job, path: str) -> Expectation:
        return Oracle(mended=self._mended, registered_anywhere=self.registered_anywhere).job(job, path)
