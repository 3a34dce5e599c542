"""What a job costs, what it may cost, and whether that is reached."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from orchestrator import codec
from orchestrator.errors import ErrorRecord
from orchestrator.meter import account_of
from orchestrator.model import Cost, JobBudget, JobOptions, JobRow
from orchestrator.prices import estimate_usd

_LIMITS = JobBudget.__struct_fields__


def cost_of(job: JobRow, storage_bytes: int) -> Cost:
    """Return what a job has used, and about what that costs."""
    usage = account_of(job).usage
    kept_ms = codec.decode_as(job.options, JobOptions).retention_ms
    return Cost(
        rows_written=job.rows_written,
        slices=job.slices,
        storage_bytes=storage_bytes,
        estimated_usd=estimate_usd(usage, rows_written=job.rows_written, storage_bytes=storage_bytes, kept_ms=kept_ms),
        **msgspec.structs.asdict(usage),
    )


def merged(*budgets: JobBudget) -> JobBudget:
    """Return the limits of several budgets: for each thing, the first that says one."""
    found: dict[str, float | None] = {}
    for name in _LIMITS:
        limits: list[float] = [limit for budget in budgets if (limit := getattr(budget, name)) is not None]
        found[name] = limits[0] if limits else None
    return msgspec.convert(found, JobBudget)


def excess(cost: Cost, budget: JobBudget) -> Sequence[str]:
    """Return what a job has used up, each with the limit."""
    found: list[str] = []
    for name in _LIMITS:
        limit: float | None = getattr(budget, name)
        used: float = getattr(cost, name)
        if limit is not None and used >= limit:
            found.append(f"{name} {used:.6g} of {limit:.6g}")
    return found


def budget_error(found: Sequence[str]) -> ErrorRecord:
    """Return why a job rests."""
    return ErrorRecord(code="budget_exceeded", message=f"The job has used up its budget: {', '.join(found)}")
