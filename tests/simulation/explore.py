"""Runs a program under faults and holds what it led to against the oracle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

import msgspec

from orchestrator.engine import JobEngine
from orchestrator.errors import RequestError
from orchestrator.lifecycle import TERMINAL, JobStatus
from orchestrator.model import JobOptions, JobView, RetryJob
from orchestrator.testing.plan import FaultKind, Struck
from orchestrator.testing.simulation import Simulation
from orchestrator.views import job_view
from tests.simulation.author import ALL, Outside, database, payload_of
from tests.simulation.backstage import RealBackstage
from tests.simulation.generate import Generator
from tests.simulation.oracle import Expectation, Oracle
from tests.simulation.program import Action, Program

#: Somebody looks after the first job this often.
KEEPER_MS = 60_000
#: More alarms than this, and something turns without end.
MOST_TICKS = 5_000
#: What a tick may fail with under faults; anything else is a bug.
_EXCUSES = ("ObjectResetError", "ConnectionError", "RetryableError", "object_", "queue_", "catalog_")
#: Errors that say what was struck, or that a call came too late for its job.
_TOLD = ("outbox.refused", "message.", "sweep.shards_silent")


class Case(msgspec.Struct, frozen=True):
    """Everything that decides a run."""

    seed: int
    program: Program
    faults: dict[FaultKind, float]
    #: Strike here and nowhere else.
    only: frozenset[str] | None = None
    #: Stop whichever object makes these writes, counted over all.
    crash_at: tuple[int, ...] = ()


class Run(msgspec.Struct):
    """What a run led to."""

    problem: str | None
    struck: list[Struck]
    began_ms: int
    took_ms: int
    writes: int
    view: JobView | None = None
    logs: list[tuple[str, str, dict[str, object]]] = []


def case_of(seed: int) -> Case:
    """Return the case of a number."""
    generator = Generator(seed)
    return Case(seed, generator.program(), generator.faults())


def play(case: Case) -> Run:
    """Run a case to its end."""
    services = Outside()
    with Simulation(
        *ALL,
        services=services,
        database=database(),
        always_replay=case.program.always_replay,
        seed=case.seed,
        faults=case.faults,
        only=case.only,
        backstage=RealBackstage,
    ) as simulation:
        services.simulation = simulation
        simulation.most_ticks = MOST_TICKS
        simulation.crash_at(*case.crash_at)
        began_ms = simulation.clock.time_ms
        scene = _Scene(simulation, services, case.program)
        problem: str | None = None
        try:
            simulation.run()
            scene.judge()
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        view = simulation.view(scene.request.job_id) if scene.request.job_id in simulation.objects else None
        took_ms = simulation.clock.time_ms - began_ms
        return Run(problem, simulation.plan.struck, began_ms, took_ms, simulation.writes, view, simulation.logs)


class _Scene:
    """A program under way."""

    def __init__(self, simulation: Simulation, services: Outside, program: Program) -> None:
        self._simulation = simulation
        self._services = services
        self._program = program
        self._cancelled = False
        options = JobOptions(
            mode="queue" if program.queued else "direct", delay_ms=program.delay_ms, lane_keys={"org": "a"}
        )
        self.request = simulation.client.request(program.job.workflow, payload_of(program.job, ""), options)
        self._began = simulation.go(simulation.client.create(self.request))
        for action in program.actions:
            simulation.go(self._act(action))
        simulation.spawn(self._keep())

    async def _act(self, action: Action) -> None:
        simulation, job_id = self._simulation, self.request.job_id
        await self._began
        await simulation.sleep(action.at_ms)
        if action.what == "create_again":
            again = await simulation.client.call("create", job_id, lambda engine: engine.create(self.request))
            assert again.deduplicated, "a job was made twice"
        elif action.what == "cancel":
            status = await self._try(lambda engine: engine.cancel("not wanted"))
            self._cancelled = status in {JobStatus.CANCELLING, JobStatus.CANCELLED}
        elif action.what == "pause":
            await self._try(lambda engine: engine.pause())
            await simulation.sleep(5_000)
            await self._try(lambda engine: engine.resume())
        else:
            self._services.mended = True
            while (status := (await self._look()).status) not in TERMINAL:
                await simulation.sleep(KEEPER_MS)
            if status is JobStatus.FAILED:
                await self._try(lambda engine: engine.retry(RetryJob()), again=True)

    async def _look(self) -> JobView:
        """Look at the job without mending its alarm, which is the sweeper's to do."""
        job_id = self.request.job_id
        return await self._simulation.client.call(
            "see", job_id, lambda engine: job_view(engine.known(), engine.journal)
        )

    async def _try(self, call: Callable[[JobEngine], JobStatus], *, again: bool = False) -> JobStatus | None:
        """Do what a job may refuse."""
        try:
            return await self._simulation.client.control(self.request.job_id, call, again=again)
        except RequestError:
            return None

    async def _keep(self) -> None:
        """Go on with a job that was paused by an order that came late; nothing else may pause one."""
        simulation = self._simulation
        await self._began
        while True:
            await simulation.sleep(KEEPER_MS)
            view = await self._look()
            if view.status is JobStatus.PAUSED:
                job = simulation.objects[view.id].journal.load_job()
                assert job is None or job.pause_error is None, f"the job paused itself: {view.error}"
                await self._try(lambda engine: engine.resume())

    def judge(self) -> None:
        """Hold the end against the oracle."""
        view = self._simulation.view(self.request.job_id)
        expected = self._expected(view)
        if self._cancelled:
            assert view.status is JobStatus.CANCELLED, f"a cancelled job is {view.status}"
        else:
            assert view.status == expected.status, f"ended {view.status} ({view.error}), expected {expected.status}"
            assert view.result == expected.value or expected.code is not None, (
                f"gave {view.result}, expected {expected.value}"
            )
            if expected.code is not None:
                assert view.error is not None
                assert view.error.code == expected.code, f"failed with {view.error}, expected {expected.code}"
        self._judge_effects(expected)
        assert not self._services.faults, "; ".join(self._services.faults)
        for level, event, fields in self._simulation.logs:
            excused = any(excuse in str(fields.get("error")) for excuse in _EXCUSES)
            assert level != "error" or excused or event.startswith(_TOLD), f"{event}: {fields}"

    def _expected(self, view: JobView) -> Expectation:
        return Oracle(mended=self._services.mended).expect(self._program)

    def _judge_effects(self, expected: Expectation) -> None:
        rows = self._simulation.server.db.execute("select path, count(*) from booking group by path").fetchall()
        booked = {str(path): int(count) for path, count in rows}
        twice = {path for path, count in booked.items() if count != 1}
        assert not twice, f"transactions that took effect more than once: {sorted(twice)}"
        done = booked.keys() | self._services.done
        if not self._cancelled:
            missing = expected.must - done
            assert not missing, f"never done: {sorted(missing)}"
        excess = done - expected.may
        assert not excess, f"done, and should not have been: {sorted(excess)}"


def rates(case: Case) -> Mapping[FaultKind, float]:
    """Return a case's faults, the most frequent first."""
    return dict(sorted(case.faults.items(), key=lambda item: -item[1]))


def points(run: Run) -> Set[str]:
    """Return where a run was struck."""
    return {fault.point for fault in run.struck}
