"""The state machine of a job: which status may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class JobStatus(StrEnum):
    """Where a job stands (design.md §2)."""

    QUEUED = "queued"
    WAITING = "waiting"
    RUNNING = "running"
    SUSPENDED = "suspended"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class StepStatus(StrEnum):
    """Where a step stands."""

    RUNNING = "running"
    RETRYING = "retrying"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"


TERMINAL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.EXPIRED})
#: Statuses in which a slice may run.
ACTIVE = frozenset({JobStatus.RUNNING, JobStatus.SUSPENDED, JobStatus.CANCELLING})

_ENDS_OF_WORK = frozenset({JobStatus.COMPLETED, JobStatus.FAILED})
TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = MappingProxyType(
    {
        JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.CANCELLED, JobStatus.EXPIRED}),
        JobStatus.WAITING: frozenset({JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.CANCELLED, JobStatus.EXPIRED})
        | {JobStatus.CANCELLING},
        # To waiting: its lane has no permit for it now.
        JobStatus.RUNNING: frozenset({JobStatus.SUSPENDED, JobStatus.WAITING, JobStatus.PAUSED, JobStatus.CANCELLING})
        | _ENDS_OF_WORK,
        JobStatus.SUSPENDED: frozenset({JobStatus.RUNNING, JobStatus.WAITING, JobStatus.PAUSED, JobStatus.CANCELLING})
        | _ENDS_OF_WORK,
        JobStatus.PAUSED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLING}),
        JobStatus.CANCELLING: frozenset({JobStatus.CANCELLED}),
        # An ended job runs again only when somebody retries it: a completed one when steps of it gave up.
        JobStatus.COMPLETED: frozenset({JobStatus.RUNNING}),
        JobStatus.FAILED: frozenset({JobStatus.RUNNING}),
        JobStatus.CANCELLED: frozenset({JobStatus.RUNNING}),
        JobStatus.EXPIRED: frozenset({JobStatus.RUNNING}),
    }
)


def may_follow(current: JobStatus, following: JobStatus) -> bool:
    """Tell whether a job in ``current`` may go to ``following``; staying is always allowed."""
    return current == following or following in TRANSITIONS[current]
