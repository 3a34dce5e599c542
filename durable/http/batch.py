"""``POST /v1/jobs/batch``: many jobs in one request, each judged by itself."""

from __future__ import annotations

from collections import defaultdict

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from durable.http import answers, enqueue, models
from durable.http.access import Scope, needs
from durable.http.host import Host, host_of
from durable.http.jobs import BatchKey
from durable.http.problems import Problem, faults_of, item_problem, problem_document
from durable.http.shapes import answer
from durable.http.strict import StrictRoute
from durable.turns import in_turns
from orchestrator.errors import OrchestratorError
from orchestrator.model import Created

router = APIRouter(tags=["jobs"], route_class=StrictRoute)


@router.post("/v1/jobs/batch", status_code=202, responses={202: {"model": answers.BatchOut}})
@needs(Scope.ENQUEUE)
async def create_jobs(request: Request, body: models.BatchIn, idempotency_key: BatchKey = None) -> Response:
    """Record up to 1,000 jobs. Each accepted one is durable when 202 is answered; the others carry their problem."""
    host = host_of(request)

    def key_at(index: int) -> str | None:
        return None if idempotency_key is None else f"{idempotency_key}:{index}"

    outcomes = await in_turns(list(enumerate(body.items)), lambda place: _one(host, place[1], key_at(place[0])))
    by_workflow: defaultdict[str, list[Created]] = defaultdict(list)
    for workflow, outcome in outcomes:
        if isinstance(outcome, Created):
            by_workflow[workflow].append(outcome)
    for workflow, created in by_workflow.items():
        await enqueue.hand_over(host, workflow, created)
    results = [_result(index, outcome) for index, (_, outcome) in enumerate(outcomes)]
    accepted = sum(item.error is None for item in results)
    outcome = answers.BatchOut(accepted=accepted, rejected=len(results) - accepted, results=results)
    return answer(outcome, status=202, exclude_none=True)


async def _one(host: Host, item: object, shared_key: str | None) -> tuple[str, Created | Problem]:
    """Return the item's workflow, and the job or the problem that became of it."""
    try:
        job = models.JobIn.model_validate(item)
    except ValidationError as error:
        faults = faults_of([dict(fault) for fault in error.errors(include_url=False, include_input=False)])
        document = problem_document(422, "invalid_request", "The item does not fit", extra={"errors": faults})
        return "", Problem.model_validate(document)
    try:
        own_key = job.options.idempotency_key or job.options.idempotency
        key = None if own_key else shared_key
        return job.workflow, await enqueue.record(host, enqueue.request_of(host, job, "payload", header_key=key))
    except OrchestratorError as error:
        return job.workflow, item_problem(error)


def _result(index: int, outcome: Created | Problem) -> answers.BatchItemOut:
    if isinstance(outcome, Created):
        return answers.BatchItemOut(
            index=index, id=outcome.id, status=outcome.status, deduplicated=outcome.deduplicated
        )
    return answers.BatchItemOut(index=index, error=outcome)
