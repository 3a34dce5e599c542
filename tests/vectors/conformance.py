"""What every vector store must do. A test module subclasses the suite and provides the fixture ``stores``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import pytest

from steps.vectors import MetadataValue, VectorRow, VectorStore

T = TypeVar("T")

#: Gives the store of a namespace and tenant.
StoreFor = Callable[[str, str | None], VectorStore]
#: Opens whatever the stores need, within one event loop.
Stores = Callable[[], AbstractAsyncContextManager[StoreFor]]

EAST, NORTH, UP = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]


def row(document: str, chunk: str, vector: list[float], text: str = "text", /, **metadata: MetadataValue) -> VectorRow:
    return VectorRow(f"{document}#{chunk}", vector, text, {"documentId": document, **metadata})


def using(stores: Stores, scenario: Callable[[StoreFor], Awaitable[T]]) -> T:
    async def run() -> T:
        async with stores() as store_for:
            return await scenario(store_for)

    return asyncio.run(run())


class VectorStoreConformance:
    """Inherit it in a class whose name begins with ``Test``."""

    #: Whether deletes say how many rows they took.
    counts_deletes = True
    #: Characters that a row takes, at least.
    longest_text = 100_000

    def test_nearest_rows_come_first(self, stores: Stores) -> None:
        async def scenario(store_for: StoreFor) -> None:
            store = store_for("ns1", None)
            await store.upsert([row("d1", "a", NORTH), row("d1", "b", EAST, "to the east"), row("d1", "c", [1, 1, 0])])
            matches = await store.query([2.0, 0.0, 0.0], top_k=10)
            assert [match.id for match in matches] == ["d1#b", "d1#c", "d1#a"]
            assert [match.score for match in matches] == pytest.approx([1.0, 0.5**0.5, 0.0], abs=1e-6)
            assert (matches[0].text, matches[0].metadata) == ("to the east", {"documentId": "d1"})

        using(stores, scenario)

    def test_top_k_bounds_the_answer(self, stores: Stores) -> None:
        async def scenario(store_for: StoreFor) -> None:
            store = store_for("ns1", None)
            await store.upsert([row("d1", str(n), [1.0, n / 10, 0.0]) for n in range(9)])
            assert [match.id for match in await store.query(EAST, top_k=2)] == ["d1#0", "d1#1"]

        using(stores, scenario)

    def test_an_id_written_again_is_replaced(self, stores: Stores) -> None:
        async def scenario(store_for: StoreFor) -> None:
            store = store_for("ns1", None)
            await store.upsert([row("d1", "a", NORTH, "old", page_number=1)])
            for _ in range(2):
                await store.upsert([row("d1", "a", EAST, "new"), row("d1", "b", UP)])
            matches = await store.query(EAST, top_k=10)
            assert [(match.id, match.text) for match in matches] == [("d1#a", "new"), ("d1#b", "text")]
            assert matches[0].metadata == {"documentId": "d1"}

        using(stores, scenario)

    def test_writing_no_rows_does_nothing(self, stores: Stores) -> None:
        async def scenario(store_for: StoreFor) -> None:
            store = store_for("ns1", None)
            await store.upsert([])
            assert await store.query(EAST, top_k=10) == []

        using(stores, scenario)

    def test_an_unknown_namespace_is_empty(self, stores: Stores) -> None:
        async def scenario(store_for: StoreFor) -> None:
            store = store_for("nobody", None)
            assert await store.query(EAST, top_k=10) == []
            assert await store.query(EAST, top_k=10, document_id="d1") == []
            assert await store.delete_document("d1") in (0, None)

        using(stores, scenario)

    def test_a_document_goes_whole_and_alone(self, stores: Stores) -> None:
        async def scenario(store_for: StoreFor) -> None:
            store = store_for("ns1", None)
            await store.upsert([row("d1", "a", EAST), row("d2", "a", EAST), row("d1", "b", NORTH), row("d10", "a", UP)])
            assert await store.delete_document("d1") == (2 if self.counts_deletes else None)
            assert {match.id for match in await store.query(EAST, top_k=10)} == {"d2#a", "d10#a"}
            assert await store.delete_document("d1") == (0 if self.counts_deletes else None)

        using(stores, scenario)

    def test_several_documents_go_at_once(self, stores: Stores) -> None:
        async def scenario(store_for: StoreFor) -> None:
            store = store_for("ns1", None)
            assert await store.delete_documents(["d1"]) == {}  # the namespace is unknown
            await store.upsert([row(f"d{n}", "a", [1.0, n / 10, 0.0]) for n in range(12)])
            assert await store.delete_documents([f"d{n}" for n in range(11)]) == {}
            assert [match.id for match in await store.query(EAST, top_k=20)] == ["d11#a"]
            assert await store.delete_documents([]) == {}

        using(stores, scenario)

    def test_a_namespace_goes_whole_and_alone(self, stores: Stores) -> None:
        async def scenario(store_for: StoreFor) -> None:
            store, other = store_for("ns1", None), store_for("ns1", "t1")
            await store.drop()  # unknown is no error
            await store.upsert([row("d1", "a", EAST), row("d2", "a", EAST)])
            await other.upsert([row("d3", "a", EAST)])
            await store.drop()
            assert await store.query(EAST, top_k=5) == []
            assert [match.id for match in await other.query(EAST, top_k=5)] == ["d3#a"]

        using(stores, scenario)

    def test_a_query_can_keep_to_one_document(self, stores: Stores) -> None:
        async def scenario(store_for: StoreFor) -> None:
            store = store_for("ns1", None)
            await store.upsert([row("d1", "a", EAST), row("d2", "a", NORTH), row("d2", "b", [1, 1, 0])])
            found = await store.query(EAST, top_k=10, document_id="d2")
            assert [match.id for match in found] == ["d2#b", "d2#a"]
            assert await store.query(EAST, top_k=10, document_id="d' OR 1=1") == []

        using(stores, scenario)

    def test_namespaces_and_tenants_are_apart(self, stores: Stores) -> None:
        async def scenario(store_for: StoreFor) -> None:
            places = [("ns1", None), ("ns2", None), ("ns1", "t1"), ("ns1", "t2")]
            for number, place in enumerate(places):
                await store_for(*place).upsert([row("d1", "a", EAST, f"text {number}")])
            assert await store_for("ns1", "t1").delete_document("d1") in (1, None)
            left = [await store_for(*place).query(EAST, top_k=10) for place in places]
            assert [[match.text for match in matches] for matches in left] == [["text 0"], ["text 1"], [], ["text 3"]]

        using(stores, scenario)

    def test_metadata_keeps_its_types(self, stores: Stores) -> None:
        metadata: dict[str, MetadataValue] = {
            "filename": "é\"'\\.pdf",
            "sequence_number": 7,
            "ratio": 0.5,
            "public": True,
            "draft": False,
            "tags": ["a", "b"],
            "documentId": "d1",
        }

        async def scenario(store_for: StoreFor) -> None:
            store = store_for("ns1", None)
            await store.upsert([VectorRow("d1#a", EAST, "text", metadata)])
            (match,) = await store.query(EAST, top_k=1)
            assert match.metadata == metadata
            assert (match.metadata["public"], match.metadata["draft"]) == (True, False)
            assert isinstance(match.metadata["public"], bool)

        using(stores, scenario)

    def test_reserved_metadata_keys_are_renamed(self, stores: Stores) -> None:
        metadata: dict[str, MetadataValue] = {"id": "i", "vector": "v", "text": "t", "_id": "u", "$dist": 1}

        async def scenario(store_for: StoreFor) -> None:
            store = store_for("ns1", None)
            await store.upsert([row("d1", "a", EAST, "the text", **metadata)])
            (match,) = await store.query(EAST, top_k=1)
            assert (match.id, match.text) == ("d1#a", "the text")
            assert match.metadata == {
                "documentId": "d1",
                "__id": "i",
                "_id": "u",
                "_vector": "v",
                "_text": "t",
                "_$dist": 1,
            }
            assert await store.delete_document("d1") in (1, None)

        using(stores, scenario)

    def test_values_of_another_type_than_before_lose_no_document(self, stores: Stores) -> None:
        """Stores that keep types may write a value in the attribute's type, or beside it (W-13)."""

        async def scenario(store_for: StoreFor) -> None:
            store = store_for("ns1", None)
            await store.upsert([row("d1", "a", EAST, year="2020", tags=["a"], score=1)])
            await store.upsert([row("d2", "a", EAST, year=2021, tags="b", score="high")])
            await store_for("ns1", None).upsert([row("d3", "a", EAST, year=["2022"], tags=True, score=0.5)])
            await store.upsert([row("d4", "a", EAST, new=1), row("d4", "b", EAST, new="one")])
            found = {match.id: match.metadata for match in await store.query(EAST, top_k=10)}
            assert sorted(found) == ["d1#a", "d2#a", "d3#a", "d4#a", "d4#b"]
            assert found["d2#a"]["year"] in ("2021", 2021)
            assert "high" in found["d2#a"].values()
            assert ["2022"] in found["d3#a"].values()
            assert await store.delete_document("d2") in (1, None)

        using(stores, scenario)

    @pytest.mark.parametrize("text", ["", " \n", "東京 🚀 \u2028", "x" * 100_000])
    def test_any_text_is_kept(self, stores: Stores, text: str) -> None:
        text = text[: self.longest_text]

        async def scenario(store_for: StoreFor) -> None:
            store = store_for("ns1", None)
            await store.upsert([row("d1", "a", EAST, text)])
            assert [match.text for match in await store.query(EAST, top_k=1)] == [text]

        using(stores, scenario)

    def test_an_id_of_64_bytes_is_kept(self, stores: Stores) -> None:
        async def scenario(store_for: StoreFor) -> None:
            store = store_for("ns1", None)
            wanted = row("d" * 25, "c" * 38, EAST)
            await store.upsert([wanted])
            assert [match.id for match in await store.query(EAST, top_k=1)] == [wanted.id]

        using(stores, scenario)
