"""The engine's values in the shapes that callers get."""

from __future__ import annotations

import hashlib
import re

import msgspec
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from durable.http import answers
from durable.http.answers import timestamp, timestamp_or_none
from orchestrator.errors import ErrorRecord
from orchestrator.lane import LaneView, Rate
from orchestrator.model import DeadLetter, Event, JobSummary, JobView, StepView
from orchestrator.workflow import Registry

_JSON = "application/json"
_TAGS = re.compile(r'"[^"]*"')


def answer(body: BaseModel, status: int = 200, *, exclude_none: bool = False, location: str | None = None) -> Response:
    """Return a model as a JSON response; ``location`` is where what was made is found."""
    headers = None if location is None else {"location": location}
    return Response(body.model_dump_json(exclude_none=exclude_none), status, headers, _JSON)


def answer_unless_known(request: Request, body: BaseModel) -> Response:
    """Return a model as a JSON response with an entity tag, or that the caller has it already (RFC 9110 §13.1.2).

    The tag is made of the answer itself, since some of what is shown changes without a new revision. It is a weak one:
    looking at a job costs, and what it has cost is not part of it.
    """
    telling = body.model_dump_json(exclude={"cost"}).encode()
    opaque = f'"{hashlib.sha256(telling).hexdigest()[:32]}"'
    headers = {"etag": f"W/{opaque}"}
    known = request.headers.get("if-none-match", "")
    if known.strip() == "*" or opaque in _TAGS.findall(known):
        return Response(status_code=304, headers=headers)
    return Response(body.model_dump_json(), headers=headers, media_type=_JSON)


def job_out(view: JobView) -> answers.JobOut:
    """Return a job's status."""
    progress = view.progress
    return answers.JobOut(
        id=view.id,
        workflow=view.workflow,
        version=view.version,
        status=view.status,
        progress=progress and answers.ProgressOut(done=progress.done, total=progress.total, unit=progress.unit),
        metadata=view.metadata,
        result=view.result,
        error=_error(view.error),
        tags=list(view.tags),
        parent_id=view.parent_id,
        tenant=view.tenant,
        created_at=timestamp(view.created_at_ms),
        started_at=timestamp_or_none(view.started_at_ms),
        finished_at=timestamp_or_none(view.finished_at_ms),
        attempts=view.attempts,
        slices=view.slices,
        crashes=view.crashes,
        steps=view.steps,
        rows_written=view.rows_written,
        cost=answers.CostOut(**msgspec.structs.asdict(view.cost)),
        revision=view.revision,
        waits=[
            answers.WaitOut(kind=wait.kind, key=wait.key, reason=wait.reason, due_at=timestamp_or_none(wait.due_at_ms))
            for wait in view.waits
        ],
    )


def step_out(view: StepView) -> answers.StepOut:
    """Return a step."""
    return answers.StepOut(
        key=view.key,
        kind=view.kind,
        status=view.status,
        attempt=view.attempt,
        started_at=timestamp(view.started_at_ms),
        finished_at=timestamp_or_none(view.finished_at_ms),
        due_at=timestamp_or_none(view.due_at_ms),
        error=_error(view.error),
        counters=view.counters,
    )


def event_out(event: Event) -> answers.EventOut:
    """Return a line of a job's history."""
    return answers.EventOut(id=event.seq, at=timestamp(event.at_ms), kind=event.kind, key=event.key, data=event.data)


def summary_out(summary: JobSummary) -> answers.SummaryOut:
    """Return a job of the catalog."""
    return answers.SummaryOut(
        id=summary.id,
        workflow=summary.workflow,
        status=summary.status,
        tags=list(summary.tags),
        parent_id=summary.parent_id,
        tenant=summary.tenant,
        created_at=timestamp(summary.created_at_ms),
        updated_at=timestamp(summary.updated_at_ms),
        finished_at=timestamp_or_none(summary.finished_at_ms),
        error=summary.error,
    )


def dead_letter_out(letter: DeadLetter) -> answers.DeadLetterOut:
    """Return a dead letter."""
    return answers.DeadLetterOut(
        id=letter.id,
        kind=letter.kind,
        job_id=letter.job_id,
        workflow=letter.workflow,
        cause=letter.cause,
        at=timestamp(letter.at_ms),
        detail=letter.detail,
        redriven_at=timestamp_or_none(letter.redriven_at_ms),
    )


def lane_out(view: LaneView, registry: Registry) -> answers.LaneOut:
    """Return a lane."""
    policy = registry.lanes.get(view.name, view.policy)
    return answers.LaneOut(
        name=view.name,
        workflows=[item.name for item in registry if item.options.lane == policy and policy is not None],
        concurrency=None if policy is None else policy.concurrency,
        rate=None if policy is None else _rate(policy.rate),
        fair=policy is not None and policy.fair,
        limits=[
            answers.KeyLimitOut(name=item.name, concurrency=item.concurrency, rate=_rate(item.rate))
            for item in (() if policy is None else policy.keys)
        ],
        paused=view.paused,
        running=view.running,
        waiting=view.waiting,
        keys={item.key: item.running for item in view.keys},
        reasons=list(view.reasons),
        next_due_at=timestamp_or_none(view.next_due_ms),
    )


def _rate(rate: Rate | None) -> answers.RateOut | None:
    return None if rate is None else answers.RateOut(count=rate.count, per_ms=rate.per_ms, burst=rate.capacity)


def _error(record: ErrorRecord | None) -> answers.ErrorOut | None:
    return None if record is None else answers.ErrorOut(**msgspec.structs.asdict(record))
