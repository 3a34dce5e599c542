"""Control of a job: cancel, pause, resume, retry, events; and the tokens that outside systems complete."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from durable.http import answers, models
from durable.http.access import Scope, by_token, needs
from durable.http.host import host_of
from durable.http.jobs import JobId, checked
from durable.http.shapes import answer
from durable.http.strict import StrictRoute
from orchestrator.ids import checked_name
from orchestrator.model import ControlJob, RetryJob
from orchestrator.tokens import TokenAddress

TokenId = Annotated[
    str, Path(description="A token's id", examples=["waitpoint_01kx3m0d5v9q8w7e6r5t4y3u2z_YXBwcm92YWw"])
]

router = APIRouter(prefix="/v1/jobs", tags=["control"], route_class=StrictRoute)
token_router = APIRouter(tags=["tokens"], route_class=StrictRoute)


@router.post("/{job_id}/cancel", status_code=202, responses={202: {"model": answers.StatusOut}})
@needs(Scope.OPERATE, "unknown_job", "conflict")
async def cancel_job(request: Request, job_id: JobId, body: models.CancelIn | None = None) -> Response:
    """Ask a job to stop. Steps under way end first, and the workflow's own cleaning up runs."""
    status = await host_of(request).backend.cancel(checked(job_id), body.reason if body else "")
    return answer(answers.StatusOut(id=job_id, status=status), status=202)


@router.post("/{job_id}/pause", status_code=202, responses={202: {"model": answers.StatusOut}})
@needs(Scope.OPERATE, "unknown_job", "conflict")
async def pause_job(request: Request, job_id: JobId) -> Response:
    """Have a job start nothing new. Time spent paused does not count for its waits and timeouts."""
    status = await host_of(request).backend.pause(checked(job_id))
    return answer(answers.StatusOut(id=job_id, status=status), status=202)


@router.post("/{job_id}/resume", status_code=202, responses={202: {"model": answers.StatusOut}})
@needs(Scope.OPERATE, "unknown_job", "conflict", "budget_exceeded")
async def resume_job(request: Request, job_id: JobId, body: models.ResumeIn | None = None) -> Response:
    """Have a paused job go on; one that has used up its budget with a larger one."""
    budget = models.BudgetIn() if body is None or body.budget is None else body.budget
    wish = ControlJob(action="resume", budget=budget.to_budget())
    status = await host_of(request).backend.control(checked(job_id), wish)
    return answer(answers.StatusOut(id=job_id, status=status), status=202)


@router.post("/{job_id}/retry", status_code=202, responses={202: {"model": answers.StatusOut}})
@needs(Scope.OPERATE, "unknown_job", "conflict", "unknown_step", "job_undone")
async def retry_job(request: Request, job_id: JobId, body: models.RetryIn | None = None) -> Response:
    """Run a job that ended without success again: from its failed steps, a named step, or scratch."""
    wish = RetryJob(from_step=body.from_step, scratch=body.scratch) if body else RetryJob()
    status = await host_of(request).backend.retry(checked(job_id), wish)
    return answer(answers.StatusOut(id=job_id, status=status), status=202)


@router.post("/{job_id}/events/{name}", status_code=202, responses={202: {"model": answers.EventAcceptedOut}})
@needs(
    Scope.OPERATE,
    "unknown_job",
    "job_ended",
    "inbox_full",
    "invalid_name",
    "value_too_large",
    "value_not_encodable",
    "invalid_payload",
)
async def send_event(
    request: Request,
    job_id: JobId,
    name: Annotated[str, Path(description="The event's name", examples=["signed"])],
    body: models.EventIn | None = None,
) -> Response:
    """Hand an event to a job, which may wait for it now or later."""
    event = body or models.EventIn()
    checked_name(name, what="event name")
    await host_of(request).backend.deliver_event(checked(job_id), name, event.id, event.data)
    return answer(answers.EventAcceptedOut(id=job_id, event=name), status=202)


@token_router.post(
    "/api/v1/waitpoints/tokens/{token_id}/complete",
    responses={200: {"model": answers.TokenOut}},
)
@by_token("unknown_token", "value_not_encodable", "invalid_payload")
async def complete_token(request: Request, token_id: TokenId, body: models.TokenIn) -> Response:
    """Complete a token with its own access token as the bearer; completing it again, or too late, changes nothing."""
    address = cast("TokenAddress", request.scope["token"])  # the gate has checked the bearer
    await host_of(request).backend.complete_token(address, body.data)
    return answer(answers.TokenOut())
