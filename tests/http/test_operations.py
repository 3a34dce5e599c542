"""Dead letters, metrics and the OpenAPI document."""

from __future__ import annotations

import re
from typing import Any

import pytest

from durable.catalog_model import CatalogCounts, JobCount
from durable.http.operations import metrics_text
from orchestrator.lifecycle import JobStatus
from tests.http.support import Api, inner_of, problem


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


@pytest.fixture
def document(api: Api) -> dict[str, Any]:
    return api.get("/openapi.json").json()


def test_the_document_knows_every_route(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert {
        "/healthz", "/v1/jobs", "/v1/jobs/batch", "/v1/jobs/{job_id}", "/v1/jobs/{job_id}/steps",
        "/v1/jobs/{job_id}/events", "/v1/jobs/{job_id}/cancel", "/v1/dead-letters", "/metrics", "/trigger/ingest",
        "/v1/jobs/bulk", "/v1/jobs/{job_id}/export", "/v1/dead-letters/{letter_id}/redrive",
        "/v1/dead-letters/redrive",
        "/trigger/re-ingest", "/trigger/delete-document", "/trigger/delete-ingest-job", "/trigger/delete-namespace",
        "/trigger/delete-organization", "/trigger/meter-org-documents",
    } <= set(document["paths"])  # fmt: skip


def test_every_operation_declares_its_problems(document: dict[str, Any]) -> None:
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert {"create_job", "create_jobs", "get_job", "list_jobs", "trigger_re_ingest", "redrive_dead_letter"} <= set(
        names
    )
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", name) for name in names)
    for operation in operations:
        assert operation["summary"]
        responses = operation["responses"]
        assert {"400", "401", "413", "422", "500", "503"} <= set(responses)
        failures = [response for status, response in responses.items() if int(status) >= 400]
        assert all(list(response["content"]) == ["application/problem+json"] for response in failures)


def test_the_document_says_what_needs_the_key(document: dict[str, Any]) -> None:
    assert document["security"] == [{"key": []}]
    assert document["components"]["securitySchemes"]["key"] == {"type": "http", "scheme": "bearer"}
    assert document["paths"]["/healthz"]["get"]["security"] == []


def references(value: object) -> set[str]:
    if isinstance(value, str):
        return {value} if value.startswith("#/") else set()
    found: set[str] = set()
    return found.union(*(references(item) for item in inner_of(value) or []))


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    names = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) <= names
