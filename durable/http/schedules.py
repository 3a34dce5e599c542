"""``/v1/schedules``: jobs at planned times."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from durable.http import answers, models
from durable.http.access import Scope, needs
from durable.http.answers import timestamp, timestamp_or_none
from durable.http.host import Host, host_of
from durable.http.jobs import MAX_PAGE, Key, location_of
from durable.http.schedule_models import (
    BackfillIn,
    BackfillOut,
    ScheduleChangeIn,
    ScheduleEventOut,
    ScheduleIn,
    ScheduleOut,
    SchedulesOut,
    ScheduleSummaryOut,
)
from durable.http.shapes import answer
from durable.http.strict import StrictRoute
from durable.http.trail import turned_out_to_be_about
from durable.schedule_index import ScheduleQuery
from orchestrator.errors import UnknownScheduleError
from orchestrator.ids import JOB_ID_PREFIX, new_job_id
from orchestrator.limits import MAX_NAME_CHARS, MAX_TAG_CHARS
from orchestrator.schedule import Schedule, check, is_schedule_id
from orchestrator.schedule_model import ScheduleSummary, ScheduleView

router = APIRouter(prefix="/v1/schedules", tags=["schedules"], route_class=StrictRoute)

ScheduleId = Annotated[str, Path(description="A schedule's id", examples=["org_1:nightly"])]
SCHEDULE: dict[int | str, dict[str, object]] = {200: {"model": ScheduleOut}}


def checked(schedule_id: str) -> str:
    """Return ``schedule_id`` if a schedule may be called so; no object is made for what cannot be one.

    Raises:
        UnknownScheduleError: it has another form.
    """
    if not is_schedule_id(schedule_id):
        raise UnknownScheduleError
    return schedule_id


@router.post(
    "",
    status_code=201,
    responses={
        200: {"model": ScheduleOut, "headers": answers.LOCATION},
        201: {"model": ScheduleOut, "headers": answers.LOCATION},
    },
)
@needs(
    Scope.OPERATE,
    "schedule_exists",
    "unknown_workflow",
    "invalid_payload",
    "invalid_cron",
    "unknown_time_zone",
    "contradictory_options",
    shared=True,
)
async def create_schedule(request: Request, body: ScheduleIn) -> Response:
    """Make a schedule. Asking again for just the same one answers 200 with what is there."""
    host = host_of(request)
    schedule = Schedule(
        id=body.id or f"sch_{_fresh(host)}",
        workflow=body.workflow,
        payload=body.payload,
        time_field=body.time_field,
        cron=body.cron,
        time_zone=body.time_zone,
        overlap=body.overlap,
        catch_up=body.catch_up,
        catch_up_ms=body.catch_up_ms,
        tags=tuple(dict.fromkeys(body.tags)),
        tenant=body.tenant,
        paused=body.paused,
    )
    check(schedule, host.registry, host.clock.now_ms())  # here already, so that no object is made for what is refused
    turned_out_to_be_about(request, schedule.id)
    created = await host.schedules.create(schedule)
    status = 200 if created.deduplicated else 201
    return answer(_schedule_out(created.view), status=status, location=f"/v1/schedules/{schedule.id}")


@router.get("", responses={200: {"model": SchedulesOut}})
@needs(Scope.READ, "invalid_cursor", shared=True)
async def list_schedules(
    request: Request,
    workflow: Annotated[str | None, Query(max_length=MAX_NAME_CHARS)] = None,
    tag: Annotated[str | None, Query(max_length=MAX_TAG_CHARS)] = None,
    cursor: Annotated[str | None, Query(max_length=models.MAX_CURSOR_CHARS)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> Response:
    """Schedules, in the order of their ids."""
    query = ScheduleQuery(workflow=workflow, tag=tag, cursor=cursor, limit=limit)
    page = await host_of(request).schedules.page(query)
    found = [_summary_out(summary) for summary in page.schedules]
    return answer(SchedulesOut(schedules=found, next_cursor=page.next_cursor))


@router.get("/{schedule_id}", responses=SCHEDULE)
@needs(Scope.READ, "unknown_schedule", shared=True)
async def get_schedule(request: Request, schedule_id: ScheduleId) -> Response:
    """A schedule: what it says, its next planned times, and what became of the last ones."""
    return answer(_schedule_out(await host_of(request).schedules.view(checked(schedule_id))))


@router.patch("/{schedule_id}", responses=SCHEDULE)
@needs(
    Scope.OPERATE,
    "unknown_schedule",
    "declared_in_code",
    "unknown_workflow",
    "invalid_payload",
    "invalid_cron",
    "unknown_time_zone",
    "contradictory_options",
    shared=True,
)
async def change_schedule(request: Request, schedule_id: ScheduleId, body: ScheduleChangeIn) -> Response:
    """Change a schedule. A changed expression or time zone counts from now on."""
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    if "tags" in changes:
        changes["tags"] = list(dict.fromkeys(body.tags))
    return answer(_schedule_out(await host_of(request).schedules.update(checked(schedule_id), changes)))


@router.delete("/{schedule_id}", status_code=204, responses={204: {"description": "It is forgotten"}})
@needs(Scope.OPERATE, "unknown_schedule", "declared_in_code", shared=True)
async def delete_schedule(request: Request, schedule_id: ScheduleId) -> Response:
    """Forget a schedule. Its jobs go on."""
    await host_of(request).schedules.delete(checked(schedule_id))
    return Response(status_code=204)


@router.post("/{schedule_id}/pause", responses=SCHEDULE)
@needs(Scope.OPERATE, "unknown_schedule", shared=True)
async def pause_schedule(request: Request, schedule_id: ScheduleId) -> Response:
    """Let planned times pass. Jobs that run go on; running by hand and backfills stay possible."""
    return answer(_schedule_out(await host_of(request).schedules.pause(checked(schedule_id))))


@router.post("/{schedule_id}/resume", responses=SCHEDULE)
@needs(Scope.OPERATE, "unknown_schedule", shared=True)
async def resume_schedule(request: Request, schedule_id: ScheduleId) -> Response:
    """Go on with the next planned time. Those that passed meanwhile are not caught up; a backfill runs them."""
    return answer(_schedule_out(await host_of(request).schedules.resume(checked(schedule_id))))


@router.post(
    "/{schedule_id}/run", status_code=202, responses={202: {"model": answers.AcceptedOut, "headers": answers.LOCATION}}
)
@needs(Scope.OPERATE, "unknown_schedule", "unknown_workflow", "invalid_payload", shared=True)
async def run_schedule(request: Request, schedule_id: ScheduleId, idempotency_key: Key = None) -> Response:
    """Start a job now, whatever else runs and also while the schedule is paused."""
    host = host_of(request)
    created = await host.schedules.run_now(checked(schedule_id), idempotency_key or _fresh(host))
    accepted = answers.AcceptedOut(id=created.id, status=created.status, deduplicated=created.deduplicated)
    return answer(accepted, status=202, location=location_of(created.id))


@router.post("/{schedule_id}/backfill", status_code=202, responses={202: {"model": BackfillOut}})
@needs(Scope.OPERATE, "unknown_schedule", "contradictory_options", "too_many_times", "backlog_full", shared=True)
async def backfill_schedule(request: Request, schedule_id: ScheduleId, body: BackfillIn) -> Response:
    """Run past planned times: one after the other, or all at once if overlap allows that."""
    from_ms, to_ms = (round(moment.timestamp() * 1000) for moment in (body.from_, body.to))
    found = await host_of(request).schedules.backfill(checked(schedule_id), from_ms, to_ms)
    first_at, last_at = timestamp_or_none(found.first_ms), timestamp_or_none(found.last_ms)
    return answer(BackfillOut(times=found.times, first_at=first_at, last_at=last_at), status=202)


def _fresh(host: Host) -> str:
    return new_job_id(host.clock, host.entropy).removeprefix(JOB_ID_PREFIX)


def _schedule_out(view: ScheduleView) -> ScheduleOut:
    return ScheduleOut(
        id=view.id,
        workflow=view.workflow,
        payload=view.payload,
        time_field=view.time_field,
        cron=view.cron,
        time_zone=view.time_zone,
        description=view.description,
        overlap=view.overlap,
        catch_up=view.catch_up,
        catch_up_ms=view.catch_up_ms,
        tags=list(view.tags),
        tenant=view.tenant,
        origin=view.origin,
        paused=view.paused,
        created_at=timestamp(view.created_at_ms),
        updated_at=timestamp(view.updated_at_ms),
        upcoming=[timestamp(at_ms) for at_ms in view.upcoming],
        waiting=view.waiting,
        history=[
            ScheduleEventOut(
                planned_at=timestamp(event.planned_ms),
                at=timestamp(event.at_ms),
                outcome=event.outcome,
                reason=event.reason,
                job_id=event.job_id,
                count=event.count,
                error=event.error,
            )
            for event in view.history
        ],
    )


def _summary_out(summary: ScheduleSummary) -> ScheduleSummaryOut:
    return ScheduleSummaryOut(
        id=summary.id,
        workflow=summary.workflow,
        cron=summary.cron,
        time_zone=summary.time_zone,
        origin=summary.origin,
        paused=summary.paused,
        tags=list(summary.tags),
        created_at=timestamp(summary.created_at_ms),
        updated_at=timestamp(summary.updated_at_ms),
        next_at=timestamp_or_none(summary.next_at_ms),
    )
