"""What the service says of itself: that it runs, its document, and the workflows it knows."""

from __future__ import annotations

from typing import cast

import msgspec
from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response

from durable.http import answers
from durable.http.access import Scope, needs, open_to_all
from durable.http.host import host_of
from durable.http.openapi import document
from durable.http.payloads import schema_of
from durable.http.shapes import answer
from durable.http.strict import StrictRoute

router = APIRouter(tags=["about"], route_class=StrictRoute)


@router.get("/healthz", responses={200: {"model": answers.HealthOut}})
@open_to_all()
async def get_health(request: Request) -> Response:
    """Tell that the Worker runs."""
    return answer(answers.HealthOut(status="ok"))


@router.get("/openapi.json", responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}})
@needs(None)
async def get_openapi(request: Request) -> Response:
    """This document. It describes the payloads of the workflows that are deployed."""
    app = cast("FastAPI", request.app)
    return Response(msgspec.json.encode(document(app, host_of(request).registry)), media_type="application/json")


@router.get("/v1/workflows", responses={200: {"model": answers.WorkflowsOut}})
@needs(Scope.READ)
async def list_workflows(request: Request) -> Response:
    """The workflows that jobs may be of, by name, each with the JSON schema of its payload."""
    host = host_of(request)
    mine = host.principal.workflows
    found = sorted((item for item in host.registry if mine is None or item.name in mine), key=lambda item: item.name)
    return answer(
        answers.WorkflowsOut(
            workflows=[
                answers.WorkflowOut(
                    name=item.name,
                    version=item.version,
                    queue=item.options.queue,
                    lane=None if item.options.lane is None else item.options.lane.name,
                    payload_schema=schema_of(item),
                )
                for item in found
            ]
        )
    )
