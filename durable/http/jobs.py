"""``/v1/jobs``: record, look, list and control."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query
from pydantic import AwareDatetime
from starlette.requests import Request
from starlette.responses import Response

from durable.catalog_model import JobQuery
from durable.http import answers, enqueue, models, refusals
from durable.http.access import Scope, needs
from durable.http.host import host_of
from durable.http.shapes import answer, answer_unless_known, job_out, step_out, summary_out
from durable.http.strict import StrictRoute
from orchestrator.errors import UnknownJobError
from orchestrator.ids import is_job_id
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import MAX_IDEMPOTENCY_KEY_CHARS, MAX_NAME_CHARS, MAX_TAG_CHARS

MAX_PAGE = 200

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)

JobId = Annotated[str, Path(description="A job's id", examples=["run_01kx3m0d5v9q8w7e6r5t4y3u2z"])]
Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", max_length=MAX_IDEMPOTENCY_KEY_CHARS, description="As options.idempotency_key"),
]
#: Leaves room for what tells the items apart.
BatchKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=MAX_IDEMPOTENCY_KEY_CHARS - 10,
        description="The call may be repeated: each item without a key of its own gets this one and its position",
    ),
]
Partial = Annotated[
    bool, Query(description="Answer without the catalog's shards that do not answer, and name them, instead of 503")
]


def location_of(job_id: str) -> str:
    """Return where a job's status is found."""
    return f"/v1/jobs/{job_id}"


def checked(job_id: str) -> str:
    """Return ``job_id`` if a job may be called so; no object is made for what cannot be a job.

    Raises:
        UnknownJobError: it has another form.
    """
    if not is_job_id(job_id):
        raise UnknownJobError
    return job_id


@router.post("", status_code=202, responses={202: {"model": answers.AcceptedOut, "headers": answers.LOCATION}})
@needs(Scope.ENQUEUE, *refusals.ENQUEUE, "idempotency_keys_differ")
async def create_job(request: Request, body: models.JobIn, idempotency_key: Key = None) -> Response:
    """Record a job. When 202 is answered it is durable, whatever happens to the queue."""
    host = host_of(request)
    created = await enqueue.record(host, enqueue.request_of(host, body, "body.payload", header_key=idempotency_key))
    await enqueue.hand_over(host, body.workflow, [created])
    accepted = answers.AcceptedOut(id=created.id, status=created.status, deduplicated=created.deduplicated)
    return answer(accepted, status=202, location=location_of(created.id))


@router.get(
    "/{job_id}",
    responses={200: {"model": answers.JobOut, "headers": answers.ETAG}, 304: answers.NOT_MODIFIED},
)
@needs(Scope.READ, "unknown_job")
async def get_job(request: Request, job_id: JobId, if_none_match: answers.IfNoneMatch = None) -> Response:
    """A job's status, exact at this moment."""
    return answer_unless_known(request, job_out(await host_of(request).backend.view(checked(job_id))))


@router.delete("/{job_id}", status_code=204, responses={204: {"description": "It is no more"}})
@needs(Scope.OPERATE, "unknown_job", "conflict")
async def delete_job(request: Request, job_id: JobId) -> Response:
    """Delete a job that has ended, with everything that is stored of it. Its id and idempotency key are free again."""
    await host_of(request).backend.delete(checked(job_id))
    return Response(status_code=204)


@router.get(
    "/{job_id}/steps",
    responses={200: {"model": answers.StepsOut, "headers": answers.ETAG}, 304: answers.NOT_MODIFIED},
)
@needs(Scope.READ, "unknown_job")
async def get_job_steps(request: Request, job_id: JobId, if_none_match: answers.IfNoneMatch = None) -> Response:
    """The steps of a job's journal."""
    steps = await host_of(request).backend.steps(checked(job_id))
    return answer_unless_known(request, answers.StepsOut(steps=[step_out(step) for step in steps]))


@router.get("", responses={200: {"model": answers.JobsOut}})
@needs(Scope.READ, "invalid_cursor", "foreign_tenant", "catalog_incomplete")
async def list_jobs(
    request: Request,
    workflow: Annotated[str | None, Query(max_length=MAX_NAME_CHARS)] = None,
    status: JobStatus | None = None,
    tag: Annotated[str | None, Query(max_length=MAX_TAG_CHARS)] = None,
    tenant: Annotated[str | None, Query(max_length=MAX_NAME_CHARS)] = None,
    created_after: AwareDatetime | None = None,
    created_before: AwareDatetime | None = None,
    cursor: Annotated[str | None, Query(max_length=models.MAX_CURSOR_CHARS)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    partial: Partial = False,
) -> Response:
    """Jobs from the catalog, newest first."""
    query = JobQuery(
        workflow=workflow,
        status=status,
        tag=tag,
        tenant=tenant,
        created_after_ms=models.ms_or_none(created_after),
        created_before_ms=models.ms_or_none(created_before),
        cursor=cursor,
        limit=limit,
        partial=partial,
    )
    page = await host_of(request).backend.list_jobs(query)
    jobs = [summary_out(job) for job in page.jobs]
    return answer(answers.JobsOut(jobs=jobs, next_cursor=page.next_cursor, incomplete=page.incomplete))
