"""A program under way: its first job, what is done to it, and what goes on beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from durable.catalog_model import JobQuery
from orchestrator import codec
from orchestrator.control import control
from orchestrator.engine import JobEngine
from orchestrator.errors import ErrorRecord, OrchestratorError, RequestError, UnknownJobError
from orchestrator.lifecycle import TERMINAL, JobStatus
from orchestrator.model import ControlJob, JobBudget, JobOptions, JobView, RetryJob
from orchestrator.testing.simulation import Simulation
from orchestrator.views import job_view
from tests.simulation.author import Outside, payload_of
from tests.simulation.backstage import RealBackstage
from tests.simulation.crons import CronRun
from tests.simulation.keyed import KeyedCalls
from tests.simulation.program import Action, Program

#: Somebody looks after the first job this often.
KEEPER_MS = 60_000
TAG = "the first"
#: What somebody allows a job that has used up its budget.
PLENTY = JobBudget(slices=1_000_000)


class Scene:
    """A program under way.

    Args:
        simulation: where.
        services: the outside.
        program: what to play.
    """

    def __init__(self, simulation: Simulation, services: Outside, program: Program) -> None:
        assert isinstance(simulation.backstage, RealBackstage)
        self.simulation = simulation
        self.services = services
        self.program = program
        #: Whether somebody has cancelled the first job in time, and whether somebody has deleted it.
        self.cancelled = self.deleted = False
        options = JobOptions(
            mode="queue" if program.queued else "direct",
            delay_ms=program.delay_ms,
            ttl_ms=program.ttl_ms,
            max_duration_ms=program.max_ms,
            retention_ms=program.retention_ms,
            budget=JobBudget(slices=program.slices or None),
            tags=(TAG,),
            lane_keys={"org": "a"},
        )
        self.request = simulation.client.request(program.job.workflow, payload_of(program.job, ""), options)
        self._began = simulation.go(simulation.client.create(self.request))
        self.keyed = [KeyedCalls(simulation, wish) for wish in program.keyed]
        self.crons = [
            CronRun(simulation, simulation.backstage, cron, number) for number, cron in enumerate(program.crons)
        ]
        for calls in self.keyed:
            simulation.go(calls.make())
        for cron in self.crons:
            simulation.go(cron.run())
        for action in program.actions:
            simulation.go(self._act(action))
        simulation.spawn(self._keep())

    async def _act(self, action: Action) -> None:
        simulation, job_id = self.simulation, self.request.job_id
        await asyncio.wait([self._began])
        await simulation.sleep(action.at_ms)
        if action.what == "create_again":
            again = await simulation.client.call("create", job_id, lambda engine: engine.create(self.request))
            assert again.deduplicated, "a job was made twice"
        elif action.what == "cancel":
            self._note(await self._try(lambda engine: engine.cancel("not wanted")))
        elif action.what == "cancel_by_tag":
            await self._cancel_by_tag()
        elif action.what == "pause":
            await self._try(lambda engine: engine.pause())
            await simulation.sleep(5_000)
            await self._try(lambda engine: engine.resume())
        elif action.what == "delete":
            await self._until_ended()
            await simulation.sleep(action.at_ms)  # what was sent twice has come twice by then
            status = await self._try(lambda engine: engine.delete(), again=True)
            self.deleted = status is not None or await self._look() is None
        elif action.what == "lose_shard":
            assert isinstance(simulation.backstage, RealBackstage)
            simulation.backstage.lose(job_id)
        else:
            self.services.mended = True
            if await self._until_ended() is JobStatus.FAILED:
                await self._try(lambda engine: engine.retry(RetryJob()), again=True)

    async def _cancel_by_tag(self) -> None:
        """Cancel what the catalog finds, as a bulk operation does: each is judged again by its own job."""
        assert isinstance(self.simulation.backstage, RealBackstage)
        catalog = self.simulation.backstage.catalog
        while True:
            try:
                found = await catalog.list_jobs(JobQuery(tag=TAG))
            except OrchestratorError:
                await self.simulation.sleep(1_000)
                continue
            assert {job.id for job in found.jobs} <= {self.request.job_id}, "the catalog lists what has no such tag"
            for job in found.jobs:
                wish = ControlJob(action="cancel", only_in=(job.status,), reason="not wanted")
                self._note(await self._try(lambda engine, wish=wish: control(engine, wish)))
            return

    def _note(self, status: JobStatus | None) -> None:
        self.cancelled = self.cancelled or status in {JobStatus.CANCELLING, JobStatus.CANCELLED}

    async def _until_ended(self) -> JobStatus | None:
        """Wait for the end of the first job; None when it was deleted meanwhile."""
        while True:
            view = await self._look()
            if view is None or view.status in TERMINAL:
                return None if view is None else view.status
            await self.simulation.sleep(KEEPER_MS)

    async def _look(self) -> JobView | None:
        """Look at the first job without mending its alarm, which is the sweeper's to do."""
        job_id = self.request.job_id
        try:
            return await self.simulation.client.call(
                "see", job_id, lambda engine: job_view(engine.known(), engine.journal)
            )
        except UnknownJobError:
            return None

    async def _try(self, call: Callable[[JobEngine], JobStatus], *, again: bool = False) -> JobStatus | None:
        """Do what a job may refuse."""
        try:
            return await self.simulation.client.control(self.request.job_id, call, again=again)
        except RequestError:
            return None

    async def _keep(self) -> None:
        """Go on with a job that was paused by an order that came late, or has used its budget up; no other pauses."""
        simulation = self.simulation
        await asyncio.wait([self._began])
        while True:
            await simulation.sleep(KEEPER_MS)
            view = await self._look()
            if view is None or view.status is not JobStatus.PAUSED:
                continue
            job = simulation.objects[view.id].journal.load_job()
            if job is not None and job.pause_error is not None:
                self._check_budget(view, codec.decode_as(job.pause_error, ErrorRecord))
            await self._try(lambda engine: engine.resume(PLENTY))

    def _check_budget(self, view: JobView, why: ErrorRecord) -> None:
        assert why.code == "budget_exceeded", f"the job paused itself: {why}"
        slices = self.program.slices
        assert 0 < slices <= view.slices, f"paused after {view.slices} slices, and {slices or 'any'} are allowed"
