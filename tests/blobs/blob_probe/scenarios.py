"""What every object store must do. Runs on CPython and inside workerd."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence

from orchestrator.ports import Blobs

#: The smallest part that R2 would take of an upload in parts: pieces may be of any size here.
LARGE_BYTES = 6 * 1024 * 1024


async def objects_and_ranges(blobs: Blobs) -> None:
    assert (await blobs.head("absent"), await blobs.get("absent")) == (None, None)
    assert await blobs.get("absent", length=0) is None
    await blobs.put("a/1", b"first")
    info = await blobs.head("a/1")
    assert info is not None
    assert info.size == 5
    assert await blobs.get("a/1") == b"first"
    assert await blobs.get("a/1", offset=1, length=3) == b"irs"
    assert await blobs.get("a/1", offset=3, length=100) == b"st"
    assert await blobs.get("a/1", length=0) == b""
    await blobs.put("a/1", b"other")
    changed = await blobs.head("a/1")
    assert changed is not None
    assert changed.etag != info.etag


async def keys_in_order(blobs: Blobs) -> None:
    for name in ("k/b", "k/a", "k/c", "other"):
        await blobs.put(name, b"x")
    assert await blobs.list("k/") == ["k/a", "k/b", "k/c"]
    assert await blobs.list("k/", after="k/a") == ["k/b", "k/c"]
    assert await blobs.list("k/", limit=2) == ["k/a", "k/b"]
    await blobs.delete("k/a", "k/b", "k/never")
    assert await blobs.list("k/") == ["k/c"]


async def streams(blobs: Blobs) -> None:
    """Pieces of any size, none included, make one object."""
    pieces = [b"", b"head", bytes(range(256)) * (LARGE_BYTES // 256), b"\x00", b"", b"tail"]
    whole = b"".join(pieces)
    await blobs.put_stream("s/large", _pieces(pieces), len(whole))
    assert await blobs.get("s/large") == whole
    await blobs.put_stream("s/large", _pieces([b"short"]), 5)
    assert await blobs.get("s/large") == b"short"
    await blobs.put_stream("s/empty", _pieces([]), 0)
    assert await blobs.get("s/empty") == b""


async def broken_streams_store_nothing(blobs: Blobs) -> None:
    """An error in the pieces, or pieces of another length than announced, leave what was there."""
    await blobs.put("b/kept", b"before")
    for key in ("b/kept", "b/new"):
        for pieces, size in (([b"abc"], 4), ([b"abc", b"def"], 5), ([], 1)):
            assert await _error(blobs.put_stream(key, _pieces(pieces), size)) is ValueError
        assert await _error(blobs.put_stream(key, _breaking(), 10)) is ConnectionError
    assert await blobs.get("b/kept") == b"before"
    assert await blobs.head("b/new") is None


async def _error(operation: Awaitable[None]) -> type[Exception] | None:
    try:
        await operation
    except Exception as error:
        return type(error)
    return None


async def _pieces(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _breaking() -> AsyncIterator[bytes]:
    yield b"half"
    raise ConnectionError("the source is gone")


SCENARIOS: dict[str, Callable[[Blobs], Coroutine[None, None, None]]] = {
    scenario.__name__: scenario
    for scenario in (objects_and_ranges, keys_in_order, streams, broken_streams_store_nothing)
}
