"""What becomes of a request whose idempotency key is taken (docs/decisions/0006-idempotency.md).

A key's first job has the id that workflow and key always give. The object of that job decides, in one synchronous
group, whether it answers for the request or has a successor, whose id follows from the first one and a number. So two
requests at the same moment are sent to the same object, and a crash in between leaves a pointer that the next request
follows.
"""

from __future__ import annotations

import msgspec

from orchestrator import codec
from orchestrator.errors import ConflictError, RetryableError
from orchestrator.ids import derived_job_id
from orchestrator.lifecycle import TERMINAL, JobStatus
from orchestrator.limits import STUB_IDLE_MS
from orchestrator.model import Created, CreateJob, JobOptions, JobRow
from orchestrator.options import debounced_until_ms
from orchestrator.state import RETENTION, JobState


def keyed_job_id(workflow: str, key: str, generation: int = 0, *, tenant: str | None = None) -> str:
    """Return the id of the job that a tenant's key means for a workflow, in its first or a later generation.

    Keys of different tenants never meet in one job: its id would tell one of them what the other has asked for.
    """
    # No workflow's name is empty, so a tenant's ids are no other's.
    first = derived_job_id(workflow, key) if tenant is None else derived_job_id("", tenant, workflow, key)
    return first if generation == 0 else derived_job_id("generation", first, str(generation))


def judge(state: JobState, job: JobRow, request: CreateJob) -> Created:
    """Return what became of a request for a job that is recorded already.

    Raises:
        ConflictError: the key is taken by a request with another payload (code ``idempotency_conflict``).
        RetryableError: the job is being deleted, and its key is free in a moment (code ``job_being_deleted``).
    """
    own = request.parent is None or job.parent == codec.encode(request.parent)
    found = Created(job.job_id, job.status, deduplicated=True, own=own)
    if request.parent is not None and own and job.phase != "deleted":
        return found  # a parent repeats itself after a crash, whatever the key means by now
    keyed = request.options.idempotency_key is not None
    successor = state.journal.successor() if keyed else None
    if successor is not None:
        if job.phase == "deleted":
            # What is left of this object stays until nobody is on the way to its successor any more.
            state.journal.set_due(RETENTION, state.now_ms() + STUB_IDLE_MS)
        return msgspec.structs.replace(found, successor=successor)
    if job.phase == "deleted":
        raise RetryableError("The job of this id is being deleted", code="job_being_deleted")
    if not keyed:
        return found
    if request.options.debounce_ms and codec.decode_as(job.options, JobOptions).debounce_ms:
        if job.started_at_ms is None and job.status not in TERMINAL:
            _push_back(state, job, request)
            return found
        return _pass_on(state, request, found)
    if _released(job, request.options, state.now_ms()):
        return _pass_on(state, request, found)
    if request.options.idempotency_on_ended != "new" and not _same(job.payload, request.payload):
        raise ConflictError(
            "The idempotency key belongs to a job with another payload",
            code="idempotency_conflict",
            details={"job_id": job.job_id},
        )
    return found


def _pass_on(state: JobState, request: CreateJob, found: Created) -> Created:
    """Have the key mean the next job from now on."""
    state.journal.set_successor(request.generation + 1)
    return msgspec.structs.replace(found, successor=request.generation + 1)


def _push_back(state: JobState, job: JobRow, request: CreateJob) -> None:
    """Take the payload of the latest call, and start that much later. A job that waits for its lane keeps its place."""
    job.payload = codec.encode_payload(request.payload)
    if job.due_at_ms is not None and state.tickets.get() is None:
        job.due_at_ms = debounced_until_ms(request.options, job.created_at_ms, state.now_ms())
    job.revision += 1
    state.journal.replace_payload(job)


def _released(job: JobRow, options: JobOptions, now_ms: int) -> bool:
    """Tell whether the key means a new job from now on, by the policy of the request that asks."""
    if options.idempotency_window_ms and now_ms - job.created_at_ms >= options.idempotency_window_ms:
        return True
    if job.status not in TERMINAL or options.idempotency_on_ended == "return":
        return False
    return options.idempotency_on_ended == "new" or job.status is not JobStatus.COMPLETED


def _same(stored: bytes, payload: object) -> bool:
    """Compare payloads as JSON: the order of an object's members says nothing."""
    return _canonical(codec.decode(stored)) == _canonical(codec.decode(codec.encode_payload(payload)))


def _canonical(value: object) -> bytes:
    return msgspec.json.encode(value, order="deterministic")
