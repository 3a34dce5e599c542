"""``delete-organization-job``: removes an organization with all its namespaces (domain.md §2.7)."""

from __future__ import annotations

from functools import partial

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from orchestrator import ChildRequest, JobContext, LanePolicy, Page, WorkflowOptions, workflow
from steps.delete_ingest_job import uncounted
from steps.delete_namespace import drop_cached_webhooks
from steps.deletion import DELETE_RETRY, delete_downwards
from steps.patience import ROW_RETRY
from steps.platform import deletion
from steps.services import services

#: Namespaces deleted at a time (domain.md §2.7).
WINDOW = 30


class DeleteOrganizationPayload(BaseModel):
    """Which organization."""

    model_config = ConfigDict(
        alias_generator=to_camel, frozen=True, json_schema_extra={"examples": [{"organizationId": "org1"}]}
    )

    organization_id: str = Field(min_length=1)


async def give_up(job: JobContext, payload: BaseModel, error: str) -> None:
    """Let the deletion be requested again (W-01)."""
    if not isinstance(payload, DeleteOrganizationPayload):
        raise TypeError(type(payload).__name__)
    await job.options(retry=ROW_RETRY).step("reopen", _reopen, payload.organization_id)


@workflow(
    "delete-organization-job",
    options=WorkflowOptions(
        retry=DELETE_RETRY,
        queue="agentset-delete-org-queue",
        lane=LanePolicy(name="delete-organization", concurrency=50),
        tags=("org_{organization_id}",),
        on_failure=give_up,
        on_cancel=give_up,
        retried_from="scratch",
    ),
)
async def delete_organization(job: JobContext, payload: DeleteOrganizationPayload) -> dict[str, object]:
    """Delete the webhooks, every namespace, and then the organization's row."""
    organization_id = payload.organization_id
    if not await job.step("begin", _begin, organization_id):
        return {"organizationId": organization_id, "deleted": False, "reason": "Organization not found"}
    await job.step("drop cached webhooks", drop_cached_webhooks, organization_id)

    async def below(strict: bool) -> int:
        children = await job.map_children(
            "namespaces",
            "delete-namespace-job",
            DeletionsOf(organization_id),
            reduce=uncounted,
            state=0,
            window=WINDOW,
            on_failure="fail_fast" if strict else "collect",
            unit="namespaces",
        )
        return children.failed

    await delete_downwards(job, below, partial(_remove, organization_id))
    return {"organizationId": organization_id, "deleted": True}


class DeletionsOf:
    """The namespaces of an organization, whatever their status, each as a delete. Implements ``Source``.

    Args:
        organization_id: the ``organization`` row.
    """

    def __init__(self, organization_id: str) -> None:
        self._organization_id = organization_id

    async def read(self, cursor: object, limit: int, /) -> Page[ChildRequest]:
        """Return the next namespaces; the cursor is the last one's id."""
        after = cursor if isinstance(cursor, str) else ""
        ids = await deletion.namespaces_after(services().database(), self._organization_id, after, limit)
        requests = [ChildRequest(key=row_id, payload={"namespaceId": row_id}) for row_id in ids]
        return Page(requests, ids[-1] if ids else after, done=len(ids) < limit)


async def _begin(organization_id: str) -> bool:
    async with services().database().transaction() as connection:
        return await deletion.begin_organization(connection, organization_id)


async def _remove(organization_id: str) -> bool:
    async with services().database().transaction() as connection:
        return await deletion.remove_organization(connection, organization_id)


async def _reopen(organization_id: str) -> None:
    async with services().database().transaction() as connection:
        await deletion.reopen_organization(connection, organization_id)
