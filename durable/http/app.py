"""The application: routes, errors, and the gate around them."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

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
    app.add_exception_handler(HTTPException, problems.on_http_error)
    app.add_exception_handler(Exception, problems.on_crash)
    for router in (
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
    ):
        app.include_router(router)
    return Gate(app)


def operation_id(route: APIRoute) -> str:
    """Return the name that generated clients give a call: its handler's."""
    return route.name
