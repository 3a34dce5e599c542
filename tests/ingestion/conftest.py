from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import LiteralString

import pytest

from durable.postgres import AsyncpgDatabase
from local import postgres
from local.migrate import migrate
from tests.embeddings.stub_server import StubServer
from tests.ingestion.embedder import embeddings
from tests.ingestion.harness import Stage


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres.start(tmp_path_factory.mktemp("ingestion")) as server:
        migrate(server.url)
        # Hundreds of runs follow, and none of them kills the server: nothing needs to reach the disk.
        asyncio.run(_execute(server.url, "alter role platform set synchronous_commit = off"))
        yield server.url


async def _execute(url: str, statement: LiteralString) -> None:
    database = AsyncpgDatabase(url)
    await database.execute(statement)
    await database.close()


@pytest.fixture
def embedder() -> Iterator[StubServer]:
    with StubServer(embeddings) as server:
        yield server


@pytest.fixture
def stage(database_url: str, embedder: StubServer) -> Stage:
    return Stage(database_url, embedder.url + "/v1")
