"""The application: routes, errors, and the gate around them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from durable.http import (
    batch,
    bulk,
    control,
    dead_letters,
    events,
    export,
    jobs,
    lanes,
    operations,
    problems,
    schedules,
    triggers,
)
from durable.http.gate import Gate
from durable.http.problems import Problem
from orchestrator.errors import OrchestratorError

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The body is not JSON, or nested too deep"},
    401: {"model": Problem, "description": "No valid key"},
    409: {"model": Problem, "description": "The job's state does not allow this"},
    413: {"model": Problem, "description": "The body is too large"},
    415: {"model": Problem, "description": "The body is not declared as JSON"},
    422: {"model": Problem, "description": "The request or the payload does not fit"},
    500: {"model": Problem, "description": "An internal failure"},
    503: {"model": Problem, "description": "A part of the platform does not answer; see Retry-After"},
}


def create_app() -> Gate:
    """Return the API as an ASGI application.

    Its server puts a :class:`durable.http.host.Host` into each request's scope as ``env``, as the Worker's adapter does
    with what it is given.
    """
    app = FastAPI(
        title="Durable orchestrator",
        description="Jobs that survive crashes: record them, watch them, control them.",
        version="1",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        strict_content_type=False,
        responses=_PROBLEMS,
        generate_unique_id_function=operation_id,
    )
    app.add_exception_handler(OrchestratorError, problems.on_error)
    app.add_exception_handler(RequestValidationError, problems.on_invalid)
    app.add_exception_handler(HTTPException, problems.on_http_error)
    app.add_exception_handler(Exception, problems.on_crash)
    app.add_api_route("/healthz", get_health, methods=["GET"], tags=["operations"])
    for router in (
        batch.router,
        bulk.router,
        jobs.router,
        control.router,
        events.router,
        export.router,
        control.token_router,
        lanes.router,
        triggers.router,
        dead_letters.router,
        schedules.router,
        operations.router,
    ):
        app.include_router(router)

    async def get_openapi() -> dict[str, Any]:
        """This document."""
        return document(app)

    app.add_api_route("/openapi.json", get_openapi, methods=["GET"], tags=["operations"])
    return Gate(app)


def operation_id(route: APIRoute) -> str:
    """Return the name that generated clients give a call: its handler's."""
    return route.name


async def get_health() -> dict[str, str]:
    """Tell that the Worker runs. Needs no key."""
    return {"status": "ok"}


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document: made once, with the key's scheme and the problems' own media type."""
    is_new = app.openapi_schema is None
    schema = app.openapi()
    if is_new:
        schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"key": []}]
        schema["components"]["securitySchemes"]["token"] = {"type": "http", "scheme": "bearer"}
        schema["paths"]["/healthz"]["get"]["security"] = []
        schema["paths"]["/api/v1/waitpoints/tokens/{token_id}/complete"]["post"]["security"] = [{"token": []}]
        for path in schema["paths"].values():
            for operation in path.values():
                _declare_problems(operation["responses"])
    return schema


def _declare_problems(responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        if int(status) >= 400:
            response["content"] = {problems.MEDIA_TYPE: next(iter(response["content"].values()))}
