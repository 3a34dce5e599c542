from __future__ import annotations

from collections.abc import Iterator

import pytest

from local import postgres
from local.migrate import migrate
from tests.embeddings.stub_server import StubServer
from tests.ingestion.embedder import embeddings
from tests.ingestion.harness import Stage


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres.start(tmp_path_factory.mktemp("ingestion")) as server:
        migrate(server.url)
        yield server.url


@pytest.fixture
def embedder() -> Iterator[StubServer]:
    with StubServer(embeddings) as server:
        yield server


@pytest.fixture
def stage(database_url: str, embedder: StubServer) -> Stage:
    return Stage(database_url, embedder.url + "/v1")
