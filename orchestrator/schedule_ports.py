"""Ports: what the engine of a schedule needs from the outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from orchestrator.lifecycle import JobStatus
from orchestrator.model import Created, CreateJob, JobView
from orchestrator.ports import Alarm, Clock, Sql
from orchestrator.schedule_model import ScheduleSummary


class ScheduledJobs(Protocol):
    """The jobs of a schedule. Every call may be repeated."""

    async def expect(self, job_ids: Sequence[str]) -> None:
        """Have jobs looked for that are about to be recorded, unless they tell of themselves."""
        ...

    async def create(self, request: CreateJob) -> Created:
        """Record a job in its own object, or find it there."""
        ...

    async def enqueue(self, queue: str, job_ids: Sequence[str]) -> None:
        """Send jobs' ids to a queue."""
        ...

    async def view(self, job_id: str) -> JobView:
        """Return a job's status.

        Raises:
            UnknownJobError: there is no such job.
        """
        ...

    async def cancel(self, job_id: str, reason: str) -> JobStatus:
        """Ask a job to stop.

        Raises:
            UnknownJobError: there is no such job.
            ConflictError: it has ended.
        """
        ...


class ScheduleIndex(Protocol):
    """The list of all schedules."""

    async def publish(self, summary: ScheduleSummary) -> None:
        """Bring the list up to date; older summaries than the one it has change nothing."""
        ...


class SchedulePlatform(Protocol):
    """The ports of one schedule's engine."""

    @property
    def clock(self) -> Clock:
        """The wall clock."""
        ...

    @property
    def sql(self) -> Sql:
        """The object's SQLite."""
        ...

    @property
    def alarm(self) -> Alarm:
        """The object's alarm."""
        ...

    @property
    def jobs(self) -> ScheduledJobs:
        """The jobs."""
        ...

    @property
    def index(self) -> ScheduleIndex:
        """The list of all schedules."""
        ...

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Write one structured log line; never payloads or secrets."""
        ...
