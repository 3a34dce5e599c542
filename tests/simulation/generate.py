"""Makes a random program and a mix of faults of one number."""

from __future__ import annotations

import random
from typing import get_args

from orchestrator.limits import RETENTION_MS
from orchestrator.schedule import CatchUp, Overlap
from orchestrator.testing.plan import KINDS, FaultKind
from tests.simulation.program import (
    Action,
    Call,
    Cron,
    Fan,
    Gather,
    Guard,
    Job,
    Keyed,
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

#: A job that goes this soon is there as long as faults strike: whoever was not answered may ask for it again.
SOON_MS = 1_000_000
OVERLAPS: tuple[Overlap, ...] = get_args(Overlap)
CATCH_UPS: tuple[CatchUp, ...] = get_args(CatchUp)
WORKFLOWS = ("plain", "plain", "hooked", "narrow", "keyed")
#: Operations of one program, its children's included.
MOST_OPS = 14


class Generator:
    """Draws programs.

    Args:
        seed: decides everything.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._left = self._random.randint(1, MOST_OPS)
        self._mends = False

    def program(self) -> Program:
        """Return a program."""
        draw = self._random
        #: A job that is retried runs its children again, and so are their effects: such a program has none.
        self._mends = draw.random() < 0.15
        job = self._job(depth=0)
        actions: list[Action] = []
        if self._mends:
            actions.append(Action("mend", draw.choice([60_000, 600_000])))
        elif draw.random() < 0.2:
            what = draw.choice(("cancel", "cancel", "cancel_by_tag"))
            actions.append(Action(what, draw.choice([0, 5, 50, 2_000, 30_000])))
        if draw.random() < 0.2:
            actions.append(Action("pause", draw.choice([0, 20, 1_500, 20_000])))
        if not self._mends and draw.random() < 0.08:
            actions.append(Action("delete", 60_000))
        elif draw.random() < 0.1:
            actions.append(Action("create_again", draw.choice([0, 10, 5_000])))
        if draw.random() < 0.06:
            actions.append(Action("lose_shard", draw.choice([0, 20, 3_000, 100_000])))
        delay_ms = draw.choice([0, 0, 0, 3_000, 90_000])
        return Program(
            job=job,
            queued=draw.random() < 0.5,
            delay_ms=delay_ms,
            ttl_ms=0 if self._mends else draw.choice([0] * 9 + [delay_ms + 2_000, delay_ms + 60_000]),
            max_ms=0 if self._mends else draw.choice([0] * 9 + [5_000, 200_000]),
            retention_ms=RETENTION_MS if self._mends else draw.choice([RETENTION_MS] * 7 + [SOON_MS]),
            slices=draw.choice([0] * 8 + [1, 2, 5]),
            always_replay=draw.random() < 0.3,
            actions=tuple(actions),
            crons=(self._cron(),) if draw.random() < 0.07 else (),
            keyed=(self._keyed(),) if draw.random() < 0.12 else (),
        )

    def _cron(self) -> Cron:
        draw = self._random
        overlap, every_minutes = draw.choice(OVERLAPS), draw.choice([1, 2, 5])
        bodies: list[tuple[Ops, ...]] = [(Step(),), (Step(ms=50, fails=1), Transaction())]
        if overlap in {"skip", "allow"} or every_minutes == 5:
            # Where new times go first, jobs that last until the next one keep missed ones waiting for ever.
            bodies += [(Sleep(70_000), Step()), (Sleep(200_000),)]
        return Cron(
            draw.choice(bodies),
            every_minutes=every_minutes,
            minutes=draw.choice([3, 12]),
            overlap=overlap,
            catch_up=draw.choice(CATCH_UPS),
        )

    def _keyed(self) -> Keyed:
        draw = self._random
        waits_ms = tuple(draw.choice([0, 10, 900, 30_000]) for _ in range(draw.randint(2, 5)))
        if draw.random() < 0.5:
            return Keyed(waits_ms, window_ms=draw.choice([0, 1_000, 20_000]))
        return Keyed(waits_ms, debounce_ms=draw.choice([20, 1_000, 5_000]))

    def faults(self) -> dict[FaultKind, float]:
        """Return a mix: some kinds, each rare or frequent, so that runs differ from each other."""
        draw = self._random
        if draw.random() < 0.05:
            return {}
        kinds = draw.sample(KINDS, draw.randint(1, len(KINDS)))
        scale = draw.choice([0.3, 1.0, 1.0, 3.0])
        return {kind: scale * draw.choice([0.005, 0.02, 0.05]) for kind in kinds}

    def _job(self, depth: int) -> Job:
        return Job(self._body(depth, self._random.randint(1, 5)), self._random.choice(WORKFLOWS))

    def _body(self, depth: int, length: int) -> tuple[Ops, ...]:
        body: list[Ops] = []
        for _ in range(length):
            if self._left <= 0:
                break
            self._left -= 1
            body.append(self._op(depth))
        return tuple(body) or (Step(),)

    def _op(self, depth: int) -> Ops:
        draw = self._random
        if depth >= 2 or draw.random() < 0.65:
            return self._leaf()
        kind = "gather" if self._mends else draw.choice(("call", "start", "fan", "gather", "gather", "guard", "guard"))
        if kind == "guard":
            return Guard(self._body(depth, 2))
        if kind == "gather":
            return Gather(tuple(self._body(depth + 1, draw.randint(1, 2)) for _ in range(draw.randint(2, 3))))
        if kind == "fan":
            workflow = draw.choice(WORKFLOWS)
            jobs = tuple(Job(self._body(depth + 1, 2), workflow) for _ in range(draw.randint(1, 4)))
            return Fan(jobs, window=draw.randint(1, 3), collect=draw.random() < 0.6)
        if kind == "start":
            return Start(self._job(depth + 1), waits=draw.random() < 0.5)
        return Call(self._job(depth + 1))

    def _leaf(self) -> Ops:
        draw = self._random
        kind = draw.choice(
            ("step",) * 6 + ("transaction", "transaction", "loop", "sleep", "wait", "wait", "undo", "rate", "notes")
        )
        if kind == "transaction":
            return Transaction(fails=draw.choice([0, 0, 1]))
        if kind == "loop":
            return Loop(
                items=draw.choice([0, 1, 7, 20]), batch=draw.choice([1, 3, 30]), fails_in=draw.choice([-1, -1, 0, 2])
            )
        if kind == "sleep":
            return Sleep(draw.choice([1, 300, 15_000, 3_600_000]))
        if kind == "wait":
            return Wait(draw.choice(("event", "token")), draw.random() < 0.8, draw.choice([0, 30, 2_000, 100_000]))
        if kind == "undo" and not self._mends:
            return Undo(draw.random() < 0.4, draw.choice([0, 0, 1]))
        if kind == "rate":
            return Rate()
        return Notes() if kind == "notes" else self._step()

    def _step(self) -> Step:
        draw = self._random
        ms = draw.choice([0, 0, 5, 50, 12_000])
        what = draw.random()
        if what < 0.55:
            return Step(ms=ms)
        if what < 0.75:
            return Step(ms=ms, fails=draw.choice([1, 2, 3]))
        if what < 0.8:
            return Step(hangs=draw.choice([1, 3]))
        if what < 0.86:
            return Step(ms=ms, kills=draw.choice([1, 2, -1]))
        if what < 0.96:
            return Step(ms=ms, broken="until_mended" if self._mends else "always")
        return Step(big=True)
