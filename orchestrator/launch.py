"""Starts a child job exactly once.

Which job it is going to be is stored before it is created, and creating is idempotent by id: a crash in between only
repeats it. So a parent that is cancelled meanwhile knows whom to cancel, and the jobs of a key are followed only once.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from orchestrator import codec
from orchestrator.attempt import Settled
from orchestrator.child_operations import StartedChild, StartOp
from orchestrator.driver import Success
from orchestrator.errors import RetryableError
from orchestrator.ids import child_job_id
from orchestrator.lifecycle import StepStatus
from orchestrator.limits import MAX_GENERATIONS_ASKED
from orchestrator.model import CreateJob, JobOptions, JobRow, ParentRef, StepRow
from orchestrator.ports import Network
from orchestrator.reuse import keyed_job_id


class Launch:
    """One start of a child.

    Args:
        job: the parent.
        key: the operation's key.
        op: what to start.
        network: creates it.
        store: commits the operation's row.
    """

    def __init__(self, job: JobRow, key: str, op: StartOp, network: Network, store: Callable[[Settled], None]) -> None:
        self._job = job
        self._key = key
        self._op = op
        self._network = network
        self._store = store
        inherited = codec.decode_as(job.options, JobOptions)
        self._options = msgspec.structs.replace(
            op.options,
            mode="direct",
            priority=op.options.priority or inherited.priority,
            lane_keys=op.options.lane_keys or inherited.lane_keys,
            tenant=op.options.tenant or inherited.tenant,
        )

    async def run(self, row: StepRow, now_ms: Callable[[], int]) -> Settled:
        """Create the child, or find it; return the end of the operation."""
        payload = codec.decode(codec.encode(self._op.payload, what="child payload"))
        started = self._first() if row.value is None else codec.decode_as(row.value, StartedChild)
        for _ in range(MAX_GENERATIONS_ASKED):
            row = msgspec.structs.replace(row, value=codec.encode(started))
            self._store(Settled(row, advanced=False))
            created = await self._network.create(self._request(started, payload))
            if created.successor is None:
                return self._done(row, msgspec.structs.replace(started, own=created.own), now_ms())
            job_id = self._keyed_id(self._options.idempotency_key or "", created.successor)
            started = msgspec.structs.replace(started, job_id=job_id, generation=created.successor)
        raise RetryableError("The key's jobs changed while they were asked", code="object_unreachable")

    def _first(self) -> StartedChild:
        idempotency_key = self._op.options.idempotency_key
        if idempotency_key is None:
            job_id = child_job_id(self._job.job_id, self._job.generation, self._key, "")
        else:
            job_id = self._keyed_id(idempotency_key)
        return StartedChild(job_id=job_id, on_parent_end=self._op.on_parent_end)

    def _keyed_id(self, idempotency_key: str, generation: int = 0) -> str:
        return keyed_job_id(self._op.workflow, idempotency_key, generation, tenant=self._options.tenant)

    def _request(self, started: StartedChild, payload: object) -> CreateJob:
        return CreateJob(
            job_id=started.job_id,
            workflow=self._op.workflow,
            payload=payload,
            options=self._options,
            # The parent's generation is part of it: a retried parent does not take an earlier run's child for its own.
            parent=ParentRef(self._job.job_id, self._key, str(self._job.generation), detached=True),
            generation=started.generation,
        )

    def _done(self, row: StepRow, started: StartedChild, now_ms: int) -> Settled:
        done = msgspec.structs.replace(
            row,
            status=StepStatus.COMPLETED,
            finished_at_ms=now_ms,
            due_at_ms=None,
            value=codec.encode(started),
            error=None,
        )
        return Settled(done, Success(started.handle(self._key)), event=("step.completed", {"job_id": started.job_id}))
