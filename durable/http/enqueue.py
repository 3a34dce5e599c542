"""Recording jobs: durable before queued (design.md §4.6)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from durable.http.host import Host
from durable.http.models import JobIn
from orchestrator.errors import InvalidRequestError, OrchestratorError
from orchestrator.ids import derived_job_id, new_job_id
from orchestrator.lifecycle import JobStatus
from orchestrator.model import Created, CreateJob, JobOptions

#: Jobs of one request that are recorded at the same time.
CONCURRENCY = 20

T = TypeVar("T")
R = TypeVar("R")


def request_of(host: Host, job: JobIn, *, header_key: str | None = None) -> CreateJob:
    """Check what was asked for and return it as the engine takes it.

    Args:
        host: the host.
        job: what was asked for.
        header_key: the ``Idempotency-Key`` header.

    Raises:
        UnknownWorkflowError: the workflow is not registered.
        InvalidPayloadError: the payload does not fit its model.
        InvalidRequestError: header and body name different idempotency keys.
    """
    body_key = job.options.idempotency_key
    if header_key and body_key and header_key != body_key:
        raise InvalidRequestError("The Idempotency-Key header and options.idempotency_key differ")
    options = job.options.to_options(idempotency_key=body_key or header_key)
    return request_for(host, job.workflow, job.payload, options)


def request_for(host: Host, workflow: str, payload: object, options: JobOptions) -> CreateJob:
    """Return :func:`request_of` for options that are known."""
    host.registry.get(workflow).parse(payload)
    key = options.idempotency_key
    job_id = derived_job_id(workflow, key) if key else new_job_id(host.clock, host.entropy)
    return CreateJob(job_id=job_id, workflow=workflow, payload=payload, options=options)


async def record(host: Host, request: CreateJob) -> Created:
    """Record a job in its own object; once this returns, the job is not lost any more."""
    return await host.backend.create(request)


async def hand_over(host: Host, workflow: str, created: Iterable[Created]) -> None:
    """Send recorded jobs to their queue. A failed send is no failure: a job nobody picks up sends itself again."""
    ids = [item.id for item in created if item.status is JobStatus.QUEUED]
    if not ids:
        return
    try:
        await host.backend.enqueue(host.registry.get(workflow).options.queue, ids)
    except OrchestratorError as error:
        host.log("warning", "enqueue.postponed", {"jobs": len(ids), "first": ids[0], "error": error.error_code})


async def in_turns(items: Sequence[T], act: Callable[[T], Awaitable[R]]) -> list[R]:
    """Return what ``act`` makes of each item, in order, a few at a time."""
    turn = asyncio.Semaphore(CONCURRENCY)

    async def one(item: T) -> R:
        async with turn:
            return await act(item)

    return await asyncio.gather(*(one(item) for item in items))
