"""Fixtures that every part of the tests may use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import LiteralString

import pytest

from durable.postgres import AsyncpgDatabase
from local import postgres
from local.migrate import migrate
from local.process import LocalStack

pytest_plugins = ["orchestrator.testing.plugin"]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The whole local stack with the real Worker, on a state directory of its own."""
    with LocalStack(tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Postgres with the platform's tables; whoever uses it empties them first."""
    with postgres.start(tmp_path_factory.mktemp("postgres")) as server:
        migrate(server.url)
        # Hundreds of runs follow, and none of them kills the server: nothing needs to reach the disk.
        asyncio.run(_execute(server.url, "alter role platform set synchronous_commit = off"))
        yield server.url


async def _execute(url: str, statement: LiteralString) -> None:
    database = AsyncpgDatabase(url)
    await database.execute(statement)
    await database.close()
