"""The object store that tests use behaves like the real ones."""

from __future__ import annotations

import asyncio

from orchestrator.testing.blobs import MemoryBlobs


def test_objects_and_ranges() -> None:
    async def body() -> None:
        blobs = MemoryBlobs()
        assert (await blobs.head("a"), await blobs.get("a")) == (None, None)
        await blobs.put("a/1", b"first")
        await blobs.put("a/2", b"second")
        await blobs.put("b", b"third")
        info = await blobs.head("a/1")
        assert info is not None
        assert info.size == 5
        assert await blobs.get("a/1", offset=1, length=3) == b"irs"
        assert await blobs.get("a/1", offset=3, length=100) == b"st"
        assert await blobs.list("a/") == ["a/1", "a/2"]
        assert await blobs.list("a/", after="a/1") == ["a/2"]
        assert await blobs.list("", limit=2) == ["a/1", "a/2"]
        await blobs.put("a/1", b"other")
        changed = await blobs.head("a/1")
        assert changed is not None
        assert changed.etag != info.etag
        await blobs.delete("a/1", "absent")
        assert await blobs.list("a/") == ["a/2"]

    asyncio.run(body())
