"""``/v1/lanes``: what runs, what waits and why, and holding a lane."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from durable.http import answers
from durable.http.access import Scope, needs
from durable.http.host import host_of
from durable.http.shapes import answer, lane_out
from durable.http.strict import StrictRoute
from durable.turns import in_turns
from orchestrator.errors import UnknownLaneError
from orchestrator.lane import BUCKETS, LaneView
from orchestrator.limits import MAX_NAME_CHARS

router = APIRouter(prefix="/v1/lanes", tags=["lanes"], route_class=StrictRoute)

#: A path, since the buckets of ``job.rate_limit`` are named ``rate/…``.
LaneName = Annotated[str, Path(max_length=MAX_NAME_CHARS + len(BUCKETS), examples=["ingestion", "rate/pinecone/ns_1"])]


@router.get("", responses={200: {"model": answers.LanesOut}})
@needs(Scope.READ, shared=True)
async def list_lanes(request: Request) -> Response:
    """The lanes of the workflows. Buckets of ``job.rate_limit`` are not listed; each is found by its name."""
    host = host_of(request)
    views = await in_turns(sorted(host.registry.lanes), host.backend.lane)
    return answer(answers.LanesOut(lanes=[_out(request, view) for view in views]))


@router.post("/{name:path}/pause", responses={200: {"model": answers.LaneOut}})
@needs(Scope.OPERATE, "unknown_lane", shared=True)
async def pause_lane(request: Request, name: LaneName) -> Response:
    """Have a lane start nothing more; what runs goes on."""
    return answer(_out(request, await host_of(request).backend.pause_lane(_known(request, name))))


@router.post("/{name:path}/resume", responses={200: {"model": answers.LaneOut}})
@needs(Scope.OPERATE, "unknown_lane", shared=True)
async def resume_lane(request: Request, name: LaneName) -> Response:
    """Have a lane start jobs again."""
    return answer(_out(request, await host_of(request).backend.resume_lane(_known(request, name))))


@router.get("/{name:path}", responses={200: {"model": answers.LaneOut}})
@needs(Scope.READ, "unknown_lane", shared=True)
async def get_lane(request: Request, name: LaneName) -> Response:
    """One lane."""
    return answer(_out(request, await host_of(request).backend.lane(_known(request, name))))


def _known(request: Request, name: str) -> str:
    if name not in host_of(request).registry.lanes and not (name.startswith(BUCKETS) and name.isprintable()):
        raise UnknownLaneError
    return name


def _out(request: Request, view: LaneView) -> answers.LaneOut:
    return lane_out(view, host_of(request).registry)
