"""The application: routes, errors, and the gate around them."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from durable.http import (
    about,
    alerts,
    audit,
    batch,
    bulk,
    catalog,
    control,
    dead_letters,
    events,
    export,
    jobs,
    keys,
    lanes,
    operations,
    problems,
    schedules,
    triggers,
)
from durable.http.gate import Gate
from orchestrator.errors import OrchestratorError

_TAGS = [
    {"name": "jobs", "description": "Recording jobs, and looking at them."},
    {"name": "control", "description": "Stopping, holding and repeating jobs, and handing them events."},
    {"name": "tokens", "description": "Waits of jobs that outside systems end, each with a bearer of its own."},
    {"name": "triggers", "description": "The platform's producer: one call per kind of job."},
    {"name": "schedules", "description": "Jobs at planned times."},
    {"name": "lanes", "description": "The limits that jobs share: what runs, what waits, and why."},
    {"name": "operations", "description": "Dead letters, metrics, alerts, and the catalog."},
    {"name": "keys", "description": "Who may call."},
    {"name": "audit", "description": "Who has called."},
    {"name": "about", "description": "What the service says of itself."},
]


_ROUTERS = (
    jobs.router,
    about.router,
    audit.router,
    batch.router,
    bulk.router,
    keys.router,
    control.router,
    events.router,
    export.router,
    control.token_router,
    lanes.router,
    triggers.router,
    dead_letters.router,
    schedules.router,
    catalog.router,
    alerts.router,
    operations.router,
)


def create_app() -> Gate:
    """Return the API as an ASGI application.

    Its server puts a :class:`durable.http.host.Host` into each request's scope as ``env``, as the Worker's adapter does
    with what it is given.
    """
    app = FastAPI(
        title="Durable orchestrator",
        description="Jobs that survive crashes: record them, watch them, control them.",
        openapi_tags=_TAGS,
        version="1",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        strict_content_type=False,
        generate_unique_id_function=operation_id,
    )
    app.add_exception_handler(OrchestratorError, problems.on_error)
    app.add_exception_handler(RequestValidationError, problems.on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, problems.on_crash)
    for router in _ROUTERS:
        app.include_router(router)
    return Gate(app)


async def _on_http_error(request: Request, error: Exception) -> Response:
    """Name every method that a path takes, not only those of its first route, as the framework does."""
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        error.headers = {"allow": ", ".join(sorted(_methods(request.scope)))}
    return await problems.on_http_error(request, error)


def _methods(scope: Scope) -> set[str]:
    routes = [route for router in _ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    return {method for route in routes if route.matches(scope)[0] is not Match.NONE for method in route.methods or ()}


def operation_id(route: APIRoute) -> str:
    """Return the name that generated clients give a call: its handler's."""
    return route.name
