"""Documents and batches that the tests ingest, and readers of what comes out."""

from __future__ import annotations

import msgspec
import pytest

from tests.ingestion.harness import NAMESPACE, Outcome, Row, Scenario

TEXT = "First paragraph of a text.\n\nSecond paragraph, with a 🚀."
STAMPS = ("queuedAt", "preProcessingAt", "processingAt", "completedAt")
CHUNKED = {"chunkSize": 64}


def paragraphs(count: int, word: str = "word") -> str:
    return "\n\n".join(f"Paragraph {index} has a {word} or two of its own." for index in range(count))


def mixed(*, failing: bool = False) -> Scenario:
    """Return a small batch of every kind that needs no server."""
    items: list[dict[str, object]] = [
        {"type": "TEXT", "text": paragraphs(3), "fileName": "one.txt"},
        {"type": "MANAGED_FILE", "key": f"namespaces/{NAMESPACE}/two-AbC1.md", "config": CHUNKED},
        {"type": "TEXT", "text": TEXT, "config": {"metadata": {"topic": "rockets", "year": 2026}}},
    ]
    if failing:
        items.append({"type": "MANAGED_FILE", "key": f"namespaces/{NAMESPACE}/missing.txt"})
    blobs = {f"namespaces/{NAMESPACE}/two-AbC1.md": ("# Title\n\n" + paragraphs(5)).encode()}
    return Scenario(payload={"type": "BATCH", "items": items}, blobs=blobs, name="A batch", tenant_id="tenant1")


def assert_counters(outcome: Outcome, documents: int) -> None:
    picture = outcome.picture
    pages = sum(number(row, "totalPages") for row in picture.documents if row["completedAt"] is not None)
    for row in (picture.namespace, picture.organization):
        assert row["totalDocuments"] == documents
        assert row["totalPages"] == pytest.approx(pages, abs=1e-9)


def number(row: Row, name: str) -> float:
    value = row[name]
    assert isinstance(value, int | float)
    return value


def stamps(row: Row) -> list[str]:
    return [str(row[name]) for name in STAMPS]


def mapping(value: object) -> Row:
    return msgspec.convert(value, Row)


def assert_same_chunks(outcome: Outcome) -> None:
    """Assert that ``chunks.json`` has the chunks that are searched, in order, and that nothing else is left."""
    document = outcome.picture.document
    file = outcome.chunk_file(document["id"])
    chunks = msgspec.convert(file["chunks"], list[Row])
    stored = {row["id"]: (row["body"], row["metadata"]) for row in outcome.picture.vectors}
    found = {
        f"{document['id']}#{chunk['id']}": (chunk["text"], {**mapping(file["metadata"]), **mapping(chunk["metadata"])})
        for chunk in chunks
    }
    assert found == stored
    assert [number(mapping(chunk["metadata"]), "sequence_number") for chunk in chunks] == list(range(len(chunks)))
    assert (file["total_chunks"], file["total_characters"]) == (document["totalChunks"], document["totalCharacters"])
    assert [key for key in outcome.objects if key.startswith("jobs/")] == []
