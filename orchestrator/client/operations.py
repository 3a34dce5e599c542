"""Calls about what operators look after: dead letters, lanes, schedules, the server itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypedDict, Unpack

import msgspec

from orchestrator.client.answers import Accepted, BulkItem
from orchestrator.client.flow import Emit, Flow, Request, Stream, ask, new_key, send
from orchestrator.client.jobs import emit_bulk
from orchestrator.client.operator_answers import (
    Alerts,
    Backfill,
    Catalog,
    DeadLetter,
    DeadLetterPage,
    Lane,
    Lanes,
    Redriven,
    Schedule,
    SchedulePage,
    ScheduleSummary,
    Shard,
    Workflow,
    Workflows,
)
from orchestrator.client.payloads import get, path, post, with_body, without_none


class LetterFilter(TypedDict, total=False):
    """Which dead letters."""

    kind: Literal["job", "step", "message"]
    workflow: str
    created_after: datetime
    created_before: datetime


class ScheduleMembers(TypedDict, total=False):
    """The members of a schedule that have defaults."""

    payload: object
    time_field: str | None
    time_zone: str
    overlap: Literal["skip", "buffer_one", "allow", "cancel_other"]
    catch_up: Literal["all", "latest", "none"]
    catch_up_ms: int | None
    tags: list[str]
    tenant: str | None


class NewSchedule(ScheduleMembers, total=False):
    """The optional members of a new schedule."""

    paused: bool


class ScheduleChange(ScheduleMembers, total=False):
    """What is to be changed of a schedule."""

    workflow: str
    cron: str


def dead_letters(*, redriven: bool | None = None, **where: Unpack[LetterFilter]) -> Stream[DeadLetter]:
    """Yield jobs and messages that gave up, newest first, each with its cause."""
    cursor: str | None = None
    while True:
        request = get("/v1/dead-letters", limit=200, cursor=cursor, redriven=redriven, **where)
        page = yield from ask(request, DeadLetterPage)
        for letter in page.dead_letters:
            yield Emit(letter)
        cursor = page.next_cursor
        if cursor is None:
            return


def redrive(letter_id: str, *, from_step: str | None = None, scratch: bool = False) -> Flow[Redriven]:
    """Try a dead letter again: a failed job runs again, a message is sent again."""
    body = without_none(from_step=from_step, scratch=scratch or None)
    return ask(post(path("/v1/dead-letters/{}/redrive", letter_id), body, repeat="unserved"), Redriven)


def redrive_many(*, ids: Sequence[str] | None = None, **where: Unpack[LetterFilter]) -> Stream[BulkItem]:
    """Try many dead letters again, those named or those that a filter finds, and yield what became of each."""
    if ids is not None:
        for start in range(0, len(ids), 1_000):
            part = {"ids": ids[start : start + 1_000]}
            yield from emit_bulk(post("/v1/dead-letters/redrive", part, repeat="unserved"))
        return
    cursor: str | None = None
    while True:
        body = without_none(filter=where, cursor=cursor)
        cursor = yield from emit_bulk(post("/v1/dead-letters/redrive", body, repeat="unserved"))
        if cursor is None:
            return


def lanes() -> Flow[list[Lane]]:
    """Return the lanes of the workflows, by name."""
    return (yield from ask(get("/v1/lanes"), Lanes)).lanes


def get_lane(name: str) -> Flow[Lane]:
    """Return a lane: its limits, what runs, what waits and why."""
    return ask(get(path("/v1/lanes/{}", name)), Lane)


def pause_lane(name: str) -> Flow[Lane]:
    """Have a lane start nothing more; what runs goes on."""
    return ask(post(path("/v1/lanes/{}/pause", name)), Lane)


def resume_lane(name: str) -> Flow[Lane]:
    """Have a lane start jobs again."""
    return ask(post(path("/v1/lanes/{}/resume", name)), Lane)


def schedules(*, workflow: str | None = None, tag: str | None = None) -> Stream[ScheduleSummary]:
    """Yield the schedules, in the order of their ids."""
    cursor: str | None = None
    while True:
        page = yield from ask(get("/v1/schedules", limit=200, cursor=cursor, workflow=workflow, tag=tag), SchedulePage)
        for schedule in page.schedules:
            yield Emit(schedule)
        cursor = page.next_cursor
        if cursor is None:
            return


def create_schedule(
    workflow: str, cron: str, *, schedule_id: str | None = None, **members: Unpack[NewSchedule]
) -> Flow[Schedule]:
    """Make a schedule; without an id it gets one. Asking again for just the same one returns what is there.

    Raises:
        InvalidRequestError: the expression, the time zone or the payload does not fit.
        ConflictError: another schedule has this id.
    """
    name = schedule_id or f"sch_{(yield from new_key())}"
    return (
        yield from ask(post("/v1/schedules", {"id": name, "workflow": workflow, "cron": cron, **members}), Schedule)
    )


def get_schedule(schedule_id: str) -> Flow[Schedule]:
    """Return a schedule with its planned times and what became of the past ones."""
    return ask(get(path("/v1/schedules/{}", schedule_id)), Schedule)


def change_schedule(schedule_id: str, **changes: Unpack[ScheduleChange]) -> Flow[Schedule]:
    """Change members of a schedule; the others stay."""
    return ask(with_body("PATCH", path("/v1/schedules/{}", schedule_id), changes), Schedule)


def delete_schedule(schedule_id: str) -> Flow[None]:
    """Forget a schedule. Its jobs go on."""
    yield from send(Request(method="DELETE", path=path("/v1/schedules/{}", schedule_id), repeat="unserved"))


def pause_schedule(schedule_id: str) -> Flow[Schedule]:
    """Let planned times pass."""
    return ask(post(path("/v1/schedules/{}/pause", schedule_id)), Schedule)


def resume_schedule(schedule_id: str) -> Flow[Schedule]:
    """Go on with the next planned time."""
    return ask(post(path("/v1/schedules/{}/resume", schedule_id)), Schedule)


def run_schedule(schedule_id: str, *, idempotency_key: str | None = None) -> Flow[Accepted]:
    """Start a schedule's job now."""
    key = idempotency_key or (yield from new_key())
    request = post(path("/v1/schedules/{}/run", schedule_id))
    return (yield from ask(msgspec.structs.replace(request, headers={"idempotency-key": key}), Accepted))


