"""``GET /v1/audit``: who did what to which job, lane, schedule or key."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from durable.audit import ENTRY_ID_PREFIX, AuditEntry, AuditQuery
from durable.http.access import Scope, needs
from durable.http.answers import Cursor, Timestamp, timestamp
from durable.http.host import host_of
from durable.http.jobs import MAX_PAGE
from durable.http.models import MAX_CURSOR_CHARS, ms_or_none
from durable.http.shapes import answer
from durable.http.strict import StrictRoute
from orchestrator.errors import InvalidRequestError
from orchestrator.limits import MAX_NAME_CHARS

router = APIRouter(tags=["audit"], route_class=StrictRoute)


class AuditEntryOut(BaseModel):
    """One control action."""

    id: str = Field(examples=["aud_01kx3m0d5v9q8w7e6r5t4y3u2z"])
    at: Timestamp
    key_id: str = Field(description="The key that asked; `root` is the deployment's own", examples=["root"])
    operation: str = Field(description="The operation's id in this document", examples=["cancel_job"])
    target: str = Field(
        description="The job, dead letter, lane, schedule or key; empty when it is about none or many",
        examples=["run_01kx3m0d5v9q8w7e6r5t4y3u2z"],
    )
    status: int | None = Field(
        description="The answer's HTTP status; null when the request died on its way, the action done or not",
        examples=[202],
    )
    request_id: str = Field(description="The answer's `X-Request-Id`", examples=["4f1c2a9b7d3e6f80"])


class AuditOut(BaseModel):
    """One page of the audit log, newest first."""

    entries: list[AuditEntryOut]
    next_cursor: Cursor | None


@router.get("/v1/audit", responses={200: {"model": AuditOut}})
@needs(Scope.ADMIN, "invalid_cursor", shared=True)
async def list_audit(
    request: Request,
    target: Annotated[str | None, Query(max_length=2 * MAX_NAME_CHARS, description="A job's id, for instance")] = None,
    key_id: Annotated[str | None, Query(max_length=MAX_NAME_CHARS)] = None,
    created_after: AwareDatetime | None = None,
    created_before: AwareDatetime | None = None,
    cursor: Annotated[str | None, Query(max_length=MAX_CURSOR_CHARS)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> Response:
    """Control actions, newest first, refused ones included. They are kept for 90 days, 200,000 of them at most."""
    if cursor is not None and not cursor.startswith(ENTRY_ID_PREFIX):
        raise InvalidRequestError("The cursor is not one that this API gave", code="invalid_cursor")
    query = AuditQuery(
        target=target,
        key_id=key_id,
        after_ms=_at_least_0(ms_or_none(created_after)),
        before_ms=_at_least_0(ms_or_none(created_before)),
        before_id=cursor,
        limit=limit + 1,
    )
    found = await host_of(request).audit.list(query)
    page = found[:limit]
    next_cursor = page[-1].id if len(found) > limit else None
    return answer(AuditOut(entries=[_out(item) for item in page], next_cursor=next_cursor))


def _at_least_0(at_ms: int | None) -> int | None:
    return None if at_ms is None else max(0, at_ms)


def _out(entry: AuditEntry) -> AuditEntryOut:
    return AuditEntryOut(
        id=entry.id,
        at=timestamp(entry.at_ms),
        key_id=entry.key_id,
        operation=entry.operation,
        target=entry.target,
        status=entry.status,
        request_id=entry.request_id,
    )
