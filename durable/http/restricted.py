"""The jobs as a restricted key sees them: what is not its tenant's, or not of its workflows, does not exist.

Ownership is asked of each job's own object, which is exact; a job's owner never changes. Lists are filtered in the
catalog.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from durable.alerts.model import AlertsView
from durable.catalog_model import (
    CatalogCounts,
    CountsQuery,
    DeadLetterPage,
    DeadLetterQuery,
    JobPage,
    JobQuery,
    Redriven,
    ShardState,
)
from durable.http.access import Principal
from durable.http.host import Host, JobsBackend
from orchestrator.errors import ForbiddenError, UnknownDeadLetterError, UnknownJobError
from orchestrator.export import ExportPage
from orchestrator.lane import LaneView
from orchestrator.lifecycle import JobStatus
from orchestrator.model import ControlJob, Created, CreateJob, DeadLetter, Event, JobOwner, JobView, RetryJob, StepView
from orchestrator.tokens import TokenAddress


def on_behalf_of(principal: Principal, host: Host) -> Host:
    """Return the host that a principal's request gets."""
    backend: JobsBackend = RestrictedJobs(host.backend, principal) if principal.is_restricted else host.backend
    return replace(host, backend=backend, principal=principal)


class RestrictedJobs:
    """Implements :class:`durable.http.host.JobsBackend` for one request of a restricted key.

    Args:
        jobs: all jobs.
        principal: whose request it is.
    """

    def __init__(self, jobs: JobsBackend, principal: Principal) -> None:
        self._jobs = jobs
        self._principal = principal
        #: Jobs that were found to exist for it.
        self._found: set[str] = set()

    async def create(self, request: CreateJob) -> Created:
        """See :class:`durable.http.host.JobsBackend`."""
        if not self._principal.sees(JobOwner(workflow=request.workflow, tenant=request.options.tenant)):
            raise _shared()
        return await self._jobs.create(request)

    async def enqueue(self, queue: str, job_ids: Sequence[str]) -> None:
        """See :class:`durable.http.host.JobsBackend`."""
        await self._jobs.enqueue(queue, job_ids)

    async def expect(self, job_ids: Sequence[str]) -> None:
        """See :class:`durable.http.host.JobsBackend`."""
        await self._jobs.expect(job_ids)

    async def owner(self, job_id: str) -> JobOwner:
        """See :class:`durable.http.host.JobsBackend`."""
        owner = await self._jobs.owner(job_id)
        if not self._principal.sees(owner):
            raise UnknownJobError
        self._found.add(job_id)
        return owner

    async def view(self, job_id: str) -> JobView:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._jobs.view(await self._own(job_id))

    async def steps(self, job_id: str) -> list[StepView]:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._jobs.steps(await self._own(job_id))

    async def events(self, job_id: str, after: int) -> list[Event]:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._jobs.events(await self._own(job_id), after)

    async def export(self, job_id: str, cursor: str | None) -> ExportPage:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._jobs.export(await self._own(job_id), cursor)

    async def cancel(self, job_id: str, reason: str) -> JobStatus:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._jobs.cancel(await self._own(job_id), reason)

    async def pause(self, job_id: str) -> JobStatus:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._jobs.pause(await self._own(job_id))

    async def resume(self, job_id: str) -> JobStatus:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._jobs.resume(await self._own(job_id))

    async def retry(self, job_id: str, request: RetryJob) -> JobStatus:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._jobs.retry(await self._own(job_id), request)

    async def delete(self, job_id: str) -> None:
        """See :class:`durable.http.host.JobsBackend`."""
        await self._jobs.delete(await self._own(job_id))

    async def supersede(self, job_id: str, generation: int) -> None:
        """See :class:`durable.http.host.JobsBackend`. The id follows from the tenant and a key of its own."""
        await self._jobs.supersede(job_id, generation)

    async def control(self, job_id: str, request: ControlJob) -> JobStatus:
        """See :class:`durable.http.host.JobsBackend`."""
        return await self._jobs.control(await self._own(job_id), request)

    async def deliver_event(self, job_id: str, name: str, event_id: str | None, data: object) -> None:
        """See :class:`durable.http.host.JobsBackend`."""
        await self._jobs.deliver_event(await self._own(job_id), name, event_id, data)

    async def complete_token(self, address: TokenAddress, data: object) -> None:
        """See :class:`durable.http.host.JobsBackend`. A token is opened by its own bearer, not by a key."""
        raise _shared()

    async def lane(self, name: str) -> LaneView:
        """See :class:`durable.http.host.JobsBackend`."""
        raise _shared()

    async def pause_lane(self, name: str) -> LaneView:
        """See :class:`durable.http.host.JobsBackend`."""
        raise _shared()

    async def resume_lane(self, name: str) -> LaneView:
        """See :class:`durable.http.host.JobsBackend`."""
        raise _shared()

    async def list_jobs(self, query: JobQuery) -> JobPage:
        """See :class:`durable.http.host.JobsBackend`."""
        tenant = self._tenant_of(query.tenant)
        return await self._jobs.list_jobs(msgspec.structs.replace(query, tenant=tenant, workflows=self._workflows()))

    async def list_dead_letters(self, query: DeadLetterQuery) -> DeadLetterPage:
        """See :class:`durable.http.host.JobsBackend`."""
        mine = msgspec.structs.replace(query, tenant=self._principal.tenant, workflows=self._workflows())
        return await self._jobs.list_dead_letters(mine)

    async def get_dead_letter(self, letter_id: str) -> DeadLetter:
        """See :class:`durable.http.host.JobsBackend`. A letter of no job is nobody's."""
        letter = await self._jobs.get_dead_letter(letter_id)
        if letter.job_id is None:
            raise UnknownDeadLetterError
        try:
            await self._own(letter.job_id)
        except UnknownJobError:
            raise UnknownDeadLetterError from None
        return letter

    async def mark_redriven(self, redriven: Redriven) -> None:
        """See :class:`durable.http.host.JobsBackend`."""
        await self._jobs.mark_redriven(redriven)

    async def counts(self, query: CountsQuery) -> CatalogCounts:
        """See :class:`durable.http.host.JobsBackend`."""
        raise _shared()

    async def shard_states(self) -> list[ShardState]:
        """See :class:`durable.http.host.JobsBackend`."""
        raise _shared()

    async def alerts(self) -> AlertsView:
        """See :class:`durable.http.host.JobsBackend`."""
        raise _shared()

    async def rebuild_shards(self, names: Sequence[str]) -> list[ShardState]:
        """See :class:`durable.http.host.JobsBackend`."""
        raise _shared()

    async def _own(self, job_id: str) -> str:
        """Return the id of a job that exists for the principal.

        Raises:
            UnknownJobError: it does not, whoever else's it is.
        """
        if job_id not in self._found:
            await self.owner(job_id)
        return job_id

    def _tenant_of(self, asked_for: str | None) -> str | None:
        mine = self._principal.tenant
        if mine is not None and asked_for not in {None, mine}:
            raise ForbiddenError("The key is of another tenant", code="foreign_tenant")
        return mine or asked_for

    def _workflows(self) -> tuple[str, ...] | None:
        workflows = self._principal.workflows
        return None if workflows is None else tuple(sorted(workflows))


def _shared() -> ForbiddenError:
    return ForbiddenError("This call is about all tenants' things, and the key is restricted", code="restricted_key")
