"""What is particular to the vector store in Postgres; what every store must do is in ``tests/vectors``."""

from __future__ import annotations

import pytest

from orchestrator.ports import Database
from steps.platform.errors import DatabaseRefusedError
from steps.vectors import VectorRow
from steps.vectors.pgvector import PgVectorStore
from tests.database.support import Adapter, value


def test_a_batch_is_one_statement_and_repeating_it_changes_nothing(adapter: Adapter) -> None:
    rows = [VectorRow(f"d#{n}", [0.1 * n, 1.0, -1e-9], f"text {n}", {"documentId": "d"}) for n in range(30)]

    async def body(database: Database) -> None:
        await database.execute("truncate wf.vector")
        store = PgVectorStore(database, "ns")
        for _ in range(2):
            await store.upsert([*rows, rows[0]])
            assert await value(database, "select count(*) from wf.vector") == len(rows)
        assert await store.delete_document("d") == len(rows)

    adapter.run(body)


def test_a_query_of_another_length_is_refused_for_good(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        store = PgVectorStore(database, "lengths")
        await store.upsert([VectorRow("d#1", [1.0, 0.0], "", {"documentId": "d"})])
        with pytest.raises(DatabaseRefusedError):
            await store.query([1.0, 0.0, 0.0], top_k=1)

    adapter.run(body)


def test_text_with_a_character_that_postgres_lacks(adapter: Adapter) -> None:
    async def body(database: Database) -> None:
        store = PgVectorStore(database, "zero")
        await store.upsert([VectorRow("d#1", [1.0], "a\0b", {"documentId": "d", "tags": ["\0"]})])
        (match,) = await store.query([1.0], top_k=1)
        assert (match.text, match.metadata["tags"]) == ("a\ufffdb", ["\ufffd"])

    adapter.run(body)
