"""Callers from outside of a simulation: what they ask for is lost like any call, and they try again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from orchestrator.engine import JobEngine
from orchestrator.errors import RetryableError
from orchestrator.ids import new_job_id
from orchestrator.lifecycle import JobStatus
from orchestrator.model import Created, CreateJob, JobOptions, JobView
from orchestrator.testing.catalog import CatalogModel
from orchestrator.tokens import parse
from orchestrator.views import job_view

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
        wait_ms = RETRY_MS
        while True:
            try:
                return await self.once(what, job_id, call)
            except RetryableError:
                await self._simulation.sleep(wait_ms)
                wait_ms = min(RETRY_MAX_MS, 2 * wait_ms)

    async def create(self, request: CreateJob) -> Created:
        """Record a job and hand it to its queue, which may fail: such a job sends itself."""
        request = self._simulation.carry(request)
        created = await self.call("create", request.job_id, lambda engine: self._simulation.create(engine, request))
        if created.status is JobStatus.QUEUED:
            queue = self._simulation.registry.get(request.workflow).options.queue
            try:
                await self._simulation.send(
                    None, "enqueue", queue, lambda: self._simulation.enqueue(queue, request.job_id)
                )
            except RetryableError:
                return created
        return created

    async def control(self, job_id: str, call: Callable[[JobEngine], JobStatus]) -> JobStatus:
        """Change where a job stands: pause, resume, cancel or retry it."""
        simulation = self._simulation

        def change(engine: JobEngine) -> JobStatus:
            status = call(engine)
            simulation.announce(job_id)
            return status

        return await self.call("control", job_id, change)

    def request(self, workflow: str, payload: object, options: JobOptions | None = None) -> CreateJob:
        """Return the request for a new job."""
        job_id = new_job_id(self._simulation.clock, self._simulation.entropy)
        options = options or JobOptions(mode="direct")
        return CreateJob(job_id=job_id, workflow=workflow, payload=payload, options=options)

    async def look(self, job_id: str) -> JobView:
        """Look at a job, which mends its alarm."""

        def look(engine: JobEngine) -> JobView:
            if engine.exists():
                engine.wake()
            return job_view(engine.known(), engine.journal)

        return await self.call("view", job_id, look)

    async def complete_token(self, token_id: str, data: object) -> None:
        """Complete a token as its holder does."""
        address = parse(token_id)
        await self.call("complete", address.job_id, lambda engine: engine.complete_token(address.key, data))

    async def ask_catalog(self, what: str, call: Callable[[CatalogModel], T]) -> T:
        """Ask the catalog until it answers."""
        simulation = self._simulation
        while True:
            try:
                return await simulation.send(
                    None, what, "catalog", lambda: simulation.reach(simulation.catalog_host, call)
                )
            except RetryableError:
                await simulation.sleep(RETRY_MS)
