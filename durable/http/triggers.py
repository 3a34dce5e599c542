"""``/trigger/…``: the producer of the platform's plan, one route per job (domain.md §8)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import MappingProxyType
from typing import cast

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from durable.http import answers, enqueue, models, refusals
from durable.http.access import Scope, needs
from durable.http.host import host_of
from durable.http.jobs import BatchKey, Key, location_of
from durable.http.shapes import answer
from durable.http.strict import StrictRoute
from durable.turns import in_turns
from orchestrator.model import CreateJob, JobOptions

#: Seconds of head start by plan. The platform gave enterprise none, which put it behind every other plan; it gets what
#: pro gets (domain.md §2, W-21).
PRIORITIES = MappingProxyType({"pro": 86_400, "enterprise": 86_400})
OTHER_PRIORITY = 57_600

#: Route to workflow.
WORKFLOWS = MappingProxyType(
    {
        "ingest": "trigger-ingestion-job",
        "re-ingest": "re-ingest-job",
        "delete-document": "delete-document-job",
        "delete-ingest-job": "delete-ingest-job",
        "delete-namespace": "delete-namespace-job",
        "delete-organization": "delete-organization-job",
        "meter-org-documents": "meter-org-documents-job",
    }
)
#: Jobs that always have a priority; the platform starts the others without one.
_RANKED = frozenset({"ingest", "re-ingest"})

router = APIRouter(prefix="/trigger", tags=["triggers"], route_class=StrictRoute)


def priority_of(name: str, plan: str | None) -> int:
    """Return the head start that a plan gives, in seconds."""
    if plan is None and name not in _RANKED:
        return 0
    return PRIORITIES.get(plan or "", OTHER_PRIORITY)


def _single(name: str) -> Callable[..., Coroutine[object, object, Response]]:
    async def trigger(request: Request, body: models.TriggerIn, idempotency_key: Key = None) -> Response:
        created = await _start(request, name, [body], idempotency_key)
        return answer(answers.TriggerOut(id=created[0]), status=202, location=location_of(created[0]))

    trigger.__doc__ = f"Start `{WORKFLOWS[name]}`."
    return trigger


def _many(name: str) -> Callable[..., Coroutine[object, object, Response]]:
    async def trigger(
        request: Request, body: models.TriggerIn | models.TriggerManyIn, idempotency_key: BatchKey = None
    ) -> Response:
        if isinstance(body, models.TriggerIn):
            ids = await _start(request, name, [body], idempotency_key)
            return answer(answers.TriggerOut(id=ids[0]), status=202, location=location_of(ids[0]))
        items = [_item(index, item) for index, item in enumerate(body.items)]
        ids = await _start(request, name, items, idempotency_key)
        return answer(answers.TriggerManyOut(id=ids[0], ids=ids), status=202, location=location_of(ids[0]))

    trigger.__doc__ = f"Start `{WORKFLOWS[name]}`, once or for each of several items."
    return trigger


async def _start(request: Request, name: str, items: list[models.TriggerIn], key: str | None) -> list[str]:
    """Record the jobs and hand them over; every item is checked before the first is recorded."""
    host = host_of(request)
    workflow = WORKFLOWS[name]

    def request_for(index: int, item: models.TriggerIn) -> CreateJob:
        item_key = key if key is None or len(items) == 1 else f"{key}:{index}"
        options = JobOptions(idempotency_key=item_key, priority=priority_of(name, item.plan), tenant=item.tenant)
        at = "body.body" if len(items) == 1 else f"body.items.{index}"
        return enqueue.request_for(host, workflow, item.body, options, at)

    requests = [request_for(index, item) for index, item in enumerate(items)]
    created = await in_turns(requests, lambda item: enqueue.record(host, item))
    await enqueue.hand_over(host, workflow, created)
    return [item.id for item in created]


def _item(index: int, item: object) -> models.TriggerIn:
    """Return an item of a list: a bare body, or ``{body, plan}`` like a call of its own.

    Raises:
        RequestValidationError: it looks like a call of its own, and does not fit.
    """
    if isinstance(item, dict) and "body" in item and item.keys() <= {"body", "plan", "tenant"}:
        try:
            return models.TriggerIn.model_validate(cast("dict[str, object]", item))
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)
            placed = [{**fault, "loc": ("body", "items", index, *fault["loc"])} for fault in faults]
            raise RequestValidationError(placed) from None
    return models.TriggerIn(body=cast("object", item))


for _name in WORKFLOWS:
    _several = _name == "meter-org-documents"
    _handler = _many(_name) if _several else _single(_name)
    _handler.__name__ = f"trigger_{_name.replace('-', '_')}"
    router.add_api_route(
        f"/{_name}",
        needs(Scope.ENQUEUE, *refusals.ENQUEUE)(_handler),
        methods=["POST"],
        status_code=202,
        responses={
            202: {
                "model": answers.TriggerManyOut if _several else answers.TriggerOut,
                "headers": answers.LOCATION,
            }
        },
    )
