"""The elements of an array inside a JSON object, read some at a time."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.parsing import DocumentError, InlineReader
from steps.parsing.json_elements import ArrayPosition, JsonElements

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def read(text: str, *, limit: int = 3, range_bytes: int = 8, hot: bool = True) -> tuple[dict[str, object], list[object]]:  # fmt: skip  # noqa: E501
    async def run() -> tuple[dict[str, object], list[object]]:
        reader = InlineReader(text)
        elements = JsonElements(reader, "chunks", range_bytes=range_bytes)
        members, position = await elements.open()
        items: list[object] = []
        while True:
            if not hot:
                elements = JsonElements(reader, "chunks", range_bytes=range_bytes)
            page = await elements.take(position, limit)
            items += page.items
            assert len(page.items) <= limit
            assert page.position.index == len(items)
            if page.done:
                return {**members, **page.rest}, items
            position = page.position

    return asyncio.run(run())


@settings(max_examples=150, deadline=None)
@given(
    before=st.dictionaries(st.text().filter(lambda name: name != "chunks"), VALUES, max_size=3),
    items=st.lists(VALUES, max_size=12),
    after=st.dictionaries(st.text().filter(lambda name: name != "chunks"), VALUES, max_size=2),
    indent=st.sampled_from([None, 2]),
    ascii_only=st.booleans(),
    limit=st.integers(1, 5),
    range_bytes=st.integers(1, 64),
    hot=st.booleans(),
)
def test_any_object_read_in_any_pieces(
    before: dict[str, object],
    items: list[object],
    after: dict[str, object],
    indent: int | None,
    ascii_only: bool,
    limit: int,
    range_bytes: int,
    hot: bool,
) -> None:
    after = {f"after {name}": value for name, value in after.items()}
    document = {**before, "chunks": items, **after}
    try:
        text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
        text.encode()
    except UnicodeEncodeError:
        return  # half a surrogate pair is no text that a file can hold
    if "\0" in text:
        return  # refused, as everywhere: no file of ours has one
    assert read(text, limit=limit, range_bytes=range_bytes, hot=hot) == ({**before, **after}, items)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "null", "{}", '{"chunks":', '{"chunks":{}}', '{"chunks":[1', '{"chunks":[1,', '{"chunks":[1,]}'),
        *('{"chunks":[1 2]}', '{"chunks":[1]', '{"chunks":[1],}', '{"chunks":[1] "a":1}', '{"chunks":[1],"a"}'),
        *(
            '{"a":1 "chunks":[]}',
            '{"a":1}',
            "{a:1}",
            '{"chunks":[NaN]}',
            '{"chunks":["x]}',
            '{"chunks":[1],"chunks":[]}',
        ),
        *('{"chunks":[' + "[" * 300 + "]" * 300 + "]}", '{"chunks":[tru]}', '{"a":1,"chunks":[01]}'),
    ],
)
@pytest.mark.parametrize("range_bytes", [1, 4096])
def test_what_is_no_such_object(text: str, range_bytes: int) -> None:
    with pytest.raises(DocumentError) as caught:
        read(text, range_bytes=range_bytes)
    assert caught.value.error_code == "invalid_json"


def test_a_page_ends_when_it_is_large() -> None:
    text = json.dumps({"chunks": ["x" * 100] * 10})

    async def first() -> int:
        elements = JsonElements(InlineReader(text), "chunks")
        _, position = await elements.open()
        return len((await elements.take(position, 10, max_chars=250)).items)

    assert asyncio.run(first()) == 3


def test_memory_stays_at_one_window() -> None:
    """Twenty megabytes are read, and no more than a few windows are asked for at a time."""
    element = json.dumps({"id": "x" * 36, "text": "y" * 2_000})
    size = 20_000_000
    body = b'{"chunks":[' + b",".join([element.encode()] * (size // len(element))) + b"]}"

    class Watched:
        largest = 0

        @property
        def size_bytes(self) -> int:
            return len(body)

        async def read(self, offset: int, length: int) -> bytes:
            Watched.largest = max(Watched.largest, length)
            return body[offset : offset + length]

    async def count() -> int:
        elements = JsonElements(Watched(), "chunks")
        _, position = await elements.open()
        found = 0
        while True:
            page = await elements.take(position, 480)
            found += len(page.items)
            if page.done:
                return found
            position = page.position

    assert asyncio.run(count()) == size // len(element)
    assert Watched.largest <= 1_000_000
    assert ArrayPosition(11).index == 0
