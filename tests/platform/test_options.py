"""What the platform's tasks say of their runs: how many at a time, how long at work, and their tags (domain.md §2)."""

from __future__ import annotations

import pytest

import steps
from orchestrator.model import CreateJob
from orchestrator.workflow import Workflow, discover

REGISTRY = discover(steps)
HOUR_MS = 3_600_000
NAMES: dict[str, object] = {"documentId": "c1", "jobId": "c2", "namespaceId": "n1", "organizationId": "o1"}
EVENT: dict[str, object] = {"webhookId": "w1", "eventId": "e1", "event": "document.ready", "payload": {}}


def tags_of(workflow: Workflow, payload: dict[str, object]) -> tuple[str, ...]:
    return workflow.accept(CreateJob(job_id="", workflow=workflow.name, payload=payload)).options.tags


@pytest.mark.parametrize(
    ("name", "concurrency", "hours", "payload", "tags"),
    [
        ("trigger-ingestion-job", 90, 12, NAMES, ("job_c2",)),
        ("trigger-document-job", 90, 3, {**NAMES, "ingestJobId": "c2"}, ("doc_c1",)),
        ("re-ingest-job", 90, 12, NAMES, ("job_c2",)),
        ("delete-document-job", 90, 0, NAMES, ("doc_c1",)),
        ("delete-ingest-job", 50, 0, NAMES, ("job_c2",)),
        ("delete-namespace-job", 50, 0, NAMES, ("ns_n1",)),
        ("delete-organization-job", 50, 0, NAMES, ("org_o1",)),
        ("meter-org-documents-job", 50, 0, NAMES, ("org_o1",)),
        ("send-webhook", 0, 0, EVENT, ("webhook_w1", "event_e1")),
        ("seed-demo-namespace", 90, 0, {**NAMES, "templateId": "t1"}, ("ns_n1", "org_o1", "template_t1")),
    ],
)
def test_options(name: str, concurrency: int, hours: int, payload: dict[str, object], tags: tuple[str, ...]) -> None:
    workflow = REGISTRY.get(name)
    lane = workflow.options.lane
    assert (0 if lane is None else lane.concurrency) == concurrency
    assert workflow.options.max_active_ms == hours * HOUR_MS
    assert tags_of(workflow, payload) == tags
