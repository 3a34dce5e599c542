"""pgvector: the conformance suite over both drivers, against a real Postgres."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from local.http import HttpxHttp
from steps.vectors.config import VectorStoreSettings
from steps.vectors.factory import vector_store_for
from tests.database.conftest import adapter, migrated_url, server, url
from tests.database.support import Adapter
from tests.vectors.conformance import StoreFor, Stores, VectorStoreConformance

#: pytest finds the fixtures that open the database here.
__all__ = ["adapter", "migrated_url", "server", "url"]

SETTINGS = VectorStoreSettings(vector_store_default="pgvector")
_numbers = itertools.count(1)


@pytest.fixture
def stores(adapter: Adapter) -> Stores:
    """Stores of the deployment's default, in namespaces of the test's own."""
    mine = f"test{next(_numbers)}"

    @asynccontextmanager
    async def opened() -> AsyncGenerator[StoreFor]:
        database = adapter.open()
        async with HttpxHttp() as http:
            yield lambda namespace_id, tenant_id: vector_store_for(
                None, SETTINGS, f"{mine}-{namespace_id}", tenant_id, http, database
            )
        await database.close()

    return opened


class TestPgvector(VectorStoreConformance):
    pass
