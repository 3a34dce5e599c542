"""Makes a failing case as small as it gets: fewer faults, fewer operations, plainer ones."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from tests.simulation.explore import Case, Run, play
from tests.simulation.program import Call, Fan, Gather, Guard, Job, Ops, Program, Start

#: Runs that one shrinking may cost.
MOST_RUNS = 1_500


def kind_of(problem: str) -> str:
    """Return what kind of problem it is: the words, without ids and numbers."""
    return re.sub(r"run_\w+|\d+", "…", problem)[:70]


class Shrinker:
    """Shrinks one case.

    Args:
        case: fails.
        run: how it failed.
    """

    def __init__(self, case: Case, run: Run) -> None:
        self.case = case
        self.run = run
        self.runs = 0
        self._kind = kind_of(run.problem or "")

    def shrink(self) -> Case:
        """Return the smallest case found that fails in the same way."""
        while self._program() or self._faults():
            pass
        return self.case

    def _try(self, case: Case) -> bool:
        """Take a case over if it fails in the same way."""
        if self.runs >= MOST_RUNS:
            return False
        self.runs += 1
        run = play(case)
        if run.problem is None or kind_of(run.problem) != self._kind:
            return False
        self.case, self.run = case, run
        return True

    def _program(self) -> bool:
        """Make the program smaller; tell whether that was possible."""
        shrunk = False
        again = True
        while again:
            again = False
            for program in smaller(self.case.program):
                if self._try(msgspec.structs.replace(self.case, program=program)):
                    shrunk = again = True
                    break
        return shrunk

    def _faults(self) -> bool:
        """Take faults away, many at first (Zeller's ddmin); tell whether that was possible."""
        points = sorted({fault.point for fault in self.run.struck})
        before = None if self.case.only is None else len(self.case.only)
        if before is None and not self._try(msgspec.structs.replace(self.case, only=frozenset(points))):
            return False
        size = max(1, len(points) // 2)
        while points and size:
            for start in range(0, len(points), size):
                fewer = frozenset(points[:start] + points[start + size :])
                if self._try(msgspec.structs.replace(self.case, only=fewer)):
                    points = sorted(fewer)
                    break
            else:
                size //= 2
        return before is None or len(points) < before


def smaller(program: Program) -> Iterator[Program]:
    """Yield programs that are a little smaller."""
    for number in range(len(program.actions)):
        yield msgspec.structs.replace(program, actions=program.actions[:number] + program.actions[number + 1 :])
    for name, default in zip(program.__struct_fields__[1:], program.__struct_defaults__, strict=True):
        if getattr(program, name) != default:
            yield msgspec.structs.replace(program, **{name: default})
    for calls in program.keyed:
        for number in range(len(calls.waits_ms)):
            waits_ms = calls.waits_ms[:number] + calls.waits_ms[number + 1 :]
            if waits_ms:
                yield msgspec.structs.replace(program, keyed=(msgspec.structs.replace(calls, waits_ms=waits_ms),))
    for cron in program.crons:
        for body in _bodies(cron.body):
            yield msgspec.structs.replace(program, crons=(msgspec.structs.replace(cron, body=body),))
    for job in _jobs(program.job):
        yield msgspec.structs.replace(program, job=job)


def _jobs(job: Job) -> Iterator[Job]:
    if job.workflow != "plain":
        yield msgspec.structs.replace(job, workflow="plain")
    for body in _bodies(job.body):
        if body:
            yield msgspec.structs.replace(job, body=body)


def _bodies(body: tuple[Ops, ...]) -> Iterator[tuple[Ops, ...]]:
    for number, op in enumerate(body):
        before, after = body[:number], body[number + 1 :]
        yield before + after
        if isinstance(op, Guard):
            yield before + op.body + after
        for branch in op.branches if isinstance(op, Gather) else ():
            yield before + branch + after
        for simpler in _ops(op):
            yield (*before, simpler, *after)


def _ops(op: Ops) -> Iterator[Ops]:
    """Yield plainer forms of an operation."""
    if isinstance(op, Guard):
        for body in _bodies(op.body):
            yield Guard(body)
    elif isinstance(op, Gather):
        for number, branch in enumerate(op.branches):
            others = op.branches[:number], op.branches[number + 1 :]
            yield Gather(others[0] + others[1])
            for body in _bodies(branch):
                yield Gather((*others[0], body, *others[1]))
    elif isinstance(op, Fan):
        for number, job in enumerate(op.jobs):
            others = op.jobs[:number], op.jobs[number + 1 :]
            if len(op.jobs) > 1:
                yield msgspec.structs.replace(op, jobs=others[0] + others[1])
            for body in _bodies(job.body):
                changed = msgspec.structs.replace(job, body=body)
                yield msgspec.structs.replace(op, jobs=(*others[0], changed, *others[1]))
    elif isinstance(op, (Call, Start)):
        for job in _jobs(op.job):
            yield msgspec.structs.replace(op, job=job)
    else:
        for name, default in zip(op.__struct_fields__, op.__struct_defaults__, strict=True):
            if getattr(op, name) != default:
                yield msgspec.structs.replace(op, **{name: default})
