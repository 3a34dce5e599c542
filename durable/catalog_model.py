"""What the catalog is asked and what it answers."""

from __future__ import annotations

from typing import Literal

import msgspec

from durable.tallies import WorkflowTally
from orchestrator.lifecycle import JobStatus
from orchestrator.model import DeadLetter, JobSummary


class JobQuery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which jobs to list, newest first. ``cursor`` is what the page before answered as ``next_cursor``."""

    workflow: str | None = None
    status: JobStatus | None = None
    tag: str | None = None
    #: Created at this time or later, and before that time.
    created_after_ms: int | None = None
    created_before_ms: int | None = None
    #: Only jobs of this tenant, and of these workflows, any when None: what the caller's key may see.
    tenant: str | None = None
    workflows: tuple[str, ...] | None = None
    cursor: str | None = None
    limit: int = 50
    #: Whether the answer may leave out shards that do not answer, and name them.
    partial: bool = False


class JobPage(msgspec.Struct, frozen=True):
    """One page of jobs."""

    jobs: list[JobSummary]
    next_cursor: str | None
    #: The shards that did not answer, or do not know all of their jobs yet.
    incomplete: list[str] = []


class DeadLetterQuery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which dead letters to list, newest first; ``redriven`` tells those that were tried again from the others."""

    kind: Literal["job", "step", "message"] | None = None
    workflow: str | None = None
    redriven: bool | None = None
    created_after_ms: int | None = None
    created_before_ms: int | None = None
    #: Only letters of this tenant's jobs, and of these workflows' jobs, any when None.
    tenant: str | None = None
    workflows: tuple[str, ...] | None = None
    cursor: str | None = None
    limit: int = 50
    #: Whether the answer may leave out shards that do not answer, and name them.
    partial: bool = False


class DeadLetterPage(msgspec.Struct, frozen=True):
    """One page of dead letters."""

    dead_letters: list[DeadLetter]
    next_cursor: str | None
    #: The shards that did not answer, or do not know all of their jobs yet.
    incomplete: list[str] = []


class JobCount(msgspec.Struct, frozen=True):
    """How many jobs of a workflow are in a status."""

    workflow: str
    status: JobStatus
    count: int


class CatalogCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers behind ``/metrics``."""

    jobs: list[JobCount] = []
    dead_letters: int = 0
    #: Jobs that are late, as the sweeper sees them.
    overdue: int = 0
    #: Late jobs that did not change although the sweeper looked after them.
    stuck: int = 0
    #: When the oldest job that waits in a queue was created.
    oldest_queued_at_ms: int | None = None
    #: What ended since the catalog came into being, and within the window that was asked for.
    ended: list[WorkflowTally] = []
    ended_lately: list[WorkflowTally] = []
    #: The shards that do not know all of their jobs yet, and those that did not answer.
    incomplete: list[str] = []
    unreachable: list[str] = []


class CountsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """At which moment to count, and how far to look back for what ended lately."""

    now_ms: int
    grace_ms: int
    window_ms: int


class OverdueQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs the sweeper should look after."""

    now_ms: int
    grace_ms: int
    limit: int


class ShardState(msgspec.Struct, frozen=True, kw_only=True):
    """How complete a shard is."""

    name: str
    jobs: int
    #: Whether it knows every job of its own.
    complete: bool
    #: While it recovers: the ledger it reads, and jobs of this pass that did not answer.
    ledger: int
    skipped: int
    #: When it reads on, in Unix ms.
    due_at_ms: int | None


class Redriven(msgspec.Struct, frozen=True, kw_only=True):
    """Take note that a dead letter was tried again."""

    id: str
    at_ms: int
