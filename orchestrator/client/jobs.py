"""Calls about jobs: start, look, list, control. Each returns a flow; the clients' methods run them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from datetime import datetime
from typing import Literal, TypeAlias, TypedDict, Unpack

import msgspec

from orchestrator.client.answers import (
    Accepted,
    Batch,
    Bulk,
    BulkItem,
    EventAccepted,
    JobPage,
    JobSummary,
    StatusChange,
    Step,
    Steps,
    TokenCompleted,
)
from orchestrator.client.errors import NoAnswerError
from orchestrator.client.flow import (
    Effect,
    Emit,
    Flow,
    Lost,
    Open,
    Read,
    Reply,
    Request,
    Stream,
    ask,
    checked,
    new_key,
    send,
)
from orchestrator.client.payloads import (
    Budget,
    NewJob,
    Options,
    get,
    path,
    post,
    wire,
    wire_job,
    without_none,
)

Action: TypeAlias = Literal["cancel", "pause", "resume", "retry", "delete"]


class JobFilter(TypedDict, total=False):
    """Which jobs, as the catalog knows them."""

    workflow: str
    status: str
    tag: str
    created_after: datetime
    created_before: datetime


def enqueue(workflow: str, payload: object = None, **options: Unpack[Options]) -> Flow[Accepted]:
    """Start a job. Once this returns, the job is recorded durably.

    Without an idempotency key the request gets one of its own, so that sending it again after a lost answer cannot
    start a second job.

    Raises:
        InvalidRequestError: the payload or an option does not fit.
        NotFoundError: there is no such workflow.
        ConflictError: the key was used with another payload.
    """
    key = yield from new_key()
    return (yield from ask(post("/v1/jobs", wire_job(workflow, payload, options, key)), Accepted))


def enqueue_many(jobs: Sequence[NewJob]) -> Flow[Batch]:
    """Start up to 1,000 jobs. Each is judged by itself: the answer has a job or a problem for every one, in order."""
    key = yield from new_key()
    items = [wire_job(job.workflow, job.payload, job.options, f"{key}:{index}") for index, job in enumerate(jobs)]
    return (yield from ask(post("/v1/jobs/batch", {"items": items}), Batch))


def get_steps(job_id: str) -> Flow[list[Step]]:
    """Return the steps of a job's journal, in the order in which they began."""
    return (yield from ask(get(path("/v1/jobs/{}/steps", job_id)), Steps)).steps


def list_jobs(*, limit: int = 50, cursor: str | None = None, **where: Unpack[JobFilter]) -> Flow[JobPage]:
    """Return one page of jobs from the catalog, newest first."""
    return ask(get("/v1/jobs", limit=limit, cursor=cursor, **where), JobPage)


def search_jobs(**where: Unpack[JobFilter]) -> Stream[JobSummary]:
    """Yield the jobs that a filter finds in the catalog, newest first, page by page."""
    cursor: str | None = None
    while True:
        page = yield from list_jobs(limit=200, cursor=cursor, **where)
        for job in page.jobs:
            yield Emit(job)
        cursor = page.next_cursor
        if cursor is None:
            return


def cancel(job_id: str, reason: str = "") -> Flow[StatusChange]:
    """Ask a job to stop. Steps under way end first, and the workflow's own cleaning up runs.

    Raises:
        ConflictError: it has ended otherwise.
    """
    return ask(post(path("/v1/jobs/{}/cancel", job_id), {"reason": reason}), StatusChange)


def pause(job_id: str) -> Flow[StatusChange]:
    """Have a job start nothing new.

    Raises:
        ConflictError: it has ended or is ending.
    """
    return ask(post(path("/v1/jobs/{}/pause", job_id)), StatusChange)


def resume(job_id: str, *, budget: Budget | None = None) -> Flow[StatusChange]:
    """Have a paused job go on, with a budget instead of the one that it has used up.

    Raises:
        ConflictError: it is not paused.
    """
    body = without_none(budget=wire(budget))
    return ask(post(path("/v1/jobs/{}/resume", job_id), body, repeat="unserved"), StatusChange)


def retry(job_id: str, *, from_step: str | None = None, scratch: bool = False) -> Flow[StatusChange]:
    """Run a job that ended without success again: from its failed steps, a named step, or scratch.

    Raises:
        ConflictError: it has not ended, or completed.
    """
    body = without_none(from_step=from_step, scratch=scratch or None)
    return ask(post(path("/v1/jobs/{}/retry", job_id), body, repeat="unserved"), StatusChange)


def delete(job_id: str) -> Flow[None]:
    """Delete a job that has ended, with everything that is stored of it.

    Raises:
        ConflictError: it has not ended.
    """
    yield from send(Request(method="DELETE", path=path("/v1/jobs/{}", job_id), repeat="unserved"))


def send_event(job_id: str, name: str, data: object = None, *, event_id: str | None = None) -> Flow[EventAccepted]:
    """Hand an event to a job, which may wait for it now or later. One event id counts once; without one it gets one.

    Raises:
        ConflictError: the job has ended.
    """
    body = {"data": data, "id": event_id or (yield from new_key())}
    return (yield from ask(post(path("/v1/jobs/{}/events/{}", job_id, name), body), EventAccepted))


def complete_token(token_id: str, access_token: str, data: object = None) -> Flow[TokenCompleted]:
    """Complete a token with its own access token; completing it again, or too late, changes nothing.

    Raises:
        UnauthorizedError: the access token is not this token's.
    """
    request = post(path("/api/v1/waitpoints/tokens/{}/complete", token_id), {"data": data})
    headers = {"authorization": f"Bearer {access_token}"}
    return ask(msgspec.structs.replace(request, headers=headers), TokenCompleted)


def bulk(
    action: Action, *, ids: Sequence[str] | None = None, reason: str = "", **where: Unpack[JobFilter]
) -> Stream[BulkItem]:
    """Act on many jobs, those named or those that a filter finds, and yield what became of each.

    Every job judges for itself whether its state still allows the action.
    """
    if ids is not None:
        for start in range(0, len(ids), 1_000):
            part = {"action": action, "ids": ids[start : start + 1_000], "reason": reason}
            yield from emit_bulk(post("/v1/jobs/bulk", part, repeat="unserved"))
        return
    cursor: str | None = None
    while True:
        body = without_none(action=action, filter=where, reason=reason, cursor=cursor)
        cursor = yield from emit_bulk(post("/v1/jobs/bulk", body, repeat="unserved"))
        if cursor is None:
            return


def emit_bulk(request: Request) -> Generator[Effect | Emit[BulkItem], Reply, str | None]:
    """Send a request for many things; yield what became of each, and return the cursor of the rest."""
    page = yield from ask(request, Bulk)
    for item in page.results:
        yield Emit(item)
    return page.next_cursor


def export(job_id: str) -> Stream[bytes]:
    """Yield, in parts, one JSON file with everything that is stored of a job.

    Raises:
        NotFoundError: there is no such job.
        NoAnswerError: the file broke off.
    """
    request = get(path("/v1/jobs/{}/export", job_id))
    checked((yield Open(request)), request)
    while True:
        part = yield Read()
        if isinstance(part, Lost):
            raise NoAnswerError(f"The export broke off: {part.cause}", maybe_done=False)
        if not part:
            return
        assert isinstance(part, bytes)  # noqa: S101 - narrows
        yield Emit(part)
