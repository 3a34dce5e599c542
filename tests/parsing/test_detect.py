"""What a document is: declared type, extension, content."""

from __future__ import annotations

import pytest

from tests.parsing.support import drive, source_of

_HTML = b"<!DOCTYPE html><p>x"


@pytest.mark.parametrize(
    ("name", "mime", "data", "expected"),
    [
        ("a.md", None, b"x", "markdown"),
        ("dir.v2/README.MD", None, b"x", "markdown"),
        ("a.md", "text/html; charset=utf-8", b"x", "html"),
        ("a.md", "text/plain", b"x", "markdown"),
        ("a.csv", "application/octet-stream", b"x", "csv"),
        ("a.txt", "text/markdown", b"x", "markdown"),
        ("a.py", None, b"x", "text"),
        ("a.unknown", "application/x-unknown", b"x", "text"),
        (None, None, b"x", "text"),
        (".csv", None, b"x", "text"),
        (None, None, _HTML, "html"),
        (None, "text/plain", b"\xef\xbb\xbf  <html>x", "html"),
        ("a.txt", None, _HTML, "text"),
        ("a.ndjson", None, b"1", "jsonl"),
        ("a", "application/json", b"1", "json"),
        ("a", "APPLICATION/X-NDJSON", b"1", "jsonl"),
    ],
)
def test_format(name: str | None, mime: str | None, data: bytes, expected: str) -> None:
    source = source_of(data, name, mime_type=mime)
    assert source.format is None
    drive(source.read(None, 1))
    assert source.format == expected


def test_text_that_mentions_pdf_is_text() -> None:
    source = source_of(b"The header of a PDF is %PDF-1.7.", "a.txt")
    drive(source.read(None, 1))
    assert source.format == "text"
