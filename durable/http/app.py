"""The application: routes, errors, and the gate around them."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from durable.http import jobs, problems
from durable.http.gate import Gate
from orchestrator.errors import OrchestratorError


def create_app() -> Gate:
    """Return the API as an ASGI application.

    Its server puts a :class:`durable.http.host.Host` into each request's scope as ``env``, as the Worker's adapter does
    with what it is given.
    """
    app = FastAPI(
        title="Durable orchestrator",
        version="1",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_exception_handler(OrchestratorError, problems.on_error)
    app.add_exception_handler(RequestValidationError, problems.on_invalid)
    app.add_exception_handler(HTTPException, problems.on_http_error)
    app.add_exception_handler(Exception, problems.on_crash)
    app.add_api_route("/healthz", healthz, methods=["GET"], tags=["operations"])
    app.include_router(jobs.router)
    return Gate(app)


async def healthz() -> dict[str, str]:
    """Tell that the Worker runs."""
    return {"status": "ok"}
