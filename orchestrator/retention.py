"""Deletes an ended job for good: its large values, its line in the catalog, and everything its object stores.

The first commit makes the job unknown to callers; what follows may die at any point and is done again from its start by
the next alarm, until the object is empty.
"""

from __future__ import annotations

from orchestrator import codec, effects, large
from orchestrator.limits import DELETE_PAGES, STUB_IDLE_MS, STUB_POLL_MS, WATCHDOG_MS
from orchestrator.model import DeletedJob, JobOptions, JobRow
from orchestrator.ports import Blobs, Platform
from orchestrator.reuse import keyed_job_id
from orchestrator.state import RETENTION, JobState
from orchestrator.wakeup import Wakeup

_PAGE = 1_000


class Retention:
    """The end of one job's storage.

    Args:
        platform: the ports.
        state: the job.
        wakeup: its alarm.
    """

    def __init__(self, platform: Platform, state: JobState, wakeup: Wakeup) -> None:
        self._platform = platform
        self._state = state
        self._wakeup = wakeup
        self._journal = state.journal

    def is_due(self, job: JobRow) -> bool:
        """Tell whether something is to be deleted now."""
        due_ms = self._journal.due_ms(RETENTION) if self._state.has_ended(job) else None
        return due_ms is not None and due_ms <= self._state.now_ms()

    async def advance(self, job: JobRow) -> None:
        """Delete what there is; the last commit leaves an empty object."""
        if job.phase != "deleted":
            self._state.begin_deletion(job)
        waits_ms = self._journal.outbox.next_due_ms()
        if waits_ms is not None:
            # A parent that has not heard of the job's end hears of it first.
            self._journal.set_due(RETENTION, max(waits_ms, self._state.now_ms() + 1))
            return
        self._wakeup.watchdog(self._state.now_ms() + WATCHDOG_MS)
        await self._platform.sync()
        resources = self._platform.resources()
        try:
            if effects.has_some(job):
                await effects.forget(resources.database(), job.job_id)
            emptied = await _empty(resources.blobs(), large.prefix(job.job_id))
        finally:
            await resources.close()
        if not emptied:
            return  # the row is still due, so that the next tick goes on
        deleted = DeletedJob(id=job.job_id, created_at_ms=job.created_at_ms, deleted_at_ms=self._state.now_ms())
        await self._platform.network.forget(deleted)
        if await self._is_needed(job):
            return
        self._state.forget_everything()
        self._wakeup.forget()
        await self._platform.wipe()

    async def _is_needed(self, job: JobRow) -> bool:
        """Tell whether requests with the job's key still come by here on their way to a later job."""
        successor = self._journal.successor()
        options = codec.decode_as(job.options, JobOptions)
        key = options.idempotency_key
        if successor is None or key is None:
            return False
        if self._journal.purge():
            # Somebody may be on the way to the successor at this moment.
            self._journal.set_due(RETENTION, self._state.now_ms() + STUB_IDLE_MS)
            return True
        successor_id = keyed_job_id(job.workflow, key, successor, tenant=options.tenant)
        alive = await self._platform.network.alive(successor_id)
        if alive:
            self._journal.set_due(RETENTION, self._state.now_ms() + STUB_POLL_MS)
        return alive or not self.is_due(job) or self._journal.successor() != successor


async def _empty(blobs: Blobs, prefix: str) -> bool:
    """Remove the objects below a prefix; tell whether none is left."""
    for _ in range(DELETE_PAGES):
        keys = await blobs.list(prefix, limit=_PAGE)
        if not keys:
            return True
        await blobs.delete(*keys)
        if len(keys) < _PAGE:
            return True
    return False
