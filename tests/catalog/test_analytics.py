"""The point of a job that ended: its columns keep their places, and hold nothing private."""

from __future__ import annotations

import msgspec
import pytest

from durable.analytics import DataPoint, point_of
from orchestrator.lifecycle import JobStatus
from orchestrator.model import JobSummary
from tests.catalog.test_tallies import ended


def failed(**changes: object) -> JobSummary:
    error = "http_500: the customer's own words"
    job = ended(1, 6_000, JobStatus.FAILED, error=error, parent_id="run_0", tenant="t_1")
    return msgspec.structs.replace(job, **changes)


def test_columns_keep_their_places() -> None:
    assert point_of(failed()) == DataPoint(
        indexes=["keep"],
        blobs=["keep", "failed", "http_500", "run_1", "run_0", "t_1"],
        doubles=[400, 4_600, 2, 1, 30],
    )


def test_a_job_that_never_started_has_no_durations() -> None:
    job = failed(started_at_ms=None, status=JobStatus.EXPIRED, error=None, parent_id=None, tenant=None)
    assert point_of(job).blobs[1:] == ["expired", "", "run_1", "", ""]
    assert point_of(job).doubles[:2] == [0, 0]


@pytest.mark.parametrize("name", ["é" * 200, "x" * 200, "€" * 40])
def test_an_index_has_at_most_96_bytes(name: str) -> None:
    (index,) = point_of(failed(workflow=name)).indexes
    assert len(index.encode()) in range(93, 97)
    assert name.startswith(index)
