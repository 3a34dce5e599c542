"""Errors as RFC 9457 problem documents, each with a stable ``code``. Values and secrets are never repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import cast

import msgspec
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from durable.http.host import Host, host_of
from orchestrator.errors import OrchestratorError, RequestError
from orchestrator.logs import describe

MEDIA_TYPE = "application/problem+json"
#: What to tell clients to wait when a part of the platform asked for a pause.
RETRY_AFTER_S = 2
#: Codes of failures that pass by themselves.
_UNAVAILABLE = frozenset(
    {
        "catalog_incomplete",
        "job_being_deleted",
        "object_overloaded",
        "object_unreachable",
        "queue_unavailable",
    }
)
#: Codes of the engine that are the payload's fault when a job is created.
_UNSTORABLE = {"value_too_large": 413, "value_not_encodable": 422}
#: What pydantic puts before the message of a validator of ours.
_RAISED = "Value error, "
_CODES_OF_STATUS = {
    400: "invalid_request",
    404: "not_found",
    405: "method_not_allowed",
    415: "unsupported_media_type",
}


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    path: str = Field(description="Where, as a dotted path", examples=["body.payload.steps"])
    message: str = Field(examples=["Field required"])


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(default="about:blank", examples=["about:blank"])
    title: str = Field(description="The status in words", examples=["Not Found"])
    status: int = Field(description="The HTTP status", examples=[404])
    code: str = Field(description="Stable, for programs", examples=["unknown_job"])
    detail: str = Field(description="For people", examples=["There is no such job."])
    errors: list[Fault] | None = Field(default=None, description="Each fault of an invalid request")


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    extra: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem document as a response."""
    body = problem_document(status, code, detail, extra=extra)
    return Response(msgspec.json.encode(body), status, headers, MEDIA_TYPE)


def problem_document(
    status: int, code: str, detail: str, *, extra: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Return a problem document; members of ``extra`` never replace its own."""
    base = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": detail}
    return {**(extra or {}), **base}


def problem_of(error: OrchestratorError) -> dict[str, object]:
    """Return the problem document of an engine's error; of an unforeseen one it says nothing."""
    code = error.error_code
    if isinstance(error, RequestError):
        return problem_document(error.status, code, str(error), extra=error.details)
    if code in _UNSTORABLE:
        return problem_document(_UNSTORABLE[code], code, str(error))
    if code in _UNAVAILABLE:
        detail = "A part of the platform did not answer; the request may be repeated"
        return problem_document(503, code, detail, extra=error.details)
    return problem_document(500, "internal", "The request failed for an internal reason")


def item_problem(error: OrchestratorError) -> Problem:
    """Return :func:`problem_of` as part of a larger answer."""
    return Problem.model_validate(problem_of(error))


async def on_error(request: Request, error: Exception) -> Response:
    """Answer an engine's error."""
    assert isinstance(error, OrchestratorError)  # noqa: S101 - what it is registered for
    return response_of(error, host_of(request), request.scope)


def response_of(error: OrchestratorError, host: Host, scope: Mapping[str, object]) -> Response:
    """Return an engine's error as a response; the log keeps what the caller is not told."""
    document = problem_of(error)
    status = int(str(document["status"]))
    if status >= 500:
        fields = {"code": error.error_code, **about(scope), "error": describe(error)}
        host.log("error", "request.failed", fields)
    headers = {"retry-after": str(RETRY_AFTER_S)} if status == 503 else None
    return Response(msgspec.json.encode(document), status, headers, MEDIA_TYPE)


async def on_invalid(request: Request, error: Exception) -> Response:
    """Answer a request that does not fit the route's models: 400 when it is not JSON, else 422."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it is registered for
    faults: Sequence[Mapping[str, object]] = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return problem(400, "invalid_json", "The body is not JSON")
    return problem(422, "invalid_request", "The request does not fit", extra={"errors": faults_of(faults)})


async def on_http_error(_request: Request, error: Exception) -> Response:
    """Answer what the framework refuses: an unknown route, a wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    code = _CODES_OF_STATUS.get(error.status_code, "request_refused")
    return problem(error.status_code, code, HTTPStatus(error.status_code).description, headers=error.headers)


async def on_crash(request: Request, error: Exception) -> Response:
    """Answer a failure nobody foresaw: the log knows why, the caller does not."""
    log_crash(request, error)
    return problem(500, "internal", "The request failed for an internal reason")


def log_crash(request: Request, error: Exception) -> None:
    """Log a failure nobody foresaw."""
    fields = {**about(request.scope), "method": request.scope["method"], "error": describe(error)}
    host_of(request).log("error", "request.crashed", fields)


def about(scope: Mapping[str, object]) -> dict[str, object]:
    """Return what log lines say of a request."""
    return {"path": scope["path"], "request_id": scope.get("request_id")}


def faults_of(errors: Sequence[Mapping[str, object]]) -> list[dict[str, str]]:
    """Return pydantic's errors without the values they are about."""
    return [{"path": _path(error["loc"]), "message": str(error["msg"]).removeprefix(_RAISED)} for error in errors]


def _path(location: object) -> str:
    parts = cast("tuple[str | int, ...]", location)
    return ".".join(map(str, parts))
