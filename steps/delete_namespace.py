"""``delete-namespace-job``: removes a namespace with everything in it (domain.md §2.6)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from orchestrator import ChildRequest, JobContext, LanePolicy, Page, WorkflowOptions, workflow
from steps.contents import remove_prefix, store_of
from steps.delete_ingest_job import uncounted
from steps.deletion import DELETE_RETRY, delete_downwards, limit_pinecone_deletes
from steps.patience import CLEANUP_RETRY, ROW_RETRY
from steps.platform import deletion
from steps.platform.deletion import DoomedNamespace
from steps.redis import redis_for
from steps.services import services

#: Ingest jobs deleted at a time (domain.md §2.6).
WINDOW = 30
#: Tenants whose vector namespaces are removed; those of further ones stay, empty.
MAX_TENANTS = 5_000


class DeleteNamespacePayload(BaseModel):
    """Which namespace."""

    model_config = ConfigDict(
        alias_generator=to_camel, frozen=True, json_schema_extra={"examples": [{"namespaceId": "nsone"}]}
    )

    namespace_id: str = Field(min_length=1)


async def give_up(job: JobContext, payload: BaseModel, error: str) -> None:
    """Let the deletion be requested again (W-01)."""
    if not isinstance(payload, DeleteNamespacePayload):
        raise TypeError(type(payload).__name__)
    await job.options(retry=ROW_RETRY).step("reopen", _reopen, payload.namespace_id)


@workflow(
    "delete-namespace-job",
    options=WorkflowOptions(
        retry=DELETE_RETRY,
        queue="agentset-delete-namespace-queue",
        lane=LanePolicy(name="delete-namespace", concurrency=50),
        tags=("ns_{namespace_id}",),
        on_failure=give_up,
        on_cancel=give_up,
        retried_from="scratch",
    ),
)
async def delete_namespace(job: JobContext, payload: DeleteNamespacePayload) -> dict[str, object]:
    """Delete every ingest job, what else lies under the namespace's name, and then its row."""
    namespace_id = payload.namespace_id
    doomed = await job.step("begin", _begin, namespace_id)
    if doomed is None:
        return {"namespaceId": namespace_id, "deleted": False, "reason": "Namespace not found"}
    tenants = await job.step("find tenants", find_tenants, namespace_id)

    async def below(strict: bool) -> int:
        children = await job.map_children(
            "ingest jobs",
            "delete-ingest-job",
            DeletionsOf(namespace_id),
            reduce=uncounted,
            state=0,
            window=WINDOW,
            on_failure="fail_fast" if strict else "collect",
            unit="ingest jobs",
        )
        if not children.failed:
            await _remove_leftovers(job, namespace_id, doomed, tenants)
        return children.failed

    await delete_downwards(job, below, partial(_remove, namespace_id))
    # The row is gone: nobody can ask for this again.
    cleanup = job.options(retry=CLEANUP_RETRY)
    await cleanup.step("drop cached webhooks", drop_cached_webhooks, doomed.organization_id)
    return {"namespaceId": namespace_id, "deleted": True}


class DeletionsOf:
    """The ingest jobs of a namespace in the order of their creation, each as a delete. Implements ``Source``.

    Args:
        namespace_id: the ``namespace`` row.
    """

    def __init__(self, namespace_id: str) -> None:
        self._namespace_id = namespace_id

    async def read(self, cursor: object, limit: int, /) -> Page[ChildRequest]:
        """Return the next ingest jobs; the cursor is the last one's place and id."""
        after = None if cursor is None else msgspec.convert(cursor, tuple[str, str])
        found = await deletion.ingest_jobs_after(services().database(), self._namespace_id, after, limit)
        requests = [ChildRequest(key=row.id, payload={"jobId": row.id, "skipWebhooks": True}) for row in found]
        return Page(requests, (found[-1].at, found[-1].id) if found else after, done=len(found) < limit)


async def _remove_leftovers(
    job: JobContext, namespace_id: str, doomed: DoomedNamespace, tenants: Sequence[str]
) -> None:
    """Remove what no document has: the hosted page's images, unused uploads, and the vector namespaces (W-18)."""
    await job.step("remove assets", remove_assets, doomed.asset_urls)
    if await job.step("remove uploads", remove_uploads, namespace_id):
        for tenant_id in (None, *tenants):
            if doomed.on_pinecone:
                await limit_pinecone_deletes(job, namespace_id, tenant_id)
            await job.step("drop vectors", drop_vectors, namespace_id, tenant_id)


async def find_tenants(namespace_id: str) -> list[str]:
    """Return the tenants that have a vector namespace of their own: once the rows are gone nobody knows them."""
    return await deletion.tenants_after(services().database(), namespace_id, "", MAX_TENANTS)


async def remove_assets(urls: Sequence[str]) -> None:
    """Remove the images of the hosted page: those whose address is the bucket's."""
    current = services()
    prefix = f"{current.settings.platform.assets_url}/"
    keys = [url.removeprefix(prefix) for url in urls if url.startswith(prefix)]
    if keys:
        await current.assets.delete(*keys)


async def remove_uploads(namespace_id: str) -> bool:
    """Remove every object under the namespace's name; tell whether leftovers are to go and nothing uses them."""
    current = services()
    if current.settings.platform.namespace_leftovers == "keep":
        return False
    if await deletion.ingest_jobs_after(current.database(), namespace_id, None, 1):
        return False
    for bucket in (current.blobs, current.images):
        await remove_prefix(bucket, f"namespaces/{namespace_id}/")
    return True


async def drop_vectors(namespace_id: str, tenant_id: str | None) -> None:
    """Remove what is left of a vector namespace: vectors of documents whose rows went without them (W-04, W-07)."""
    await (await store_of(namespace_id, tenant_id)).drop()


async def drop_cached_webhooks(organization_id: str) -> None:
    """Have the platform read the organization's webhooks again (W-08)."""
    current = services()
    redis = redis_for(current.settings.redis, current.http)
    if redis is not None:
        await redis.delete([f"webhook:org:{organization_id}"])


async def _begin(namespace_id: str) -> DoomedNamespace | None:
    return await deletion.begin_namespace(services().database(), namespace_id)


async def _remove(namespace_id: str) -> bool:
    exact = services().settings.platform.namespace_count == "exact"
    async with services().database().transaction() as connection:
        return await deletion.remove_namespace(connection, namespace_id, exact=exact)


async def _reopen(namespace_id: str) -> None:
    await deletion.reopen_namespace(services().database(), namespace_id)
