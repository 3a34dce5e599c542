from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.embeddings.stub_server import StubServer
from tests.ingestion.embedder import embeddings
from tests.ingestion.harness import Stage


@pytest.fixture
def embedder() -> Iterator[StubServer]:
    with StubServer(embeddings) as server:
        yield server


@pytest.fixture
def stage(database_url: str, embedder: StubServer) -> Stage:
    return Stage(database_url, embedder.url + "/v1")
