from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest

from durable.postgres import AsyncpgDatabase
from local import postgres
from local.migrate import migrate
from local.postgres import LocalPostgres
from tests.database.support import ADAPTERS, Adapter

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPostgres]:
    with postgres.start(tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture(scope="session")
def migrated_url(server: LocalPostgres) -> str:
    """URL of a database with the whole schema, shared by all tests."""
    url = _create_database(server)
    migrate(url)
    return url


@pytest.fixture
def url(migrated_url: str) -> str:
    """The shared database, where new tables go to a schema of the test's own."""
    name = f"test_{next(_numbers)}"
    database = migrated_url.rpartition("/")[2]
    _administer(migrated_url, f"create schema {name}; alter database {database} set search_path = {name}, public")
    return migrated_url


@pytest.fixture
def empty_url(server: LocalPostgres) -> str:
    """URL of an empty database of the test's own."""
    return _create_database(server)


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest, url: str) -> Adapter:
    return Adapter(request.param, url, ADAPTERS[request.param])


def _create_database(server: LocalPostgres) -> str:
    name = f"database_{next(_numbers)}"
    _administer(server.url, f"create database {name}")
    return server.url.rpartition("/")[0] + f"/{name}"


def _administer(url: str, statement: str) -> None:
    async def run() -> None:
        database = AsyncpgDatabase(url)
        await database.execute(statement)  # pyright: ignore[reportArgumentType] - names made here
        await database.close()

    asyncio.run(run())
