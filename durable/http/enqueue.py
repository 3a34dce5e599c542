"""Recording jobs: durable before queued (design.md §4.6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import msgspec

from durable.http.host import Host
from durable.http.models import JobIn
from orchestrator.errors import InvalidPayloadError, InvalidRequestError, OrchestratorError, RetryableError
from orchestrator.ids import new_job_id
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import MAX_GENERATIONS_ASKED
from orchestrator.model import Created, CreateJob, JobOptions
from orchestrator.options import check
from orchestrator.reuse import keyed_job_id


def request_of(host: Host, job: JobIn, payload_at: str, *, header_key: str | None = None) -> CreateJob:
    """Check what was asked for and return it as the engine takes it.

    Args:
        host: the host.
        job: what was asked for.
        payload_at: where its payload is in the request, for the paths of faults.
        header_key: the ``Idempotency-Key`` header.

    Raises:
        UnknownWorkflowError: the workflow is not registered.
        InvalidPayloadError: the payload does not fit its model.
        InvalidRequestError: header and body name different idempotency keys (code ``idempotency_keys_differ``).
        ContradictionError: two options exclude each other.
        ForbiddenError: the caller's key is not for this workflow or tenant.
    """
    policy = job.options.idempotency
    keys = {header_key, job.options.idempotency_key, None if policy is None else policy.key} - {None, ""}
    if len(keys) > 1:
        detail = "The Idempotency-Key header and the options name different keys"
        raise InvalidRequestError(detail, code="idempotency_keys_differ")
    options = job.options.to_options(idempotency_key=next(iter(keys), None), now_ms=host.clock.now_ms())
    return request_for(host, job.workflow, job.payload, options, payload_at)


def request_for(host: Host, workflow: str, payload: object, options: JobOptions, payload_at: str) -> CreateJob:
    """Return :func:`request_of` for options that are known."""
    check(options)
    options = host.principal.confine(workflow, options)
    _check_payload(host, workflow, payload, payload_at)
    key = options.idempotency_key
    job_id = keyed_job_id(workflow, key, tenant=options.tenant) if key else new_job_id(host.clock, host.entropy)
    return CreateJob(job_id=job_id, workflow=workflow, payload=payload, options=options)


def _check_payload(host: Host, workflow: str, payload: object, payload_at: str) -> None:
    try:
        host.registry.get(workflow).parse(payload)
    except InvalidPayloadError as error:
        faults = cast("list[dict[str, str]]", error.details["errors"])
        placed = [{**fault, "path": f"{payload_at}.{fault['path']}".rstrip(".")} for fault in faults]
        raise InvalidPayloadError(str(error), details={"errors": placed}) from None


async def record(host: Host, request: CreateJob) -> Created:
    """Record a job in its own object; once this returns, the job is not lost any more.

    A key that was used again leads from its first job's object to the one that answers for it now.
    """
    created = await host.backend.create(request)
    key, tenant = request.options.idempotency_key, request.options.tenant
    asked = 1
    while created.successor is not None and key is not None:
        if asked > MAX_GENERATIONS_ASKED:
            raise RetryableError("The key's jobs changed while they were asked", code="object_unreachable")
        job_id = keyed_job_id(request.workflow, key, created.successor, tenant=tenant)
        following = msgspec.structs.replace(request, job_id=job_id, generation=created.successor)
        created = await host.backend.create(following)
        asked += 1
        if created.successor is None and asked > 2:
            await _shorten(host, keyed_job_id(request.workflow, key, tenant=tenant), following.generation)
    return created


async def _shorten(host: Host, first_id: str, generation: int) -> None:
    """Have the next request with a key go from its first job straight to its latest; the way there is only longer."""
    try:
        await host.backend.supersede(first_id, generation)
    except OrchestratorError as error:
        host.log("warning", "supersede.failed", {"job_id": first_id, "error": error.error_code})


async def hand_over(host: Host, workflow: str, created: Iterable[Created]) -> None:
    """Send recorded jobs to their queue. A failed send is no failure: a job nobody picks up sends itself again.

    Raises:
        RetryableError: neither the queue nor the catalog takes note of them, so nobody would miss one that is lost.
    """
    ids = [item.id for item in created if item.status is JobStatus.QUEUED]
    if not ids:
        return
    try:
        await host.backend.enqueue(host.registry.get(workflow).options.queue, ids)
    except OrchestratorError as error:
        host.log("warning", "enqueue.postponed", {"jobs": len(ids), "first": ids[0], "error": error.error_code})
        await host.backend.expect(ids)
