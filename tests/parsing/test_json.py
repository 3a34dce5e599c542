"""JSON and JSON Lines."""

from __future__ import annotations

import json
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.parsing import DocumentSource
from steps.parsing.json_depth import exceeds_depth
from steps.parsing.limits import JSON_VALUE_CHARS_MAX
from tests.parsing.support import (
    MemoryReader,
    RepeatingReader,
    drive,
    error_of,
    read_all,
    read_pages,
    read_texts,
    source_of,
)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ('{"a": 1.10, "b": {"c": [1, 2], "d": null}, "e": true}', ["a: 1.10\nb.c: 1, 2\ne: true"]),
        ('[{"n": 1}, {"n": 2}]', ["n: 1\n\nn: 2"]),
        ('"just text"', ["just text"]),
        ('{"items": [{"x": "a"}, {"x": "b"}]}', ["items[0].x: a\nitems[1].x: b"]),
        ('{"half": "\\ud83d", "nul": "a\\u0000b"}', ["half: \ufffd\nnul: ab"]),
        ("123456789012345678901234567890", ["123456789012345678901234567890"]),
    ],
)
def test_values_become_labelled_lines(document: str, expected: list[str]) -> None:
    assert read_texts(document, "a.json") == expected


def test_json_lines_become_a_paragraph_each() -> None:
    assert read_texts('{"a": 1}\n\n{"a": "x\\ny"}\r\n[1, 2]\n', "a.jsonl") == ["a: 1\n\na: x\ny\n\n1, 2"]


def test_a_json_document_that_holds_json_lines_is_read_as_such() -> None:
    source = source_of(b'{"a": 1}\n{"a": 2}\n', "a.json")
    assert [chunk.text for page in read_pages(source) for chunk in page.items] == ["a: 1\n\na: 2"]
    assert source.format == "jsonl"


def test_large_arrays_are_read_element_by_element() -> None:
    records = [{"id": n, "text": "x" * 50} for n in range(5000)]
    texts = read_texts(json.dumps(records), "a.json", chunk_size=80)
    assert len(texts) == 5000
    assert texts[4999] == "id: 4999\ntext: " + "x" * 50


def test_large_values_anywhere_are_opened() -> None:
    big = ["y" * 30] * 5000
    document = {"meta": {"v": 1}, "data": {"rows": [big, {"k": big}]}, "end": "z"}
    texts = read_texts(json.dumps(document), "a.json", chunk_size=64)
    assert texts[0] == "meta.v: 1\n\ndata.rows[0][0]: " + "y" * 30
    assert texts[2500] == "data.rows[0][2500]: " + "y" * 30
    assert texts[-1].endswith("end: z")
    assert sum(text.count("y" * 30) for text in texts) == 10_000


def test_a_long_string_is_cut_into_chunks() -> None:
    text = "A sentence. " * 50_000
    chunks = read_all(json.dumps({"text": text}).encode(), "a.json")
    assert " ".join(chunk.text for chunk in chunks).split()[1:] == text.split()


def test_a_gigabyte_is_read_in_flat_memory() -> None:
    """Only a part of it, from a position deep inside, with a bounded number of bytes fetched per batch."""
    reader = RepeatingReader(b'{"id": 7, "name": "something"},\n', 2**30)
    reader_with_start = _Prefixed(b"[", reader)
    source = DocumentSource(reader_with_start, document_id="doc", filename="a.json")
    page = drive(source.read(None, 500))
    before = reader.bytes_read
    fresh = DocumentSource(reader_with_start, document_id="doc", filename="a.json")
    page = drive(fresh.read(page.cursor, 100))
    assert len(page.items) == 100
    assert reader.bytes_read - before < 1_000_000


class _Prefixed:
    def __init__(self, prefix: bytes, rest: RepeatingReader) -> None:
        self._prefix = prefix
        self._rest = rest

    @property
    def size_bytes(self) -> int:
        return len(self._prefix) + self._rest.size_bytes

    async def read(self, offset: int, length: int) -> bytes:
        if offset < len(self._prefix):
            return self._prefix[offset : offset + length]
        return await self._rest.read(offset - len(self._prefix), length)


@pytest.mark.parametrize(
    ("document", "offset"),
    [
        (b'{"a": 1', 7),
        (b'{"a" 1}', 5),
        (b"[1, 2,]", 6),
        (b"[1 2]", 3),
        (b'[{"a": 1},]', 10),
        (b'[{"a": 1} {"a": 2}]', 10),
        (b'[{"a": 1}, "b": 2]', 14),
        (b"[1] x", 4),
        (b'{"a": nope}', 6),
        (b'{"a": "b\\x"}', 8),
        ('{"ä": nope}'.encode(), 7),
        (b"nope", 0),
    ],
)
def test_malformed_json_is_an_error_with_its_position(document: bytes, offset: int) -> None:
    error = error_of(document, "a.json")
    assert error.error_code == "invalid_json"
    assert error.details == {"offset": offset}
    assert f"at byte {offset}." in str(error)


@pytest.mark.parametrize("break_", ['{"a" 1}', "nope", "}", '"x', '{"a": 1'])
def test_malformed_json_deep_inside_a_large_document(break_: str) -> None:
    records = ",\n".join(json.dumps({"id": n, "text": "x" * 50}) for n in range(3000))
    error = error_of(f"[{records},{break_}".encode(), "a.json")
    assert error.error_code == "invalid_json"
    offset = error.details["offset"]
    assert isinstance(offset, int)
    assert len(records) <= offset <= len(records) + 10


def test_a_bad_record_is_found_by_its_position() -> None:
    error = error_of(b'{"a": 1}\nnope\n', "a.jsonl")
    assert (error.error_code, error.details) == ("invalid_json", {"offset": 9})


@pytest.mark.parametrize("size", [2000, 3 * JSON_VALUE_CHARS_MAX])
def test_endless_nesting_is_an_error(size: int) -> None:
    for data in (b"[" * size, b"[" * size + b"]" * size, b'{"a":' * size + b"1" + b"}" * size, b'{"a":[' * size):
        for name in ("a.json", "a.jsonl"):
            error = error_of(data, name)
            assert error.error_code == "document_too_complex"
            assert str(error) == "The JSON document is nested deeper than 200 levels."


_nested = st.recursive(
    st.sampled_from(["x", '[{"\\', 1]), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(value=_nested)
def test_depth_is_told_without_parsing(value: object) -> None:
    text = json.dumps(value)
    for limit in range(6):
        assert exceeds_depth(text, 0, limit) == (_depth(value) > limit)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        members = list(cast(dict[str, object], value).values())
    elif isinstance(value, list):
        members = cast(list[object], value)
    else:
        return 0
    return 1 + max(map(_depth, members), default=0)


def test_nesting_up_to_the_limit_is_read() -> None:
    assert read_texts("[" * 200 + '"deep"' + "]" * 200, "a.json")[0].endswith("deep")
    brackets_in_strings = json.dumps({"text": "[{" * 10_000})
    assert read_texts(brackets_in_strings, "a.json")[0].startswith("text: [{[{")


def test_a_huge_string_is_an_error_found_in_linear_time() -> None:
    reader = MemoryReader(b'{"a": "' + b"x" * 20_000_000 + b'"}')
    assert error_of(reader, "a.json").error_code == "document_too_complex"
    assert reader.bytes_read < 2 * len(reader.data)
