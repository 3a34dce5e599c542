"""A schedule of a program: it starts jobs until a time, and each of its times is dealt with exactly once."""

from __future__ import annotations

from orchestrator.lifecycle import JobStatus
from orchestrator.schedule import Schedule
from orchestrator.schedule_model import ScheduleView
from orchestrator.testing.simulation import Simulation
from tests.simulation.author import payload_of
from tests.simulation.backstage import RealBackstage
from tests.simulation.oracle import Oracle
from tests.simulation.program import Cron, Job

MINUTE_MS = 60_000
#: Nothing strikes any more after this, and everything that was held up goes on soon.
LATEST_MS = 3 * 3_600_000


class CronRun:
    """Runs one schedule.

    Args:
        simulation: where.
        backstage: its schedules.
        cron: what it says.
        number: tells it from others.
    """

    def __init__(self, simulation: Simulation, backstage: RealBackstage, cron: Cron, number: int) -> None:
        self._simulation = simulation
        self._schedules = backstage.schedules
        self._cron = cron
        self._path = f"cron {number} "
        self.schedule = Schedule(
            id=f"cron-{number}",
            workflow="plain",
            cron=f"*/{cron.every_minutes} * * * *",
            payload=payload_of(Job(cron.body), self._path),
            time_field="at",
            overlap=cron.overlap,
            catch_up=cron.catch_up,
            catch_up_ms=None if cron.catch_up == "none" else LATEST_MS,
        )
        self._view: ScheduleView | None = None
        self._times: list[int] = []

    async def run(self) -> None:
        """Create the schedule, wait until all of its times up to some time are dealt with, and pause it."""
        simulation, schedule = self._simulation, self.schedule
        began_ms = simulation.clock.now_ms()
        await self._schedules.create(schedule)
        view = await self._schedules.see(schedule.id)
        until_ms = began_ms + self._cron.minutes * MINUTE_MS
        await simulation.sleep(until_ms - simulation.clock.now_ms())
        while True:
            view = await self._schedules.see(schedule.id)
            now_ms = simulation.clock.now_ms()
            # Times that come meanwhile count as well: seeing and pausing are two calls.
            self._times = list(schedule.times.between(view.created_at_ms, now_ms))
            if sum(event.count for event in view.history) >= len(self._times) and not view.waiting:
                break
            assert now_ms < began_ms + LATEST_MS, f"a schedule has not dealt with all of its times: {view.history}"
            await simulation.sleep(1_700)
        self._view = view
        await self._schedules.pause(schedule.id)

    def judge(self) -> tuple[set[str], set[str]]:
        """Hold what became of the times against what was said; return what its jobs must and may have done."""
        assert self._view is not None
        history = self._view.history
        counted = sum(event.count for event in history)
        assert counted == len(self._times), f"{len(self._times)} times, and {counted} of them dealt with: {history}"
        started = {event.planned_ms: event.job_id for event in history if event.outcome == "started"}
        assert len(started) == sum(event.outcome == "started" for event in history), f"a time was run twice: {history}"
        assert started.keys() <= set(self._times), f"a time was run that was none: {history}"
        others = {event.outcome for event in history} - {"started"}
        allowed = {"skipped"} if self._cron.overlap != "allow" else set[str]()
        allowed |= {"missed"} if self._cron.catch_up != "all" else set[str]()
        assert others <= allowed, f"times were {sorted(others)}: {history}"
        must, may = set[str](), set[str]()
        for planned_ms, job_id in started.items():
            assert job_id == self.schedule.job_id(planned_ms)
            self._judge_job(planned_ms, job_id or "", must, may)
        if self._cron.overlap == "cancel_other":
            # A start that gave way to a later time may have been made already: whether it was is known by no answer.
            for planned_ms in set(self._times) - started.keys():
                may |= Oracle(mended=False).job(Job(self._cron.body), self._path_at(planned_ms)).may
        self._judge_later_ones(may)
        return must, may

    def _judge_job(self, planned_ms: int, job_id: str, must: set[str], may: set[str]) -> None:
        expected = Oracle(mended=False).job(Job(self._cron.body), self._path_at(planned_ms))
        status = self._simulation.view(job_id).status
        cancelled = self._cron.overlap == "cancel_other" and status is JobStatus.CANCELLED
        assert cancelled or status is JobStatus.COMPLETED, f"the job of a time is {status}"
        if not cancelled:
            must |= expected.must
        may |= expected.may

    def _judge_later_ones(self, may: set[str]) -> None:
        """What was begun between the last look and the pause may have run, or not."""
        assert self._times or not self._view or not self._view.history
        for planned_ms in self.schedule.times.between((self._times or [0])[-1], self._simulation.clock.now_ms()):
            if self.schedule.job_id(planned_ms) in self._simulation.objects:
                may |= Oracle(mended=False).job(Job(self._cron.body), self._path_at(planned_ms)).may
            if planned_ms > (self._times or [0])[-1] + 3_600_000:
                break

    def _path_at(self, planned_ms: int) -> str:
        payload = self.schedule.payload_at(planned_ms)
        assert isinstance(payload, dict)
        return f"{self._path}{payload['at']}"
