"""Which config wins, and what ids are made of."""

from __future__ import annotations

import re

import pytest

from steps.parsing import ParseOptions
from steps.platform.document_input import DocumentConfig, FileSource, Source, TextSource, extra_metadata, overlaid
from steps.platform.ids import document_id, document_id_range, event_id
from tests.ingestion.harness import NAMESPACE, Row, Scenario, Stage
from tests.ingestion.samples import mapping, paragraphs


def test_a_documents_options_win_over_its_jobs() -> None:
    nothing = DocumentConfig()
    job = DocumentConfig(chunk_size=100, delimiter="|")
    document = DocumentConfig(chunk_size=200, delimiter="")
    assert overlaid(nothing, nothing).options == ParseOptions(2048, None)
    assert overlaid(job, nothing).options == ParseOptions(100, "|")
    assert overlaid(job, document).options == ParseOptions(200, "")
    assert overlaid(DocumentConfig(mode="fast", metadata={"a": 1}), document) == DocumentConfig(
        chunk_size=200, delimiter="", mode="fast"
    )


@pytest.mark.parametrize(
    ("source", "filename"), [(TextSource("x"), {"filename": "a.txt"}), (FileSource("http://a/b"), {})]
)
def test_later_metadata_wins(source: Source, filename: dict[str, str]) -> None:
    job = DocumentConfig(metadata={"a": "job", "b": "job", "tenantId": "job"})
    document = DocumentConfig(metadata={"b": "document", "documentId": "document", "tags": ["x", "y"]})
    assert extra_metadata("ns", "doc", "tenant", "a.txt", source, job, document) == {
        **filename,
        "a": "job",
        "b": "document",
        "tags": ["x", "y"],
        "tenantId": "tenant",
        "namespaceId": "ns",
        "documentId": "doc",
    }
    named = DocumentConfig(metadata={"filename": "other"})
    assert extra_metadata("ns", "doc", None, "a.txt", source, named, DocumentConfig())["filename"] == "other"
    assert "tenantId" not in extra_metadata("ns", "doc", None, None, source, DocumentConfig(), DocumentConfig())


def test_config_reaches_the_chunks(stage: Stage) -> None:
    own = {"chunkSize": 64, "metadata": {"level": "document", "sequence_number": "overridden"}, "mode": "fast"}
    items: list[Row] = [
        {"type": "TEXT", "text": paragraphs(4), "fileName": "a.txt", "config": own},
        {"type": "TEXT", "text": paragraphs(4), "fileName": "b.txt", "config": {"chunkSize": None}},
    ]
    scenario = Scenario(
        payload={"type": "BATCH", "items": items},
        config={"chunkSize": 4096, "metadata": {"level": "job", "filename": "from the job"}, "languageCode": "en"},
        tenant_id="tenant1",
    )
    picture = stage.run(scenario).picture
    assert [row["totalChunks"] for row in picture.documents] == [4, 1]
    assert [row["config"] for row in picture.documents] == [own, {"chunkSize": None}]
    assert {row["tenantId"] for row in picture.documents} == {"tenant1"}
    assert {row["namespace"] for row in picture.vectors} == {f"as_{NAMESPACE}_tenant1"}
    by_document = {str(row["document_id"]): mapping(row["metadata"]) for row in picture.vectors}
    shared = {"filename": "from the job", "tenantId": "tenant1", "namespaceId": NAMESPACE}
    first, second = (str(row["id"]) for row in picture.documents)
    assert by_document[first].pop("sequence_number") in range(4)
    assert by_document[first] == {**shared, "level": "document", "documentId": first}
    assert by_document[second] == {**shared, "level": "job", "documentId": second, "sequence_number": 0}


def test_document_ids() -> None:
    ids = [document_id("cjob", index) for index in (*range(200), 35_999, 1_000_000, 36**6 - 1)]
    assert ids == sorted(set(ids))
    assert all(re.fullmatch(r"c[0-9a-z]{24}", each) for each in ids)
    first, last = document_id_range("cjob")
    assert all(first < each < last for each in ids)
    assert not first < document_id("cother", 0) < last
    assert document_id("cjob", 7) == ids[7]
    with pytest.raises(ValueError, match="at most"):
        document_id("cjob", 36**6)


def test_event_ids() -> None:
    ids = {event_id(run, event, subject) for run in "ab" for event in "cd" for subject in "ef"}
    assert len(ids) == 8
    assert all(re.fullmatch(r"evt_[A-Za-z0-9_-]{25}", each) for each in ids)
    assert event_id("a", "c", "e") in ids
