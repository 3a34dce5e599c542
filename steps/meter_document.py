"""Reporting one document after it was processed, and ``meter-document-job``, which goes on when Stripe is away."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from orchestrator import JobContext, RetryPolicy, StepFailedError, WorkflowOptions, current_step, workflow
from orchestrator.errors import NonRetryableError
from steps.billing.reports import report_one
from steps.platform import metering
from steps.services import services

#: The document's own job waits a few seconds and no more: its ingest job waits for it.
_SHORT = RetryPolicy(max_attempts=3)
#: About 20 hours, less than reports may be repeated for: 10 s, 20 s, … an hour, and then every hour.
_LONG = RetryPolicy(max_attempts=28, initial_interval_ms=10_000, max_interval_ms=3_600_000)


_EXAMPLE: JsonDict = {
    "documentId": "cdocument000000000000000001",
    "namespaceId": "nsone",
    "pages": 12.5,
    "atMs": 1_700_000_000_000,
}


class MeterDocumentPayload(BaseModel):
    """Which document, what it holds, and when it was processed."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, json_schema_extra={"examples": [_EXAMPLE]})

    document_id: str = Field(min_length=1)
    namespace_id: str = Field(min_length=1)
    pages: float = Field(ge=0)
    at_ms: int = Field(ge=0)


async def meter_document(job: JobContext, document_id: str, namespace_id: str, pages: float) -> bool | None:
    """Report a document that has just been processed; tell whether Stripe has it, None when it is not billed."""
    at_ms = job.now_ms(name="processed at")
    try:
        return await job.options(retry=_SHORT).step("meter", _report, document_id, namespace_id, pages, at_ms)
    except StepFailedError:
        payload = {"documentId": document_id, "namespaceId": namespace_id, "pages": pages, "atMs": at_ms}
        # Whatever becomes of the ingestion, what was processed is billed.
        await job.start_child("meter later", "meter-document-job", payload, on_parent_end="keep")
        return False


@workflow("meter-document-job", options=WorkflowOptions(retry=_LONG, tags=("doc_{document_id}",)))
async def meter_document_job(job: JobContext, payload: MeterDocumentPayload) -> dict[str, object]:
    """Report a document, however long Stripe is away."""
    reported = await job.step("meter", _report, payload.document_id, payload.namespace_id, payload.pages, payload.at_ms)
    return {"documentId": payload.document_id, "metered": bool(reported)}


async def _report(document_id: str, namespace_id: str, pages: float, at_ms: int) -> bool | None:
    current = services()
    if current.settings.stripe.api_key is None:
        return None
    database = current.database()
    customer = await metering.customer_of(database, namespace_id, at_ms)
    if customer is None or customer.stripe_id is None:
        return None
    reported = await report_one(database, customer, document_id, pages, at_ms, current_step().now_ms)
    if reported.unsure:
        raise NonRetryableError(
            "Stripe was told of the document too long ago to tell it again, and did not confirm", code="meter_unsure"
        )
    return True
