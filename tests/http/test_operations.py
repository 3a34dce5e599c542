"""Dead letters and metrics."""

from __future__ import annotations

from durable.catalog_model import CatalogCounts, JobCount
from durable.http.operations import metrics_text
from orchestrator.lifecycle import JobStatus
from tests.http.support import Api, problem


def test_a_failed_job_is_a_dead_letter(api: Api) -> None:
    api.start("keep")
    failed = api.start("broken")
    api.run()
    (letter,) = api.get("/v1/dead-letters").json()["dead_letters"]
    assert (letter["kind"], letter["job_id"], letter["workflow"]) == ("job", failed, "broken")
    assert letter["cause"] == "broken_thing: cannot be mended"
    problem(api.get("/v1/dead-letters?cursor=x"), 400, "invalid_cursor")


def test_metrics_count_jobs(api: Api) -> None:
    for name in ("keep", "keep", "broken"):
        api.start(name)
    api.run()
    answer = api.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    assert 'orchestrator_jobs{workflow="keep",status="completed"} 2' in lines
    assert 'orchestrator_jobs{workflow="broken",status="failed"} 1' in lines
    assert "orchestrator_dead_letters 1" in lines
    assert all(line.startswith(("#", "orchestrator_")) for line in lines)


def test_labels_are_escaped() -> None:
    counts = CatalogCounts(
        jobs=[JobCount('a"\\b\nc', JobStatus.QUEUED, 1)], dead_letters=0, overdue=2, oldest_queued_at_ms=1_000
    )
    text = metrics_text(counts, 3_500)
    assert r'orchestrator_jobs{workflow="a\"\\b\nc",status="queued"} 1' in text
    assert "orchestrator_oldest_queued_job_age_seconds 2.5" in text
