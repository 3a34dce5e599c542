"""``meter-org-documents-job``: reports the pages an organization holds, for its billing period (domain.md §2.8)."""

from __future__ import annotations

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from orchestrator import (
    Batch,
    BatchSize,
    JobContext,
    LanePolicy,
    NonRetryableError,
    Page,
    RetryPolicy,
    WorkflowOptions,
    current_step,
    workflow,
)
from steps.billing.reports import Stream
from steps.billing.stripe import MAX_EVENTS, StripeMeter
from steps.platform import metering
from steps.platform.metering import Customer, Held
from steps.services import services

#: An outage of Stripe or the database is waited for: about six hours, far less than reports may be repeated for.
_RETRY = RetryPolicy(max_attempts=20, max_interval_ms=1_800_000)
_PAGE = BatchSize(initial=MAX_EVENTS, minimum=MAX_EVENTS, maximum=MAX_EVENTS)
_LANE = LanePolicy(name="meter-org-documents", concurrency=50)
_NOT_BILLED = "Not a pro plan or no Stripe customer ID"
_NOTHING = "No documents to meter"


class MeterPayload(BaseModel):
    """Whose pages."""

    model_config = ConfigDict(
        alias_generator=to_camel, frozen=True, json_schema_extra={"examples": [{"organizationId": "org1"}]}
    )

    organization_id: str = Field(min_length=1)


class Position(msgspec.Struct, frozen=True):
    """Where the walk through an organization's documents is."""

    namespace_id: str
    #: Creation time and id of the last document; None before the namespace's first one.
    before: tuple[str, str] | None = None


class Total(msgspec.Struct, frozen=True):
    """What was walked so far."""

    documents: int = 0
    pages: float = 0.0
    unsure: int = 0


class BilledDocuments:
    """An organization's documents with pages: namespace by namespace, the newest first. Implements ``Source``.

    Args:
        organization_id: whose.
    """

    def __init__(self, organization_id: str) -> None:
        self._organization_id = organization_id

    async def read(self, cursor: object, limit: int, /) -> Page[Held]:
        """Return the next documents of one namespace; none of them at a namespace's end."""
        database = services().database()
        position = None if cursor is None else msgspec.convert(cursor, Position)
        if position is None:
            first = await metering.namespace_after(database, self._organization_id, "")
            if first is None:
                return Page([], None, done=True)
            position = Position(first)
        items = await metering.held_before(database, position.namespace_id, position.before, limit)
        if len(items) == limit:
            last = (items[-1].created_at, items[-1].id)
            return Page(items, msgspec.to_builtins(Position(position.namespace_id, last)), done=False)
        following = await metering.namespace_after(database, self._organization_id, position.namespace_id)
        after = None if following is None else msgspec.to_builtins(Position(following))
        return Page(items, after, done=following is None)


@workflow(
    "meter-org-documents-job",
    options=WorkflowOptions(
        retry=_RETRY, queue="agentset-meter-docs-queue", lane=_LANE, tags=("org_{organization_id}",)
    ),
)
async def meter_org_documents(job: JobContext, payload: MeterPayload) -> dict[str, object]:
    """Report every document of an organization once for the period that began last."""
    organization_id = payload.organization_id
    customer = await job.step("load", _load, organization_id)
    if customer.stripe_id is None:
        return {"organizationId": organization_id, "metered": False, "reason": _NOT_BILLED}
    stream = Stream()

    async def report(batch: Batch[Held, Total]) -> Total:
        if not batch.items:
            return batch.state
        reported = await stream.report(customer, batch.items, current_step().now_ms)
        return Total(
            batch.state.documents + len(batch.items),
            batch.state.pages + sum(item.pages for item in batch.items),
            batch.state.unsure + reported.unsure,
        )

    result = await job.each(
        "documents", BilledDocuments(organization_id), report, state=Total(), batch=_PAGE, unit="documents"
    )
    total = result.state
    if total.unsure:
        # See docs/decisions/0037-metering.md: whether Stripe has these nobody can know any more.
        job.set_metadata("unsure", total.unsure)
    if not total.documents:
        return {"organizationId": organization_id, "metered": False, "reason": _NOTHING, "documentsProcessed": 0}
    return {
        "organizationId": organization_id,
        "metered": True,
        "stripeCustomerId": customer.stripe_id,
        "documentsProcessed": total.documents,
        "pagesProcessed": total.pages,
    }


async def _load(organization_id: str) -> Customer:
    current = services()
    found = await metering.customer(current.database(), organization_id, current_step().now_ms)
    if found is None:
        raise NonRetryableError("Organization not found", code="organization_not_found")
    if found.stripe_id is not None:
        # Before anything is begun that could not be ended.
        StripeMeter(current.http, current.settings.stripe)
    return found
