"""PDFs: pages, laziness, memory, damage."""

from __future__ import annotations

import ast
import asyncio
import inspect
import random
from pathlib import Path

import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.parsing import Chunk, DocumentError
from steps.parsing.limits import PDF_CACHE_BYTES
from steps.parsing.pdf_file import BlockFile, MissingBlockError
from tests.parsing.pdfs import make_pdf, make_pdf_encrypted_with_aes, make_pdf_with_object_streams
from tests.parsing.support import MemoryReader, drive, error_of, read_all, read_pages, source_of

_PAGES = [
    f"Page {n}\n" + "\n".join(f"Line {n}.{k} says something (in brackets)." for k in range(20)) for n in range(1, 24)
]


def _read(data: bytes | MemoryReader, *, chunk_size: int = 2048, range_bytes: int = 262_144) -> list[Chunk]:
    source = source_of(data, "a.pdf", chunk_size=chunk_size, range_bytes=range_bytes)
    return [chunk for page in read_pages(source) for chunk in page.items]


def test_a_page_becomes_chunks_with_its_number() -> None:
    pages = read_pages(source_of(make_pdf(["First page.", "", "Third page."]), "a.pdf"))
    assert [(chunk.text, chunk.page_number) for chunk in pages[0].items] == [("First page.", 1), ("Third page.", 3)]
    assert [chunk.sequence_number for chunk in pages[0].items] == [0, 1]
    assert pages[0].pages == 3.0
    assert isinstance(pages[0].pages, float)


def test_the_number_of_pages_is_known_from_the_first_read_on() -> None:
    assert [page.pages for page in read_pages(source_of(make_pdf(_PAGES), "a.pdf"), 5)] == [23.0] * 5


def test_chunks_do_not_cross_pages() -> None:
    chunks = _read(make_pdf(_PAGES), chunk_size=300)
    for number, text in enumerate(_PAGES, 1):
        words = [word for chunk in chunks if chunk.page_number == number for word in chunk.text.split()]
        assert words == text.split()


@settings(max_examples=25, deadline=None)
@given(
    slicing=st.lists(
        st.tuples(st.sampled_from([1, 2, 5, 100]), st.sampled_from([500, 3000, 200_000]), st.booleans()),
        min_size=1,
        max_size=5,
    ),
    pages_per_node=st.sampled_from([0, 4]),
)
def test_chunks_are_the_same_however_the_pdf_is_sliced(
    slicing: list[tuple[int, int, bool]], pages_per_node: int
) -> None:
    data = make_pdf(_PAGES[:9], pages_per_node=pages_per_node)
    expected = _read(data, chunk_size=200)
    chunks: list[Chunk] = []
    cursor = None
    source = source_of(data, "a.pdf", chunk_size=200)
    batch = 0
    while True:
        limit, range_bytes, fresh = slicing[batch % len(slicing)]
        batch += 1
        if fresh:
            source = source_of(data, "a.pdf", chunk_size=200, range_bytes=range_bytes)
        page = drive(source.read(cursor, limit))
        assert len(page.items) <= limit
        chunks += page.items
        cursor = page.cursor
        if cursor is None:
            break
        assert len(cursor) < 200
    assert chunks == expected


def test_object_streams_and_cross_reference_streams_are_read() -> None:
    data = make_pdf_with_object_streams("Packed objects.")
    assert [chunk.text for chunk in _read(data)] == ["Packed objects."]
    assert [chunk.text for chunk in _read(data, range_bytes=50)] == ["Packed objects."]


def test_resuming_in_a_large_file_reads_a_small_part_of_it() -> None:
    data = make_pdf([f"Page {n}" for n in range(1, 121)], image_bytes=200_000, pages_per_node=10)
    assert len(data) > 2 * PDF_CACHE_BYTES
    pages = read_pages(source_of(data, "a.pdf", range_bytes=16_384), 60)
    assert pages[0].cursor is not None
    reader = MemoryReader(data)
    resumed = drive(source_of(reader, "a.pdf", range_bytes=16_384).read(pages[0].cursor, 1))
    assert [chunk.text for chunk in resumed.items] == ["Page 61"]
    assert reader.bytes_read < 400_000


def test_images_are_not_read() -> None:
    data = make_pdf(["Scanned and recognised."], image_bytes=3_000_000)
    reader = MemoryReader(data)
    assert [chunk.text for chunk in _read(reader, range_bytes=16_384)] == ["Scanned and recognised."]
    assert reader.bytes_read < 250_000


def test_memory_is_bounded_by_the_cache() -> None:
    data = random.Random(1).randbytes(1_000_000)
    file = BlockFile(MemoryReader(data), 10_000, cache_bytes=50_000, cache_bytes_max=200_000)
    for start in range(0, len(data), 30_000):
        file.release()
        assert _read_range(file, start, 30_000) == data[start : start + 30_000]
        assert file.cached_bytes <= 200_000
    file.release()
    assert file.cached_bytes <= 50_000


def test_a_page_that_needs_more_than_the_cache_may_hold_is_an_error() -> None:
    file = BlockFile(MemoryReader(bytes(1_000_000)), 10_000, cache_bytes=50_000, cache_bytes_max=200_000)
    with pytest.raises(DocumentError) as whole:
        _read_range(file, 0, 1_000_000)
    assert whole.value.error_code == "document_too_complex"
    file.release()
    for start in range(0, 200_000, 10_000):
        _read_range(file, start, 10_000)
    with pytest.raises(DocumentError, match="a single page needs more than"):
        _read_range(file, 200_000, 10_000)


