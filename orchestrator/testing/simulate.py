"""Tests of one workflow: its job in virtual time, stopped wherever you like (docs/testing.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Self

import msgspec

from orchestrator.lifecycle import JobStatus
from orchestrator.model import JobOptions, JobView, RetryJob
from orchestrator.testing.database import MemoryDatabase
from orchestrator.testing.effects import Effects
from orchestrator.testing.histories import record
from orchestrator.testing.plan import CALM, FaultKind
from orchestrator.testing.play import Play, Setup
from orchestrator.workflow import Workflow

Action = Callable[[Play], None]
Check = Callable[["SimulatedJob"], object]


class Time:
    """The virtual time of a job under test."""

    def __init__(self, job: SimulatedJob) -> None:
        self._job = job

    @property
    def now_ms(self) -> int:
        """The Unix time in ms."""
        return self._job.play.simulation.clock.now_ms()

    def advance(
        self, *, ms: int = 0, seconds: float = 0, minutes: float = 0, hours: float = 0, days: float = 0
    ) -> SimulatedJob:
        """Let time pass: alarms fire, waits run out."""
        by_ms = ms + round(1_000 * (seconds + 60 * (minutes + 60 * (hours + 24 * days))))
        return self._job.act(lambda play: play.advance(by_ms))


class SimulatedJob:
    """A job under test. What a test does to it is remembered, so that it can be done again under faults.

    Args:
        setup: the job and its surroundings.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._actions: list[Action] = []
        self._play: Play | None = None
        self.time = Time(self)

    # -- what happens to it ------------------------------------------------------------------------------------------

    def crash_at(self, *writes: int) -> Self:
        """Stop whichever object makes the n-th storage write (1-based), right before it; call it first.

        Raises:
            AssertionError: the job has begun.
        """
        return self._change(crash_at=(*self._setup.crash_at, *writes))

    def storm(self, faults: Mapping[FaultKind, float], *, seed: int) -> Self:
        """Have faults strike, each with its rate; one seed is one story. Call it first.

        Raises:
            AssertionError: the job has begun.
        """
        return self._change(faults=faults, seed=seed)

    def run(self) -> Self:
        """Run until the job has ended, or waits for somebody outside: an event, a token, a resumption."""
        return self.act(lambda play: play.run())

    def deliver_event(self, name: str, data: object = None, *, event_id: str | None = None) -> Self:
        """Send the job an event, whether it waits for it yet or not."""
        return self.act(lambda play: play.call(lambda engine: engine.deliver_event(name, event_id, data)))

    def complete_token(self, data: object = None, *, name: str = "token") -> Self:
        """Complete the job's oldest open token of this name, as soon as there is one.

        Raises:
            AssertionError: the job makes none.
        """
        return self.act(lambda play: play.complete_token(data, name))

    def cancel(self) -> Self:
        """Ask the job to stop."""
        return self.act(lambda play: play.call(lambda engine: engine.cancel("")))

    def pause(self) -> Self:
        """Stop starting new work."""
        return self.act(lambda play: play.call(lambda engine: engine.pause()))

    def resume(self) -> Self:
        """Go on after a pause."""
        return self.act(lambda play: play.call(lambda engine: engine.resume()))

    def retry(self, *, from_step: str | None = None, scratch: bool = False) -> Self:
        """Run a job that ended without success again."""
        request = RetryJob(from_step=from_step, scratch=scratch)
        return self.act(lambda play: play.call(lambda engine: engine.retry(request)))

    def deploy(self) -> Self:
        """Reset every object, as a deployment does: what was in memory is gone."""
        return self.act(lambda play: play.simulation.kill_all(reset=False))

    def act(self, action: Action) -> Self:
        """Do something to the job, now and in every repetition."""
        action(self.play)
        self._actions.append(action)
        return self

    # -- what can be seen of it --------------------------------------------------------------------------------------

    @property
    def play(self) -> Play:
        """The run under way."""
        if self._play is None:
            self._play = Play(self._setup)
        return self._play

    @property
    def view(self) -> JobView:
        """The job's status, as callers see it."""
        return self.play.view()

    @property
    def status(self) -> JobStatus:
        """Where the job stands."""
        return self.view.status

    @property
    def result(self) -> object:
        """What the job gave, or None."""
        return self.view.result

    @property
    def services(self) -> object:
        """What its steps work on."""
        return self.play.services

    @property
    def effects(self) -> Effects:
        """What was done to the outside.

        Raises:
            AssertionError: the services have none.
        """
        found: object = getattr(self.services, "effects", self.services)
        if not isinstance(found, Effects):
            raise AssertionError("the services are no Effects, and have none as their attribute `effects`")
        return found

    @property
    def rows_written(self) -> int:
        """Rows that the job's own object has written, each of them billed."""
        return self.play.host.sql.rows_written

    def story(self) -> str:
        """Return what happened, for people: faults, and the job's history."""
        simulation = self.play.simulation
        began_ms = self.view.created_at_ms
        lines = [(fault.at_ms, f"fault {fault.point}") for fault in simulation.plan.struck]
        for event in self.play.host.journal.history.after(0, 1_000):
            lines.append((event.at_ms, f"{event.kind} {event.key or ''} {event.data or ''}".rstrip()))
        return "\n".join(f"{(at_ms - began_ms) / 1000:>10.3f} s  {text}" for at_ms, text in sorted(lines))

    # -- what must hold ----------------------------------------------------------------------------------------------

    def assert_completed(self, result: object = ...) -> Self:
        """Assert that the job has completed, and with this result if one is given."""
        view = self.view
        if view.status is not JobStatus.COMPLETED:
            raise AssertionError(f"the job is {view.status}: {view.error}\n{self.story()}")
        if result is not ... and view.result != result:
            raise AssertionError(f"the job gave {view.result!r}, not {result!r}")
        return self

    def assert_failed(self, code: str) -> Self:
        """Assert that the job has failed with this code."""
        view = self.view
        if view.status is not JobStatus.FAILED or view.error is None or view.error.code != code:
            raise AssertionError(f"the job is {view.status} with {view.error}, not failed with {code}")
        return self

    def assert_effects_once(self) -> Self:
        """Assert that nothing was done to the outside more than once."""
        repeated = self.effects.repeated()
        if repeated:
            raise AssertionError(f"done more than once: {repeated}\n{self.story()}")
        return self

    def assert_rows_written(self, at_most: int) -> Self:
        """Assert what the job may cost: rows that its object has written."""
        if self.rows_written > at_most:
            raise AssertionError(f"the job has written {self.rows_written} rows, more than {at_most}")
        return self

    def assert_replays(self) -> Self:
        """Assert that the same comes out when every slice replays the workflow from its journal."""
        return self._repeat("replayed in every slice", None, always_replay=True)

    def crash_at_every_write(self, check: Check | None = None) -> int:
        """Do everything again once per storage write, stopped right before it; the same must come out.

        Args:
            check: what else must hold after each run.

        Returns:
            The number of runs.
        """
        self.run()
        if check is not None:
            check(self)
        self.assert_replays()
        writes = self.play.simulation.writes
        for write in range(1, writes + 1):
            self._repeat(f"stopped before write {write} of {writes}", check, crash_at=(write,))
        return writes

    def _repeat(self, how: str, check: Check | None, **changes: object) -> Self:
        again = SimulatedJob(msgspec.structs.replace(self._setup, **changes))
        try:
            for action in self._actions:
                again.act(action)
            again.run()
            mine, other = _end_of(self.view), _end_of(again.view)
            if mine != other:
                raise AssertionError(f"ended {other}, undisturbed {mine}\n{again.story()}")
            if check is not None:
                check(again)
        except Exception as error:
            raise AssertionError(f"{how}: {error}") from error
        finally:
            again.close()
        return self

    # -- its journal -------------------------------------------------------------------------------------------------

    def record(self) -> str:
        """Return the journals of the job and its children: later releases can be held to them (``histories``)."""
        return record(self.play.simulation)

    def close(self) -> None:
        """End everything that still runs."""
        if self._play is not None:
            self._play.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    def _change(self, **changes: object) -> Self:
        if self._play is not None:
            raise AssertionError("the job has begun: say this first")
        self._setup = msgspec.structs.replace(self._setup, **changes)
        return self


def simulate(
    workflow: Workflow,
    payload: object,
    *,
    also: tuple[Workflow, ...] = (),
    services: Callable[[], object] = Effects,
    database: Callable[[], MemoryDatabase] = MemoryDatabase,
    options: JobOptions | None = None,
    always_replay: bool = False,
    seed: int = 0,
) -> SimulatedJob:
    """Begin a test of a workflow.

    Args:
        workflow: whose job it is.
        payload: the job's payload.
        also: workflows of its children.
        services: makes what ``current_step().services`` is; called once per run.
        database: makes the database of ``job.transaction``.
        options: of the job.
        always_replay: drop the coroutines after every slice.
        seed: of everything random.
    """
    return SimulatedJob(
        Setup(
            workflows=(workflow, *also),
            payload=payload,
            options=options or JobOptions(mode="direct"),
            services=services,
            database=database,
            always_replay=always_replay,
            seed=seed,
            faults=CALM,
        )
    )


def _end_of(view: JobView) -> tuple[JobStatus, object, str | None]:
    return view.status, view.result, None if view.error is None else view.error.code
