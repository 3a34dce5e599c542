"""``/v1/keys``: making, listing and revoking API keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from durable.http.access import Scope, needs
from durable.http.answers import timestamp, timestamp_or_none
from durable.http.host import host_of
from durable.http.jobs import MAX_PAGE
from durable.http.key_models import CurrentKeyOut, KeyIn, KeyOut, KeysOut, NewKeyOut
from durable.http.models import MAX_CURSOR_CHARS
from durable.http.shapes import answer
from durable.http.strict import StrictRoute
from durable.http.trail import turned_out_to_be_about
from durable.keys import KEY_ID_PREFIX, KeyQuery, KeyRecord, hash_of, new_key
from orchestrator.errors import InvalidRequestError

router = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=StrictRoute)

KeyId = Annotated[str, Path(description="A key's id", max_length=64, examples=["key_01kx3m0d5v9q8w7e6r5t4y3u2z"])]


@router.post("", status_code=201, responses={201: {"model": NewKeyOut}})
@needs(Scope.ADMIN, "unknown_workflow", "too_many_keys", shared=True)
async def create_key(request: Request, body: KeyIn) -> Response:
    """Make a key. What opens it is in this answer only; what is kept cannot be turned back into it.

    An answer that is lost leaves a key that nobody has: list the keys and revoke it.
    """
    host = host_of(request)
    for workflow in body.workflows or ():
        host.registry.get(workflow)
    key_id, text = new_key(host.clock, host.entropy)
    now_ms = host.clock.now_ms()
    valid_ms = round(body.expires_in.total_seconds() * 1000)
    record = KeyRecord(
        id=key_id,
        hash=hash_of(text),
        name=body.name,
        scopes=tuple(dict.fromkeys(body.scopes)),
        workflows=None if body.workflows is None else tuple(dict.fromkeys(body.workflows)),
        tenant=body.tenant,
        rate_per_s=body.rate_per_s,
        lane_keys=body.lane_keys,
        max_priority=body.max_priority,
        created_at_ms=now_ms,
        created_by=host.principal.key_id,
        expires_at_ms=now_ms + valid_ms if valid_ms else None,
    )
    await host.keys.add(record)
    turned_out_to_be_about(request, key_id)
    return answer(NewKeyOut(key=text, **dict(_out(record))), status=201)


@router.get("", responses={200: {"model": KeysOut}})
@needs(Scope.ADMIN, "invalid_cursor", shared=True)
async def list_keys(
    request: Request,
    cursor: Annotated[str | None, Query(max_length=MAX_CURSOR_CHARS)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> Response:
    """The keys, newest first. One that is of no use any more is shown for another 90 days."""
    if cursor is not None and not cursor.startswith(KEY_ID_PREFIX):
        raise InvalidRequestError("The cursor is not one that this API gave", code="invalid_cursor")
    found = await host_of(request).keys.list(KeyQuery(before_id=cursor, limit=limit + 1))
    page = found[:limit]
    return answer(KeysOut(keys=[_out(item) for item in page], next_cursor=page[-1].id if len(found) > limit else None))


@router.get("/current", responses={200: {"model": CurrentKeyOut}})
@needs(None)
async def get_current_key(request: Request) -> Response:
    """What the key of this request may do."""
    principal = host_of(request).principal
    return answer(
        CurrentKeyOut(
            id=principal.key_id,
            scopes=sorted(principal.scopes),
            workflows=None if principal.workflows is None else sorted(principal.workflows),
            tenant=principal.tenant,
        )
    )


@router.delete("/{key_id}", status_code=204, responses={204: {"description": "The key is of no use any more"}})
@needs(Scope.ADMIN, "unknown_key", shared=True)
async def revoke_key(request: Request, key_id: KeyId) -> Response:
    """End a key's use: at once in the isolate that answers, within 30 seconds everywhere. Again changes nothing."""
    host = host_of(request)
    await host.keys.revoke(key_id)
    host.memory.forget(key_id)
    return Response(status_code=204)


def _out(record: KeyRecord) -> KeyOut:
    return KeyOut(
        id=record.id,
        name=record.name,
        scopes=[Scope(scope) for scope in record.scopes],
        workflows=None if record.workflows is None else list(record.workflows),
        tenant=record.tenant,
        rate_per_s=record.rate_per_s,
        lane_keys=record.lane_keys,
        max_priority=record.max_priority,
        created_at=timestamp(record.created_at_ms),
        created_by=record.created_by,
        expires_at=timestamp_or_none(record.expires_at_ms),
        revoked_at=timestamp_or_none(record.revoked_at_ms),
    )
