"""The platform's own numbers: what its customers, its providers and its other parts can notice."""

from __future__ import annotations

import pytest

import steps
from orchestrator.workflow import discover
from steps import (
    chunks,
    delete_namespace,
    delete_organization,
    deletion,
    document_service,
    ingest,
    redis,
    seed_demo,
    settle_parse,
)
from steps.billing import stripe
from steps.embeddings import MAX_TEXTS_PER_CALL
from steps.parser_service import config, requests, waiting
from steps.platform import webhooks
from steps.vectors import pinecone, turbopuffer
from steps.webhooks import delivery, ladder

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("workflow", "concurrency"),
    [
        ("trigger-ingestion-job", 90),
        ("trigger-document-job", 90),
        ("re-ingest-job", 90),
        ("delete-document-job", 90),
        ("delete-ingest-job", 50),
        ("delete-namespace-job", 50),
        ("delete-organization-job", 50),
        ("meter-org-documents-job", 50),
        ("seed-demo-namespace", 90),
        # One receiver is not run over, and nothing else bounds deliveries: docs/decisions/0036-webhook-delivery.md.
        ("send-webhook", None),
    ],
)
def test_jobs_that_run_at_a_time(workflow: str, concurrency: int | None) -> None:
    """domain.md §2, "Options" of each job."""
    [found] = [item for item in discover(steps) if item.name == workflow]
    lane = found.options.lane
    assert (None if lane is None else lane.concurrency) == concurrency
    same = [item.name for item in discover(steps) if lane is not None and item.options.lane == lane]
    assert len(same) <= 1, "each counts by itself"


@pytest.mark.parametrize(
    ("section", "found", "expected"),
    [
        ("2.1 documents at a time", ingest.WINDOW, 30),
        ("2.1 the parser's time", waiting.PARSE_TIMEOUT_MS, 2 * HOUR_MS),
        ("2.2 chunks of a batch", requests.BATCH_SIZE, 30),
        ("2.2 keys of one DEL", redis.DELETE_KEYS, 150),
        ("2.6 ingest jobs at a time", delete_namespace.WINDOW, 30),
        ("2.7 namespaces at a time", delete_organization.WINDOW, 30),
        ("2.10 rows of an upsert", seed_demo.UPSERT_ROWS, 30),
        ("2.12 events of a call", stripe.MAX_EVENTS, 100),
        ("2.12 version", stripe.VERSION, "2025-02-24.acacia"),
        ("2.12 meter", stripe.EVENT_NAME, "ingested_pages"),
        ("3.1 address of a file, in s", document_service.FILE_URL_EXPIRES_S, 86_400),
        ("3.4 texts of a call", MAX_TEXTS_PER_CALL, 30),
        ("3.4 attempts", chunks.EMBEDDING_RETRY.max_attempts, 6),
        ("3.5 deletes per second", deletion.PINECONE_DELETES_PER_S, 5),
        ("3.5 version", pinecone.API_VERSION, "2025-01"),
        ("3.5 region", turbopuffer.MANAGED_REGION, "aws-us-east-1"),
        ("5.4 a receiver's time", delivery.TIMEOUT_MS, 20_000),
        ("5.4 attempts", ladder.MAX_ATTEMPTS, 10),
        ("5.4 warnings", webhooks.WARNED_AFTER, {5, 10, 15}),
        ("5.4 the end", webhooks.DISABLED_AFTER, 20),
        (
            "7 lost callbacks are looked for",
            config.POLL_MS < waiting.PARSE_TIMEOUT_MS < settle_parse.SETTLE_AFTER_MS,
            True,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_the_platforms_numbers(section: str, found: object, expected: object) -> None:
    assert found == expected, section


def test_the_waits_of_embedding_calls() -> None:
    """domain.md §3.4: 2, 4, 8, 16 and 32 s."""
    policy = chunks.EMBEDDING_RETRY
    waits_ms = [
        min(policy.max_interval_ms, policy.initial_interval_ms * 2**at) for at in range(policy.max_attempts - 1)
    ]
    assert (waits_ms, policy.jitter) == ([2_000, 4_000, 8_000, 16_000, 32_000], "none")
