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


async def ranges_at_the_end(blobs: Blobs) -> None:
    """Nothing is left there, and that is no error: R2's own answer to such a range is."""
    await blobs.put("e/five", b"first")
    await blobs.put("e/empty", b"")
    assert await blobs.get("e/five", offset=4) == b"t"
    for offset, length in ((5, None), (5, 3), (9, None), (50, 3)):
        assert await blobs.get("e/five", offset=offset, length=length) == b""
        assert await blobs.get("e/absent", offset=offset, length=length) is None
    assert await blobs.get("e/empty") == b""
    assert await blobs.get("e/empty", length=10) == b""
    assert await blobs.get("e/empty", offset=1, length=10) == b""


async def what_is_out_of_bounds_is_refused(blobs: Blobs) -> None:
    await blobs.put("x" * 1_024, b"at the bound")
    assert await _error(blobs.put("x" * 1_025, b"over it")) is not None
    assert await _error(blobs.put("é" * 513, b"over it")) is not None
    assert await _error(blobs.list("x", limit=1_001)) is not None
    assert await _error(blobs.list("x", limit=0)) is not None
    assert await _error(blobs.get("x" * 1_024, offset=-1)) is not None
    assert await blobs.list("x") == ["x" * 1_024]


async def many_keys_and_any_letters(blobs: Blobs) -> None:
    """Keys are in the order of their bytes; a deletion may name more than R2 takes at once."""
    names = ["m/", "m/10", "m/9", "m/A", "m/_", "m/a", "m/ ?#%", "m/é", "m/\uffee", "m/\U0001f600"]
    for name in names:
        await blobs.put(name, name.encode())
    assert await blobs.list("m/") == sorted(names, key=str.encode)
    assert await blobs.get("m/\U0001f600") == "m/\U0001f600".encode()
    await blobs.delete(*(f"m/never {number}" for number in range(1_500)), *names[1:])
    assert await blobs.list("m/") == ["m/"]


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


async def _error(operation: Awaitable[object]) -> type[Exception] | None:
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
    for scenario in (
        objects_and_ranges,
        ranges_at_the_end,
        what_is_out_of_bounds_is_refused,
        many_keys_and_any_letters,
        keys_in_order,
        streams,
        broken_streams_store_nothing,
    )
}
