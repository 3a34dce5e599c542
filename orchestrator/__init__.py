"""Durable workflows on Durable Objects: what workflow authors import."""

from __future__ import annotations

from orchestrator.child_operations import ChildHandle
from orchestrator.context import JobContext
from orchestrator.errors import NonRetryableError, OrchestratorError, RetryableError, StepFailedError
from orchestrator.lane import KeyLimit, LanePolicy, Rate
from orchestrator.model import ChildOutcome, JobBudget, JobOptions, Progress
from orchestrator.operations import Batch, BatchSize, ChildrenResult, ChildRequest, EachResult
from orchestrator.ports import Connection
from orchestrator.retry import NO_RETRY, RetryPolicy
from orchestrator.schedule import Schedule
from orchestrator.sources import ListSource, Page, Source
from orchestrator.step_context import StepContext, current_step
from orchestrator.workflow import Workflow, WorkflowOptions, workflow

__all__ = [
    "NO_RETRY",
    "Batch",
    "BatchSize",
    "ChildHandle",
    "ChildOutcome",
    "ChildRequest",
    "ChildrenResult",
    "Connection",
    "EachResult",
    "JobBudget",
    "JobContext",
    "JobOptions",
    "KeyLimit",
    "LanePolicy",
    "ListSource",
    "NonRetryableError",
    "OrchestratorError",
    "Page",
    "Progress",
    "Rate",
    "RetryPolicy",
    "RetryableError",
    "Schedule",
    "Source",
    "StepContext",
    "StepFailedError",
    "Workflow",
    "WorkflowOptions",
    "current_step",
    "workflow",
]
