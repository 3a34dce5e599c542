"""The work of a read is bounded, and that of a document is linear in its size."""

from __future__ import annotations

import sys
import tracemalloc
from types import FrameType

import pytest

from steps.parsing import DocumentSource, ParseOptions
from tests.parsing.support import MemoryReader, RepeatingReader, drive, read_pages, source_of

_LONG_PARAGRAPHS = {
    "a.txt": b"word" * 500_000,
    "a.md": b"word " * 400_000,
    "a.html": b"<p>" + b"word " * 400_000,
    "a.csv": b'a\n"' + b"word " * 400_000 + b'"\n',
    "a.json": b'"' + b"word " * 400_000 + b'"',
    "a.jsonl": b'{"a": "' + b"word " * 400_000 + b'"}',
}


@pytest.mark.parametrize("name", _LONG_PARAGRAPHS)
def test_a_paragraph_without_end_is_read_once(name: str) -> None:
    data = _LONG_PARAGRAPHS[name]
    reader = MemoryReader(data)
    source = source_of(reader, name, range_bytes=1000)
    assert sum(page.characters for page in read_pages(source, 10)) > 0.7 * len(data)
    # The start is read twice: once to tell the format. Nothing else is, in a process that stays alive.
    assert reader.bytes_read <= len(data) + 64 * 1024


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html"])
def test_resuming_after_every_batch_reads_little_more(name: str) -> None:
    data = _LONG_PARAGRAPHS[name]
    reader = MemoryReader(data)
    cursor = None
    batches = 0
    while True:
        page = drive(source_of(reader, name, range_bytes=4096).read(cursor, 20))
        batches += 1
        cursor = page.cursor
        if cursor is None:
            break
        assert len(cursor) < 10_000
    # Per batch: what was read ahead, and at the start the format.
    assert reader.bytes_read <= len(data) + batches * 4 * 4096 + 64 * 1024


@pytest.mark.parametrize("name", _LONG_PARAGRAPHS)
def test_operations_grow_with_the_size(name: str) -> None:
    """Function calls, Python's and C's, double when the document does; the start is read in one go and left out."""
    start, middle, end = (_LONG_PARAGRAPHS[name][part] for part in (slice(0, 9), slice(9, -4), slice(-4, None)))
    counts: list[int] = []
    for size in (0, 400_000, 800_000):
        words = middle[: 70_000 // 5 * 5] + middle[: size // 5 * 5]
        source = source_of(start + words + end, name, range_bytes=1000)
        counts.append(_count_calls(source))
    assert counts[2] - counts[0] <= 2.2 * (counts[1] - counts[0])


def _count_calls(source: DocumentSource) -> int:
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        read_pages(source, 5)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize(
    ("name", "unit"),
    [("a.txt", b" \n"), ("a.html", b"<div> </div>\n"), ("a.csv", b",,,\n"), ("a.jsonl", b"{}\n"), ("a.md", b"\n")],
)
def test_a_gigabyte_without_text_is_read_in_bounded_batches(name: str, unit: bytes) -> None:
    reader = RepeatingReader(unit, 2**30)
    source = DocumentSource(reader, document_id="doc", filename=name)
    cursor = None
    for batch in range(1, 4):
        page = drive(source.read(cursor, 30))
        assert page.items == []
        assert not page.done
        assert reader.bytes_read < batch * 3_000_000
        cursor = page.cursor


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("a.txt", b"Some sentence of text. And some more of it.\n\n"),
        ("a.md", b"# Title\n\nSome text.\n\n```\ncode\n```\n"),
        ("a.html", b"<h2>T</h2><p>Some <b>text</b> here.</p>\n"),
        ("a.csv", b"1,two,three\n"),
        ("a.jsonl", b'{"a": 1, "b": {"c": ["x", "y"]}}\n'),
    ],
)
def test_memory_does_not_grow_with_the_document(name: str, unit: bytes) -> None:
    peaks: list[int] = []
    for size in (200_000, 1_200_000):
        reader = RepeatingReader(unit, size // len(unit) * len(unit))
        options = ParseOptions(chunk_size=512)
        source = DocumentSource(reader, document_id="doc", filename=name, options=options, range_bytes=20_000)
        tracemalloc.start()
        cursor = None
        while True:
            page = drive(source.read(cursor, 50))
            cursor = page.cursor
            if cursor is None:
                break
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
    assert peaks[1] < 2_000_000


def test_a_cursor_is_small() -> None:
    """A chunk at most, the heading path, the column names, the path of open containers."""
    documents = {
        "a.txt": b"word " * 100_000,
        "a.md": b"".join(b"#" * n + b" " + b"t" * 500 + b"\n" for n in range(1, 7)) + b"word " * 50_000,
        "a.csv": b",".join(b"column%d" % n for n in range(2000)) + b"\n" + (b"v," * 1999 + b"v\n") * 20,
        "a.json": b'{"k":' * 40 + b"[" + b'"word word word", ' * 20_000 + b"1]" + b"}" * 40,
    }
    for name, data in documents.items():
        sizes = [len(page.cursor or b"") for page in read_pages(source_of(data, name), 3)]
        assert max(sizes) < 40_000, name
