"""One data point per job that ended, for Workers Analytics Engine, where its binding is there.

Columns are told apart by their place, so none is ever moved; a new one goes to the end. Neither payload nor error text:
points are kept for months.
"""

from __future__ import annotations

from typing import Final

import msgspec

from orchestrator.model import JobSummary

#: The binding's name in ``wrangler.toml``.
BINDING: Final = "ANALYTICS"
#: Longest index, in bytes (platform.md §6.1).
_INDEX_BYTES: Final = 96


class DataPoint(msgspec.Struct, frozen=True):
    """What Analytics Engine takes: ``blob1…``, ``double1…`` and the index it samples by."""

    indexes: list[str]
    blobs: list[str]
    doubles: list[float]


def point_of(job: JobSummary) -> DataPoint:
    """Return the point of a job that has ended."""
    ready_ms = job.ready_at_ms or job.created_at_ms
    started_ms, finished_ms = job.started_at_ms, job.finished_at_ms or job.updated_at_ms
    code = "" if job.error is None else job.error.partition(":")[0]
    return DataPoint(
        indexes=[job.workflow.encode()[:_INDEX_BYTES].decode(errors="ignore")],
        blobs=[job.workflow, job.status.value, code, job.id, job.parent_id or "", job.tenant or ""],
        doubles=[
            0 if started_ms is None else max(0, started_ms - ready_ms),
            0 if started_ms is None else max(0, finished_ms - started_ms),
            job.slices,
            job.crashes,
            job.rows_written,
        ],
    )