def _read_range(file: BlockFile, start: int, length: int) -> bytes:
    while True:
        try:
            file.seek(start)
            return file.read(length)
        except MissingBlockError as missing:
            drive(file.fetch(missing))


def test_the_library_never_swallows_a_missing_block() -> None:
    """Only a bare ``except`` or one of `BaseException` could; the installed version has none."""
    package = Path(inspect.getfile(pypdf)).parent
    handlers = [
        handler
        for path in package.rglob("*.py")
        for handler in ast.walk(ast.parse(path.read_text()))
        if isinstance(handler, ast.ExceptHandler)
    ]
    assert handlers
    for handler in handlers:
        caught = ast.unparse(handler.type) if handler.type is not None else "BaseException"
        assert "BaseException" not in caught


def test_wrong_counts_in_the_page_tree_are_survived() -> None:
    data = make_pdf(_PAGES[:6], pages_per_node=2)
    wrong = data.replace(b"/Count 2\n", b"/Count 3\n", 1)
    assert wrong != data
    expected = [(chunk.text, chunk.page_number) for chunk in _read(data)]
    assert [(chunk.text, chunk.page_number) for chunk in _read(wrong)] == expected
    chunks: list[Chunk] = []
    cursor = None
    while True:
        page = drive(source_of(wrong, "a.pdf").read(cursor, 1))
        chunks += page.items
        cursor = page.cursor
        if cursor is None:
            break
    assert [(chunk.text, chunk.page_number) for chunk in chunks] == expected


def test_encryption_without_user_password_is_read() -> None:
    data = make_pdf(["Not so secret."], user_password="", image_bytes=20_000)
    assert [chunk.text for chunk in _read(data)] == ["Not so secret."]


@pytest.mark.parametrize("algorithm", ["RC4-40", "RC4-128"])
def test_encryption_with_a_password_is_an_error(algorithm: str) -> None:
    error = error_of(make_pdf(["Secret."], user_password="pass", algorithm=algorithm), "a.pdf")
    assert error.error_code == "encrypted_pdf"
    assert str(error) == "The PDF is encrypted and needs a password."


def test_encryption_that_the_parser_does_not_know_is_an_error() -> None:
    error = error_of(make_pdf_encrypted_with_aes(), "a.pdf")
    assert error.error_code == "encrypted_pdf"


@pytest.mark.parametrize("keep", [0.02, 0.3, 0.5, 0.9, 0.99])
def test_a_truncated_pdf_is_an_error(keep: float) -> None:
    data = make_pdf(_PAGES)
    error = error_of(data[: int(len(data) * keep)], "a.pdf")
    assert error.error_code == "truncated_pdf"


def test_a_pdf_without_its_header_or_its_objects_is_an_error() -> None:
    assert error_of(b"just text", "a.pdf").error_code == "invalid_pdf"
    assert error_of(b"%PDF-1.7\nnothing here\n%%EOF\n", "a.pdf").error_code == "invalid_pdf"
    assert error_of(b"%PDF-1.7\nstartxref\n5\n%%EOF\n", "a.pdf").error_code == "invalid_pdf"


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_damage_never_hangs_and_never_escapes_as_another_error(seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(make_pdf(_PAGES[:3]))
    for _ in range(rng.randrange(1, 30)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    code = None
    try:
        read_pages(source_of(bytes(data), "a.pdf"), 5)
    except DocumentError as error:
        code = error.error_code
    assert code in {
        None,
        "invalid_pdf",
        "truncated_pdf",
        "document_too_complex",
        "empty_document",
        "encrypted_pdf",
    }


def test_a_damaged_cross_reference_table_is_repaired() -> None:
    data = make_pdf(["Still here."])
    at = data.rindex(b"startxref")
    assert [chunk.text for chunk in _read(data[:at] + b"startxref\n17\n%%EOF\n")] == ["Still here."]


def test_a_pdf_without_text_is_an_error() -> None:
    error = error_of(make_pdf(["", ""], image_bytes=5000), "a.pdf")
    assert error.error_code == "empty_document"
    assert "text recognition" in str(error)


def test_a_content_stream_that_explodes_is_an_error() -> None:
    """A few kilobytes of deflated zeros must not become gigabytes."""
    error = error_of(make_pdf([" " * 20_000_000]), "a.pdf")
    assert error.error_code == "document_too_complex"


def test_the_signature_beats_the_name() -> None:
    assert read_all(make_pdf(["A PDF all the same."]), "notes.txt", mime_type="text/plain")[0].page_number == 1


def test_reading_waits_only_for_the_document() -> None:
    """The same in a real event loop, with other tasks in between."""

    class SlowReader(MemoryReader):
        async def read(self, offset: int, length: int) -> bytes:
            await asyncio.sleep(0)
            return await super().read(offset, length)

    async def read() -> list[Chunk]:
        page = await source_of(SlowReader(make_pdf(_PAGES)), "a.pdf", range_bytes=2000).read(None, 1000)
        return page.items

    assert asyncio.run(read())[0].text.startswith("Page 1")
