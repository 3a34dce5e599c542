"""Inputs that nobody wrote for these tests: the standard library and installed packages."""

from __future__ import annotations

import csv
import io
import json
import sysconfig
from email import message_from_string
from importlib.metadata import distributions
from pathlib import Path

import pytest

from steps.parsing import Chunk
from tests.parsing.pdfs import make_pdf
from tests.parsing.support import drive, read_all, read_pages, source_of

_STDLIB = Path(sysconfig.get_paths()["stdlib"])
_SOURCES = sorted(_STDLIB.glob("*.py"))


def test_sources_of_the_standard_library_lose_no_word() -> None:
    for path in _SOURCES[:60]:
        data = path.read_bytes()
        if not data.strip():
            continue
        chunks = read_all(data, path.name)
        assert all(len(chunk.text) <= 2048 for chunk in chunks)
        assert "".join(chunk.text for chunk in chunks).split() != []
        joined = "".join("".join(chunk.text.split()) for chunk in chunks)
        assert joined == "".join(data.decode().split()), path.name


def test_a_large_concatenation_is_the_same_after_crashes() -> None:
    data = (
        b"".join(path.read_bytes() for path in _SOURCES)[:3_000_000].decode(errors="ignore").replace("\0", "").encode()
    )
    expected = [chunk for page in read_pages(source_of(data, "all.txt")) for chunk in page.items]
    chunks: list[Chunk] = []
    cursor = None
    while True:
        page = drive(source_of(data, "all.txt", range_bytes=50_000).read(cursor, 97))
        chunks += page.items
        cursor = page.cursor
        if cursor is None:
            break
    assert chunks == expected


def test_descriptions_of_installed_packages_have_headings() -> None:
    read = 0
    for distribution in distributions():
        # A METADATA file is a mail message whose body is the README.
        message = message_from_string(distribution.read_text("METADATA") or "")
        text = message.get_payload()
        if "text/markdown" in message.get("Description-Content-Type", "") and isinstance(text, str) and "\n# " in text:
            chunks = read_all(text.encode("utf-8", "replace"), "README.md")
            assert any(chunk.heading for chunk in chunks)
            read += 1
    assert read > 0


def test_records_of_installed_packages() -> None:
    """RECORD files are CSV without a header line."""
    rows = [
        row
        for distribution in distributions()
        for row in csv.reader(io.StringIO(distribution.read_text("RECORD") or ""))
    ]
    assert len(rows) > 100
    out = io.StringIO()
    csv.writer(out).writerows([["path", "hash", "size"], *rows])
    chunks = read_all(out.getvalue().encode(), "record.csv")
    assert sum(chunk.text.count("path: ") for chunk in chunks) == len(rows)


def test_json_and_json_lines_of_the_same_records_have_the_same_text() -> None:
    records = [{"file": path.name, "size": path.stat().st_size, "head": path.read_text()[:500]} for path in _SOURCES]
    from_json = read_all(json.dumps(records).encode(), "a.json")
    from_lines = read_all("\n".join(json.dumps(record) for record in records).encode(), "a.jsonl")
    assert from_json == from_lines


@pytest.mark.parametrize("name", ["argparse.py", "textwrap.py"])
def test_a_source_printed_as_pdf_reads_back(name: str) -> None:
    lines = (_STDLIB / name).read_text().splitlines()
    pages = ["\n".join(lines[start : start + 50]) for start in range(0, len(lines), 50)]
    chunks = read_all(make_pdf(pages), "printed.pdf")
    for number, page in enumerate(pages, 1):
        words = [word for chunk in chunks if chunk.page_number == number for word in chunk.text.split()]
        assert words == page.split()
