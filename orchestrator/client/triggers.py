"""The plan's functions, one per job: started here or at Trigger.dev, as the connection's switch says.

Both ways take the same arguments and return the same value, so that cut-over and rollback are one variable.
Trigger.dev gets what the platform sent it: its tags and its priorities (domain.md §2), none for enterprise included
(W-21). Here the server knows the plans. Only here has a job a tenant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import msgspec

from orchestrator.client.answers import Problem, Triggered, TriggeredMany
from orchestrator.client.errors import InvalidRequestError
from orchestrator.client.flow import Backend, Flow, Request, ask, backend, new_key
from orchestrator.client.payloads import path, post, without_none

#: Seconds of head start by plan at Trigger.dev: none for enterprise.
_TRIGGER_DEV_PRIORITIES = {"enterprise": None, "pro": 86_400}
_TRIGGER_DEV_OTHER_PRIORITY = 57_600


class IngestionBody(TypedDict):
    """What ``trigger-ingestion-job`` takes."""

    jobId: str
    organizationId: NotRequired[str]


class JobBody(TypedDict):
    """What ``re-ingest-job`` takes."""

    jobId: str


class DeleteDocumentBody(TypedDict):
    """What ``delete-document-job`` takes."""

    documentId: str
    updateCounters: NotRequired[bool]
    skipWebhooks: NotRequired[bool]


class DeleteIngestJobBody(TypedDict):
    """What ``delete-ingest-job`` takes."""

    jobId: str
    skipWebhooks: NotRequired[bool]


class NamespaceBody(TypedDict):
    """What ``delete-namespace-job`` takes."""

    namespaceId: str


class OrganizationBody(TypedDict):
    """What ``delete-organization-job`` and ``meter-org-documents-job`` take."""

    organizationId: str


class Trigger(msgspec.Struct, frozen=True):
    """How one kind of job is started on either side."""

    #: The producer's route.
    route: str
    #: The workflow here, the task at Trigger.dev.
    task: str
    #: The member of the body that its tag names, and the tag's prefix.
    tag_from: str
    tag_prefix: str
    #: Whether an organization's plan gives it a priority.
    ranked: bool = False


INGESTION = Trigger("ingest", "trigger-ingestion-job", "jobId", "job_", ranked=True)
RE_INGEST = Trigger("re-ingest", "re-ingest-job", "jobId", "job_", ranked=True)
DELETE_DOCUMENT = Trigger("delete-document", "delete-document-job", "documentId", "doc_")
DELETE_INGEST_JOB = Trigger("delete-ingest-job", "delete-ingest-job", "jobId", "job_")
DELETE_NAMESPACE = Trigger("delete-namespace", "delete-namespace-job", "namespaceId", "ns_")
DELETE_ORGANIZATION = Trigger("delete-organization", "delete-organization-job", "organizationId", "org_")
METER_ORG_DOCUMENTS = Trigger("meter-org-documents", "meter-org-documents-job", "organizationId", "org_")
TRIGGERS = (
    INGESTION,
    RE_INGEST,
    DELETE_DOCUMENT,
    DELETE_INGEST_JOB,
    DELETE_NAMESPACE,
    DELETE_ORGANIZATION,
    METER_ORG_DOCUMENTS,
)


def trigger_ingestion_job(
    body: IngestionBody, plan: str | None = None, *, idempotency_key: str | None = None, tenant: str | None = None
) -> Flow[Triggered]:
    """Start ``trigger-ingestion-job``: ingest the documents of an ingest job."""
    return start(INGESTION, body, plan=plan, idempotency_key=idempotency_key, tenant=tenant)


def trigger_re_ingest_job(
    body: JobBody, plan: str | None = None, *, idempotency_key: str | None = None, tenant: str | None = None
) -> Flow[Triggered]:
    """Start ``re-ingest-job``: process the documents of an ingest job again."""
    return start(RE_INGEST, body, plan=plan, idempotency_key=idempotency_key, tenant=tenant)


def trigger_delete_document_job(
    body: DeleteDocumentBody, *, idempotency_key: str | None = None, tenant: str | None = None
) -> Flow[Triggered]:
    """Start ``delete-document-job``."""
    return start(DELETE_DOCUMENT, body, idempotency_key=idempotency_key, tenant=tenant)


def trigger_delete_ingest_job(
    body: DeleteIngestJobBody, *, idempotency_key: str | None = None, tenant: str | None = None
) -> Flow[Triggered]:
    """Start ``delete-ingest-job``: delete an ingest job with its documents."""
    return start(DELETE_INGEST_JOB, body, idempotency_key=idempotency_key, tenant=tenant)


def trigger_delete_namespace_job(
    body: NamespaceBody, *, idempotency_key: str | None = None, tenant: str | None = None
) -> Flow[Triggered]:
    """Start ``delete-namespace-job``."""
    return start(DELETE_NAMESPACE, body, idempotency_key=idempotency_key, tenant=tenant)


def trigger_delete_organization_job(
    body: OrganizationBody, *, idempotency_key: str | None = None, tenant: str | None = None
) -> Flow[Triggered]:
    """Start ``delete-organization-job``."""
    return start(DELETE_ORGANIZATION, body, idempotency_key=idempotency_key, tenant=tenant)


def trigger_meter_org_documents_job(
    body: OrganizationBody, *, idempotency_key: str | None = None, tenant: str | None = None
) -> Flow[Triggered]:
    """Start ``meter-org-documents-job``: report an organization's pages to its meter."""
    return start(METER_ORG_DOCUMENTS, body, idempotency_key=idempotency_key, tenant=tenant)


