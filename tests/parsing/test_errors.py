"""Documents that cannot be parsed: each says why, once, in a sentence."""

from __future__ import annotations

import random

import pytest

from steps.parsing import Chunk, DocumentError
from steps.parsing.limits import LINE_CHARS_MAX
from tests.parsing.support import MemoryReader, drive, error_of, read_all, read_pages, source_of

_LINE_BASED = ["a.txt", "a.md", "a.csv", "a.jsonl"]


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.csv", "a.json", "a.jsonl", "a.pdf", None])
def test_no_bytes(name: str | None) -> None:
    error = error_of(b"", name)
    assert (error.error_code, str(error)) == ("empty_document", "The document is empty: it has 0 bytes.")
    assert not error.retryable


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.txt", b" \n\t\n\r\n" * 1000),
        ("a.txt", b"\xef\xbb\xbf"),
        ("a.md", b"\n"),
        ("a.html", b"<html><script>var x</script><p> </p></html>"),
        ("a.csv", b",,\n,,\n"),
        ("a.json", b" null "),
        ("a.json", b"[]"),
        ("a.json", b"  "),
        ("a.jsonl", b"\n\n{}\n"),
    ],
)
def test_no_text(name: str, data: bytes) -> None:
    error = error_of(data, name)
    assert (error.error_code, str(error)) == ("empty_document", "The document is empty: it contains no text.")


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.csv", "a.json", "a.html", None])
def test_binary_junk(name: str | None) -> None:
    assert error_of(random.Random(7).randbytes(50_000), name).error_code == "not_text"
    assert error_of(bytes(range(1, 9)) * 100, name).error_code == "not_text"


def test_a_nul_after_the_start_is_found_with_its_offset() -> None:
    data = b"text line\n" * 100_000
    error = error_of(data + b"\0" + data, "a.txt")
    assert (error.error_code, error.details) == ("not_text", {"offset": len(data)})


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        (b"good \xff bad", 5),
        (b"x" * 300_000 + b"\xe4 latin", 300_000),
        ("ä".encode() * 200_000 + b"\xed\xa0\x80", 400_000),
        (b"cut \xe2\x82", 4),
        (b"\xff\xfea\0\x00\xd8x\0", 4),
    ],
)
@pytest.mark.parametrize("range_bytes", [7, 1000, 262_144])
def test_invalid_bytes_are_found_with_their_offset(data: bytes, offset: int, range_bytes: int) -> None:
    reader = MemoryReader(data)
    range_bytes = max(range_bytes, len(data) // 1000)
    source = source_of(reader, "a.txt", range_bytes=range_bytes)
    with pytest.raises(DocumentError, match="is not valid UTF-") as caught:
        read_pages(source, 1000)
    assert caught.value.error_code == "invalid_encoding"
    assert caught.value.details == {"offset": offset}


@pytest.mark.parametrize("name", _LINE_BASED)
def test_a_line_of_forty_megabytes(name: str) -> None:
    record = b'{"a": "' if name == "a.jsonl" else b'a,b\n"' if name == "a.csv" else b""
    reader = MemoryReader(record + b"word " * 8_000_000)
    error = error_of(reader, name)
    assert error.error_code == "line_too_long"
    assert str(error).startswith("The document has a line longer than 8,388,608 characters at byte ")
    # It is not read to its end, and not over and over.
    assert reader.bytes_read < 3 * LINE_CHARS_MAX


def test_a_json_document_in_one_long_line_is_fine() -> None:
    data = b"[" + b",".join([b'{"k": "' + b"v" * 1000 + b'"}'] * 10_000) + b"]"
    assert len(data) > LINE_CHARS_MAX
    assert len(read_all(data, "a.json", chunk_size=2048)) == 10_000 // 2


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"PK\x03\x04rest", "ZIP"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"SQLite format 3\0", "SQLite"),
    ],
)
def test_known_binary_files_are_named(data: bytes, kind: str) -> None:
    error = error_of(data, "report.docx")
    assert error.error_code == "unsupported_format"
    assert kind in str(error)


def test_a_cursor_of_something_else() -> None:
    page = drive(source_of(b"one\n\n" * 1000, "a.txt", chunk_size=32).read(None, 1))
    assert page.cursor is not None
    for cursor in (b"", b"junk", page.cursor[:-1], b"\x94" + page.cursor[1:]):
        with pytest.raises(DocumentError) as caught:
            drive(source_of(b"one\n\n" * 1000, "a.txt", chunk_size=32).read(cursor, 1))
        assert caught.value.error_code == "invalid_cursor"


def test_a_document_that_changes_between_two_batches() -> None:
    page = drive(source_of(b"one two\n\n" * 1000, "a.txt", chunk_size=32).read(None, 1))
    with pytest.raises(DocumentError, match="changed while it was being read: 9000 bytes before, 9001 now"):
        drive(source_of(b"one two\n\n" * 1000 + b"x", "a.txt", chunk_size=32).read(page.cursor, 1))


def test_a_failed_read_leaves_no_half_done_work_behind() -> None:
    """The batch after a failed one is the same as if the failure had not been."""

    class FlakyReader(MemoryReader):
        fail_at = -1

        async def read(self, offset: int, length: int) -> bytes:
            if self.reads == self.fail_at:
                self.fail_at = -1
                raise ConnectionError
            return await super().read(offset, length)

    data = "".join(f"Paragraph number {n}.\n\n" for n in range(10_000)).encode()
    expected = read_all(data, "a.txt", chunk_size=64)
    for fail_at in range(1, 60, 7):
        reader = FlakyReader(data)
        reader.fail_at = fail_at
        source = source_of(reader, "a.txt", chunk_size=64, range_bytes=2000)
        chunks: list[Chunk] = []
        cursor = None
        failures = 0
        while True:
            try:
                page = drive(source.read(cursor, 50))
            except ConnectionError:
                failures += 1
                continue
            chunks += page.items
            cursor = page.cursor
            if cursor is None:
                break
        assert failures == 1
        assert chunks == expected
