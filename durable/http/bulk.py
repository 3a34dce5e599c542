"""Many jobs at once: actions on what a list of ids or the catalog names, each judged again by its own object."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from durable.catalog_model import JobQuery
from durable.http import answers, models
from durable.http.access import Scope, needs
from durable.http.host import Host, host_of
from durable.http.jobs import checked
from durable.http.problems import item_problem
from durable.http.shapes import answer
from durable.http.strict import StrictRoute
from durable.http.trail import Trail
from durable.turns import in_turns
from orchestrator.errors import OrchestratorError
from orchestrator.model import ControlJob

router = APIRouter(tags=["control"], route_class=StrictRoute)


@router.post("/v1/jobs/bulk", responses={200: {"model": answers.BulkOut}})
@needs(Scope.OPERATE, "invalid_cursor", "catalog_incomplete")
async def control_jobs(request: Request, body: models.BulkIn) -> Response:
    """Cancel, pause, resume, retry or delete many jobs: those named, or those a filter finds, newest first.

    A job whose state no longer allows it is left alone, and its result says why. A filter's call does at most `limit`
    jobs; repeat it with the cursor that it answers until there is none.
    """
    host = host_of(request)
    only_in = () if body.filter is None or body.filter.status is None else (body.filter.status,)
    action = ControlJob(action=body.action, only_in=only_in, reason=body.reason)
    ids, cursor, incomplete = await _selected(host, body)
    trail = Trail(request, f"{body.action}_job", ids)
    await trail.begin()
    results = await in_turns(ids, lambda job_id: _one(host, job_id, action))
    await trail.end(results)
    return answer(bulk_out(results, cursor, incomplete), exclude_none=True)


def bulk_out(
    results: Sequence[answers.BulkItemOut], cursor: str | None, incomplete: Sequence[str] = ()
) -> answers.BulkOut:
    """Return the answer to an operation on many things."""
    done = sum(item.error is None for item in results)
    return answers.BulkOut(
        done=done,
        refused=len(results) - done,
        results=list(results),
        next_cursor=cursor,
        incomplete=list(incomplete),
    )


async def _selected(host: Host, body: models.BulkIn) -> tuple[list[str], str | None, list[str]]:
    if body.filter is None:
        return list(dict.fromkeys(body.ids or [])), None, []
    found = body.filter
    page = await host.backend.list_jobs(
        JobQuery(
            workflow=found.workflow,
            status=found.status,
            tag=found.tag,
            created_after_ms=models.ms_or_none(found.created_after),
            created_before_ms=models.ms_or_none(found.created_before),
            cursor=body.cursor,
            limit=body.limit,
        )
    )
    return [job.id for job in page.jobs], page.next_cursor, page.incomplete


async def _one(host: Host, job_id: str, action: ControlJob) -> answers.BulkItemOut:
    try:
        status = await host.backend.control(checked(job_id), action)
    except OrchestratorError as error:
        return answers.BulkItemOut(id=job_id, error=item_problem(error))
    return answers.BulkItemOut(id=job_id, status=status)