def backfill_schedule(schedule_id: str, *, since: datetime, until: datetime) -> Flow[Backfill]:
    """Run past planned times, both ends included; those that were run before are not run again."""
    body = {"from": since, "to": until}
    return ask(post(path("/v1/schedules/{}/backfill", schedule_id), body), Backfill)


def workflows() -> Flow[list[Workflow]]:
    """Return the workflows that jobs may be of, by name, each with the JSON schema of its payload."""
    return (yield from ask(get("/v1/workflows"), Workflows)).workflows


def get_alerts() -> Flow[Alerts]:
    """Return the alerts that fire, are about to, or are over since a week at most, and what nobody was told."""
    return ask(get("/v1/alerts"), Alerts)


def get_catalog() -> Flow[list[Shard]]:
    """Return the shards of the catalog, and whether each knows every job of its own."""
    return (yield from ask(get("/v1/catalog"), Catalog)).shards


def rebuild_catalog(shards: Sequence[str] | None = None) -> Flow[list[Shard]]:
    """Have shards of the catalog, all of them unless told otherwise, ask the jobs for everything again."""
    return (yield from ask(post("/v1/catalog/rebuild", without_none(shards=shards)), Catalog)).shards


def metrics() -> Flow[str]:
    """Return the server's metrics in Prometheus' text format."""
    return (yield from send(get("/metrics"))).body.decode()


def health() -> Flow[None]:
    """Check that the server runs; needs no key.

    Raises:
        ClientError: it does not answer as it should.
    """
    yield from send(get("/healthz"))
