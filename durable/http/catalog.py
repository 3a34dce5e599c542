"""``/v1/catalog``: the shards behind lists and counts, and building them anew from the jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from durable.catalog_model import ShardState
from durable.http import answers
from durable.http.access import Scope, needs
from durable.http.answers import timestamp_or_none
from durable.http.host import host_of
from durable.http.models import Body
from durable.http.shapes import answer
from durable.http.strict import StrictRoute
from durable.placement import MAX_SHARDS

#: Longer than any shard's name.
_MAX_NAME_CHARS = 64


class RebuildIn(Body):
    """Which shards; all of them when left out."""

    shards: list[Annotated[str, Field(max_length=_MAX_NAME_CHARS)]] | None = Field(
        default=None, max_length=MAX_SHARDS, examples=[["catalog-4-0"]]
    )


router = APIRouter(prefix="/v1/catalog", tags=["operations"], route_class=StrictRoute)


@router.get("", responses={200: {"model": answers.CatalogOut}})
@needs(Scope.READ, "catalog_incomplete", shared=True)
async def get_catalog(request: Request) -> Response:
    """The catalog's shards, and whether each knows every job of its own."""
    return _out(await host_of(request).backend.shard_states())


@router.post("/rebuild", status_code=202, responses={202: {"model": answers.CatalogOut}})
@needs(Scope.OPERATE, "catalog_incomplete", "unknown_shard", shared=True)
async def rebuild_catalog(request: Request, body: RebuildIn | None = None) -> Response:
    """Have shards ask the jobs themselves for everything again. A shard that was lost does so by itself."""
    host = host_of(request)
    names = body.shards if body is not None and body.shards is not None else None
    if names is None:
        names = [state.name for state in await host.backend.shard_states()]
    return _out(await host.backend.rebuild_shards(list(dict.fromkeys(names))), status=202)


def _out(states: Sequence[ShardState], status: int = 200) -> Response:
    shards = [
        answers.ShardOut(
            name=state.name,
            jobs=state.jobs,
            complete=state.complete,
            ledger=state.ledger,
            skipped=state.skipped,
            reads_on_at=timestamp_or_none(state.due_at_ms),
        )
        for state in states
    ]
    return answer(answers.CatalogOut(shards=shards), status=status)
