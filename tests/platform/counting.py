"""Do the counters fit the rows?"""

from __future__ import annotations

import pytest

from tests.platform.picture import Picture, Row
from tests.platform.scene import number


def assert_counted(picture: Picture) -> None:
    """Assert that every counter is what the rows come to; deleted pages stay in use until the cycle ends."""
    namespaces, documents = picture.tables["namespace"], picture.tables["document"]
    remembered = {row["document_id"]: row for row in picture.tables["counted"]}
    for namespace in namespaces:
        own = [row for row in documents if row["namespaceId"] == namespace["id"]]
        found = (namespace["totalIngestJobs"], namespace["totalDocuments"])
        ingest_jobs = [row for row in picture.tables["ingest_job"] if row["namespaceId"] == namespace["id"]]
        counted = sum(_counts(row, remembered.get(row["id"])) for row in own)
        assert found == (len(ingest_jobs), counted), namespace["id"]
        pages = sum(_pages(row, remembered.get(row["id"])) for row in own)
        assert number(namespace, "totalPages") == pytest.approx(pages, abs=1e-9), namespace["id"]
    for organization in picture.tables["organization"]:
        own = [row for row in namespaces if row["organizationId"] == organization["id"]]
        assert organization["totalNamespaces"] == len(own)
        for counter in ("totalIngestJobs", "totalDocuments"):
            assert organization[counter] == sum(number(row, counter) for row in own), organization["id"]
        held = number(organization, "totalPages") - number(organization, "deletedPages")
        assert held == pytest.approx(sum(number(row, "totalPages") for row in own), abs=1e-9)


def _counts(document: Row, remembered: Row | None) -> bool:
    if remembered is not None:
        return bool(remembered["counted"])
    return document["error"] != "Pages limit exceeded"


def _pages(document: Row, remembered: Row | None) -> float:
    if remembered is not None:
        return number(remembered, "pages")
    return number(document, "totalPages") if document["completedAt"] is not None else 0.0
