"""``/v1/dead-letters``: what gave up, and trying it again."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime
from starlette.requests import Request
from starlette.responses import Response

from durable.catalog_model import DeadLetterQuery, Redriven
from durable.http import answers, models
from durable.http.access import Scope, needs
from durable.http.bulk import bulk_out
from durable.http.host import Host, host_of
from durable.http.jobs import MAX_PAGE, Partial
from durable.http.problems import item_problem
from durable.http.shapes import answer, dead_letter_out
from durable.http.strict import StrictRoute
from durable.http.trail import Trail
from durable.turns import in_turns
from orchestrator.errors import ConflictError, OrchestratorError
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import MAX_NAME_CHARS
from orchestrator.model import DeadLetter, RetryJob

router = APIRouter(prefix="/v1/dead-letters", tags=["operations"], route_class=StrictRoute)

LetterId = Annotated[str, Path(max_length=MAX_NAME_CHARS, examples=["job:run_01kx3m0d5v9q8w7e6r5t4y3u2z"])]


@router.get("", responses={200: {"model": answers.DeadLettersOut}})
@needs(Scope.READ, "invalid_cursor", "catalog_incomplete")
async def list_dead_letters(
    request: Request,
    kind: Literal["job", "step", "message"] | None = None,
    workflow: Annotated[str | None, Query(max_length=MAX_NAME_CHARS)] = None,
    redriven: bool | None = None,
    created_after: AwareDatetime | None = None,
    created_before: AwareDatetime | None = None,
    cursor: Annotated[str | None, Query(max_length=models.MAX_CURSOR_CHARS)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    partial: Partial = False,
) -> Response:
    """Jobs, steps and messages that gave up, newest first, each with its cause, attempts and where its payload is."""
    query = DeadLetterQuery(
        kind=kind,
        workflow=workflow,
        redriven=redriven,
        created_after_ms=models.ms_or_none(created_after),
        created_before_ms=models.ms_or_none(created_before),
        cursor=cursor,
        limit=limit,
        partial=partial,
    )
    page = await host_of(request).backend.list_dead_letters(query)
    letters = [dead_letter_out(letter) for letter in page.dead_letters]
    return answer(
        answers.DeadLettersOut(dead_letters=letters, next_cursor=page.next_cursor, incomplete=page.incomplete)
    )


@router.post("/redrive", responses={200: {"model": answers.BulkOut}})
@needs(Scope.OPERATE, "invalid_cursor", "catalog_incomplete")
async def redrive_dead_letters(request: Request, body: models.RedriveIn) -> Response:
    """Try many dead letters again: those named, or those that a filter finds and nobody has tried again yet."""
    host = host_of(request)
    if body.filter is None:
        ids = list(dict.fromkeys(body.ids or []))
        trail = Trail(request, "redrive_dead_letter", ids)
        await trail.begin()
        results = await in_turns(ids, lambda item: _named(host, item))
        await trail.end(results)
        return answer(bulk_out(results, None), exclude_none=True)
    query = DeadLetterQuery(
        kind=body.filter.kind,
        workflow=body.filter.workflow,
        redriven=False,
        created_after_ms=models.ms_or_none(body.filter.created_after),
        created_before_ms=models.ms_or_none(body.filter.created_before),
        cursor=body.cursor,
        limit=body.limit,
    )
    page = await host.backend.list_dead_letters(query)
    trail = Trail(request, "redrive_dead_letter", [letter.id for letter in page.dead_letters])
    await trail.begin()
    results = await in_turns(page.dead_letters, lambda letter: _one(host, letter))
    await trail.end(results)
    return answer(bulk_out(results, page.next_cursor, page.incomplete), exclude_none=True)


@router.post(
    "/{letter_id}/redrive",
    status_code=202,
    responses={202: {"model": answers.RedrivenOut}},
)
@needs(
    Scope.OPERATE,
    "unknown_dead_letter",
    "unknown_job",
    "unknown_workflow",
    "unknown_step",
    "conflict",
    "not_redrivable",
    "catalog_incomplete",
    "queue_unavailable",
)
async def redrive_dead_letter(request: Request, letter_id: LetterId, body: models.RetryIn | None = None) -> Response:
    """Try again what gave up: a job runs its steps that gave up again, a message is sent again."""
    host = host_of(request)
    letter = await host.backend.get_dead_letter(letter_id)
    wish = RetryJob(from_step=body.from_step, scratch=body.scratch) if body else RetryJob()
    status = await _redrive(host, letter, wish)
    return answer(answers.RedrivenOut(id=letter_id, job_id=letter.job_id or "", status=status), status=202)


async def _named(host: Host, letter_id: str) -> answers.BulkItemOut:
    try:
        letter = await host.backend.get_dead_letter(letter_id)
    except OrchestratorError as error:
        return answers.BulkItemOut(id=letter_id, error=item_problem(error))
    return await _one(host, letter)


async def _one(host: Host, letter: DeadLetter) -> answers.BulkItemOut:
    try:
        status = await _redrive(host, letter, RetryJob())
    except OrchestratorError as error:
        return answers.BulkItemOut(id=letter.id, job_id=letter.job_id, error=item_problem(error))
    return answers.BulkItemOut(id=letter.id, job_id=letter.job_id, status=status)


async def _retry_steps(host: Host, job_id: str, wish: RetryJob) -> JobStatus:
    """Run the steps of a completed job that gave up again. One retry is for all of them: it may run already."""
    try:
        return await host.backend.retry(job_id, wish)
    except ConflictError:
        status = (await host.backend.view(job_id)).status
        if status is JobStatus.COMPLETED:
            raise
        return status


async def _redrive(host: Host, letter: DeadLetter, wish: RetryJob) -> JobStatus:
    """Run a letter's job again, or send its message again; return the job's status.

    Raises:
        ConflictError: the message named no job (code ``not_redrivable``), or the job's state does not allow it.
        UnknownJobError: the job is gone.
    """
    if letter.job_id is None:
        raise ConflictError("The message named no job, so there is nothing to send again", code="not_redrivable")
    if letter.kind == "job":
        status = await host.backend.retry(letter.job_id, wish)
    elif letter.kind == "step":
        status = await _retry_steps(host, letter.job_id, wish)
    else:
        job = await host.backend.view(letter.job_id)
        status = job.status
        if status is JobStatus.QUEUED:  # any other status shows that the message is not needed any more
            await host.backend.enqueue(host.registry.get(job.workflow).options.queue, [job.id])
    await host.backend.mark_redriven(Redriven(id=letter.id, at_ms=host.clock.now_ms()))
    return status
