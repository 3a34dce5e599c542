"""Do the counters fit the rows?"""

from __future__ import annotations

import pytest

from tests.platform.picture import Picture, Row
from tests.platform.scene import number


def assert_counted(picture: Picture) -> None:
    """Assert that every counter is what the rows come to; deleted pages stay in use until the cycle ends."""
    namespaces, documents = picture.tables["namespace"], picture.tables["document"]
    for namespace in namespaces:
        own = [row for row in documents if row["namespaceId"] == namespace["id"]]
        found = (namespace["totalIngestJobs"], namespace["totalDocuments"])
        ingest_jobs = [row for row in picture.tables["ingest_job"] if row["namespaceId"] == namespace["id"]]
        assert found == (len(ingest_jobs), sum(map(_counts, own))), namespace["id"]
        pages = sum(number(row, "totalPages") for row in own if row["completedAt"] is not None)
        assert number(namespace, "totalPages") == pytest.approx(pages, abs=1e-9), namespace["id"]
    for organization in picture.tables["organization"]:
        own = [row for row in namespaces if row["organizationId"] == organization["id"]]
        assert organization["totalNamespaces"] == len(own)
        for counter in ("totalIngestJobs", "totalDocuments"):
            assert organization[counter] == sum(number(row, counter) for row in own), organization["id"]
        held = number(organization, "totalPages") - number(organization, "deletedPages")
        assert held == pytest.approx(sum(number(row, "totalPages") for row in own), abs=1e-9)


def _counts(document: Row) -> bool:
    return document["error"] != "Pages limit exceeded"
