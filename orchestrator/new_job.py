"""A job that begins to exist."""

from __future__ import annotations

from orchestrator import codec
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import REQUEUE_MS, SLICE_UNITS
from orchestrator.model import CreateJob, JobRow
from orchestrator.options import debounced_until_ms


def is_awaited(request: CreateJob) -> bool:
    """Tell whether somebody asks for a new job anyway: who gets its message, or a parent that waits for it."""
    options = request.options
    queued = options.mode == "queue" and not (options.delay_ms or options.debounce_ms)
    return queued or (request.parent is not None and not request.parent.detached)


def new_job(request: CreateJob, version: int, now_ms: int) -> JobRow:
    """Return the row of the job that was asked for."""
    options = request.options
    direct = options.mode == "direct"
    status = JobStatus.RUNNING if direct else JobStatus.QUEUED
    due_at_ms = now_ms if direct else now_ms + REQUEUE_MS
    if options.delay_ms:
        status, due_at_ms = JobStatus.WAITING, now_ms + options.delay_ms
    elif options.debounce_ms:
        status, due_at_ms = JobStatus.WAITING, debounced_until_ms(options, now_ms, now_ms)
    return JobRow(
        job_id=request.job_id,
        workflow=request.workflow,
        version=version,
        status=status,
        phase="main",
        epoch=0,
        payload=codec.encode_payload(request.payload),
        options=codec.encode(options),
        parent=None if request.parent is None else codec.encode(request.parent),
        created_at_ms=now_ms,
        started_at_ms=None,
        finished_at_ms=None,
        due_at_ms=due_at_ms,
        slices=0,
        paused_at_ms=None,
        generation=0,
        crashes=0,
        crashes_total=0,
        slice_open=False,
        slice_units=SLICE_UNITS,
        revision=1,
        rows_written=0,
        progress=None,
        metadata=None,
        result=None,
        error=None,
        account=None,
        pause_error=None,
    )