def trigger_meter_org_documents_jobs(
    bodies: Sequence[OrganizationBody], *, idempotency_key: str | None = None, tenant: str | None = None
) -> Flow[TriggeredMany]:
    """Start ``meter-org-documents-job`` once for each organization, up to 1,000; all of them or none."""
    key = idempotency_key or (yield from new_key())
    if not bodies:
        raise InvalidRequestError(422, Problem(code="invalid_request", detail="There is no organization to meter"))
    if (yield from backend()) is Backend.ORCHESTRATOR:
        calls = bodies if tenant is None else [{"body": body, "tenant": tenant} for body in bodies]
        request = _with_key(post(f"/trigger/{METER_ORG_DOCUMENTS.route}", {"items": calls}), key)
        return (yield from ask(request, TriggeredMany))
    items = [
        trigger_dev_body(METER_ORG_DOCUMENTS, body, None, key if len(bodies) == 1 else f"{key}:{index}")
        for index, body in enumerate(bodies)
    ]
    request = post(path("/api/v1/tasks/{}/batch", METER_ORG_DOCUMENTS.task), {"items": items})
    runs = (yield from ask(request, _TriggerDevBatch)).runs
    return TriggeredMany(id=runs[0], ids=runs)


class _TriggerDevBatch(msgspec.Struct, frozen=True):
    runs: list[str]


def start(
    trigger: Trigger,
    body: Mapping[str, object],
    *,
    plan: str | None = None,
    idempotency_key: str | None = None,
    tenant: str | None = None,
) -> Flow[Triggered]:
    """Start a job where the switch says; without an idempotency key the call gets one of its own."""
    key = idempotency_key or (yield from new_key())
    if (yield from backend()) is Backend.ORCHESTRATOR:
        request = _with_key(post(f"/trigger/{trigger.route}", without_none(body=body, plan=plan, tenant=tenant)), key)
    else:
        call = trigger_dev_body(trigger, body, plan, key)
        request = post(path("/api/v1/tasks/{}/trigger", trigger.task), call)
    return (yield from ask(request, Triggered))


def trigger_dev_body(trigger: Trigger, body: Mapping[str, object], plan: str | None, key: str) -> dict[str, object]:
    """Return a call in the form of Trigger.dev's API (https://trigger.dev/docs/management/tasks/trigger)."""
    priority = _TRIGGER_DEV_PRIORITIES.get(plan or "", _TRIGGER_DEV_OTHER_PRIORITY) if trigger.ranked else None
    tagged = body.get(trigger.tag_from)
    tags = None if tagged is None else [f"{trigger.tag_prefix}{tagged}"]
    return {"payload": body, "options": without_none(tags=tags, priority=priority, idempotencyKey=key)}


def _with_key(request: Request, key: str) -> Request:
    return msgspec.structs.replace(request, headers={"idempotency-key": key})
