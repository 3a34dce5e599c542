"""Callers from outside of a simulation: what they ask for is lost like any call, and they try again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, TypeVar

from orchestrator.control import look_after
from orchestrator.engine import JobEngine
from orchestrator.errors import RetryableError
from orchestrator.ids import new_job_id
from orchestrator.lifecycle import JobStatus
from orchestrator.model import Created, CreateJob, JobOptions, JobSummary
from orchestrator.new_job import is_awaited
from orchestrator.tokens import parse

if TYPE_CHECKING:
    from orchestrator.testing.simulation import Simulation

T = TypeVar("T")
#: A caller that was not answered tries again after this, doubling to the maximum.
RETRY_MS, RETRY_MAX_MS = 500, 30_000


class Client:
    """Calls jobs as the API does.

    Args:
        simulation: where the jobs are.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def once(self, what: str, job_id: str, call: Callable[[JobEngine], T]) -> T:
        """Call a job's object; it may not answer."""
        simulation = self._simulation
        return await simulation.send(None, what, job_id, lambda: simulation.reach(simulation.object(job_id), call))

    async def call(self, what: str, job_id: str, call: Callable[[JobEngine], T]) -> T:
        """Call a job's object until it answers."""
        return await self.insist(lambda: self.once(what, job_id, call))

    async def create(self, request: CreateJob) -> Created:
        """Record a job as the API does: it is promised when something besides its own object leads to it."""
        simulation = self._simulation
        request = simulation.carry(request)
        created = await self.insist(lambda: self._create(request))
        if created.status is JobStatus.QUEUED:
            queue = simulation.registry.get(request.workflow).options.queue
            try:
                await simulation.send(None, "enqueue", queue, lambda: simulation.enqueue(queue, request.job_id))
            except RetryableError:
                await self.expect(request.job_id)
        return created

    async def _create(self, request: CreateJob) -> Created:
        simulation = self._simulation
        made = self.once("create", request.job_id, lambda engine: simulation.create(engine, request))
        if is_awaited(request):
            return await made
        created, _ = await asyncio.gather(made, simulation.backstage.expect(None, request.job_id))
        return created

    async def expect(self, job_id: str, *, firm: bool = False) -> None:
        """Have the catalog look for a job that no message leads to."""
        await self.insist(lambda: self._simulation.backstage.expect(None, job_id, firm=firm))

    async def control(self, job_id: str, call: Callable[[JobEngine], JobStatus], *, again: bool = False) -> JobStatus:
        """Change where a job stands: pause, resume or cancel it, or have one that has ended act ``again``."""
        simulation = self._simulation

        def change(engine: JobEngine) -> JobStatus:
            status = call(engine)
            simulation.announce(job_id)
            return status

        changed = self.call("control", job_id, change)
        if not again:
            return await changed
        status, _ = await asyncio.gather(changed, self.expect(job_id, firm=True))
        return status

    def request(self, workflow: str, payload: object, options: JobOptions | None = None) -> CreateJob:
        """Return the request for a new job."""
        job_id = new_job_id(self._simulation.clock, self._simulation.entropy)
        options = options or JobOptions(mode="direct")
        return CreateJob(job_id=job_id, workflow=workflow, payload=payload, options=options)

    async def look(self, job_id: str) -> JobSummary:
        """Look at a job as the sweeper does; it may not answer."""
        simulation = self._simulation
        return await simulation.wait_for(None, "summary", simulation.object(job_id), look_after)

    async def complete_token(self, token_id: str, data: object) -> None:
        """Complete a token as its holder does."""
        address = parse(token_id)
        await self.call("complete", address.job_id, lambda engine: engine.complete_token(address.key, data))

    async def insist(self, call: Callable[[], Coroutine[object, object, T]]) -> T:
        """Ask until there is an answer."""
        wait_ms = RETRY_MS
        while True:
            try:
                return await call()
            except RetryableError:
                await self._simulation.sleep(wait_ms)
                wait_ms = min(RETRY_MAX_MS, 2 * wait_ms)
