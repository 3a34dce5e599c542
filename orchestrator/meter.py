"""What a job uses of what the platform bills, counted in memory and stored with commits that happen anyway.

Counts that were not stored when an object dies are lost, as are those of a job that is only looked at: the meter costs
no row of its own, and is a little low rather than expensive.
"""

from __future__ import annotations

import msgspec

from orchestrator import codec
from orchestrator.model import JobBudget, JobRow


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a job has used so far, its rows written aside, which its own row counts."""

    rows_read: int = 0
    #: Calls that came to the job's object.
    requests: int = 0
    #: Calls to other objects: children, parent, catalog, lanes.
    calls: int = 0
    #: Requests to anything else: HTTP, object storage, queues, AI.
    subrequests: int = 0
    #: Messages written, read and deleted.
    queue_operations: int = 0
    #: Writes and lists of object storage, which cost more than the reads.
    blob_writes: int = 0
    blob_reads: int = 0
    alarms_set: int = 0
    alarms_fired: int = 0
    #: Wall time of ticks, read after input and output.
    active_ms: int = 0

    def plus(self, other: Usage) -> Usage:
        """Return the sum."""
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in Usage.__struct_fields__})


class Meter:
    """What an object has used since this was last stored. Adapters count into it."""

    def __init__(self) -> None:
        self.requests = 0
        self.calls = 0
        self.subrequests = 0
        self.queue_operations = 0
        self.blob_writes = 0
        self.blob_reads = 0
        self.alarms_set = 0
        self.alarms_fired = 0
        self._active_ms = 0
        self._active_since_ms: int | None = None
        self._rows_read_before = 0

    def begin(self, now_ms: int) -> None:
        """Take note that a tick begins."""
        self.alarms_fired += 1
        self._active_since_ms = now_ms

    def end(self, now_ms: int) -> None:
        """Take note that the tick has ended."""
        self._active_ms += now_ms - (now_ms if self._active_since_ms is None else self._active_since_ms)
        self._active_since_ms = None

    def take(self, now_ms: int, rows_read: int) -> Usage:
        """Return what was counted since the last call; ``rows_read`` is what the storage has counted in all."""
        active_ms = self._active_ms
        if self._active_since_ms is not None:
            active_ms += now_ms - self._active_since_ms
            self._active_since_ms = now_ms
        used = Usage(
            rows_read=rows_read - self._rows_read_before,
            requests=self.requests,
            calls=self.calls,
            subrequests=self.subrequests,
            queue_operations=self.queue_operations,
            blob_writes=self.blob_writes,
            blob_reads=self.blob_reads,
            alarms_set=self.alarms_set,
            alarms_fired=self.alarms_fired,
            active_ms=active_ms,
        )
        self._rows_read_before = rows_read
        self.requests = self.calls = self.subrequests = self.queue_operations = 0
        self.blob_writes = self.blob_reads = self.alarms_set = self.alarms_fired = self._active_ms = 0
        return used


class Account(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the row of a job holds beside its state: its usage, limits that somebody has raised, and undone runs."""

    usage: Usage = Usage()
    raised: JobBudget = JobBudget()
    #: How often what the job had done was undone.
    undone: int = 0
    #: Whether it may have rows in the ledger of database effects.
    effects: bool = False
    #: How much of the time at work was before its last retry.
    active_before_ms: int = 0


def account_of(job: JobRow) -> Account:
    """Return a job's account."""
    return Account() if job.account is None else codec.decode_as(job.account, Account)
