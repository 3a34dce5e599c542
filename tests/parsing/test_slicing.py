"""The chunks of a document do not depend on how it was sliced."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steps.parsing import Chunk, DocumentError
from tests.parsing import documents
from tests.parsing.support import drive, read_pages, source_of

_FORMATS: dict[str, tuple[str, st.SearchStrategy[bytes]]] = {
    "plain": ("a.txt", documents.plain_documents),
    "markdown": ("a.md", documents.markdown_documents),
    "html": ("a.html", documents.html_documents),
    "csv": ("a.csv", documents.csv_documents),
    "json": ("a.json", documents.json_documents),
    "jsonl": ("a.jsonl", documents.jsonl_documents),
}

_slicings = st.lists(
    st.tuples(
        st.sampled_from([1, 1, 2, 3, 7, 50]),  # limit
        st.sampled_from([1, 2, 3, 7, 64, 1000, 4096, 100_000]),  # size of a range
        st.sampled_from(["hot", "fresh", "crash"]),
    ),
    min_size=1,
    max_size=6,
)


def _outcome(data: bytes, filename: str, chunk_size: int, delimiter: str | None) -> tuple[list[Chunk], str | None]:
    source = source_of(data, filename, chunk_size=chunk_size, delimiter=delimiter)
    try:
        return [chunk for page in read_pages(source) for chunk in page.items], None
    except DocumentError as error:
        return [], str(error)


def _read_sliced(
    data: bytes, filename: str, chunk_size: int, delimiter: str | None, slicing: list[tuple[int, int, str]]
) -> list[Chunk]:
    """Read with limits, range sizes, evictions and crashes that vary from batch to batch."""
    chunks: list[Chunk] = []
    cursor: bytes | None = None
    source = source_of(data, filename, chunk_size=chunk_size, delimiter=delimiter)
    batch = 0
    # Long documents in tiny steps would only take long.
    limit_min, range_bytes_min = len(data) // 4000, len(data) // 400
    while True:
        limit, range_bytes, how = slicing[batch % len(slicing)]
        limit, range_bytes = max(limit, limit_min), max(range_bytes, range_bytes_min)
        batch += 1
        if how != "hot":
            source = source_of(data, filename, chunk_size=chunk_size, delimiter=delimiter, range_bytes=range_bytes)
        page = drive(source.read(cursor, limit))
        if how == "crash":
            # The batch was not committed: it is read again, by the same source and so from the cursor.
            again = drive(source.read(cursor, limit))
            assert again.items == page.items
            page = again
        assert len(page.items) <= limit
        assert page.characters == sum(len(chunk.text) for chunk in page.items)
        chunks += page.items
        if page.cursor is None:
            return chunks
        assert len(page.cursor) <= 4 * chunk_size + 40_000
        cursor = page.cursor


@pytest.mark.parametrize("name", _FORMATS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_chunks_are_the_same_however_the_document_is_sliced(name: str, data: st.DataObject) -> None:
    filename, strategy = _FORMATS[name]
    document = data.draw(strategy)
    chunk_size = data.draw(st.sampled_from([32, 100, 2048]))
    delimiter = data.draw(st.sampled_from([None, None, ";", "word", "\n\n"]))
    expected, failure = _outcome(document, filename, chunk_size, delimiter)
    slicing = data.draw(_slicings)
    if failure is not None:
        with pytest.raises(DocumentError) as caught:
            _read_sliced(document, filename, chunk_size, delimiter, slicing)
        assert str(caught.value) == failure
        return
    assert _read_sliced(document, filename, chunk_size, delimiter, slicing) == expected
    assert [chunk.sequence_number for chunk in expected] == list(range(len(expected)))
    assert all(chunk.text and chunk.text == chunk.text.strip() and len(chunk.text) <= chunk_size for chunk in expected)
    assert len({chunk.id for chunk in expected}) == len(expected)


@pytest.mark.parametrize("name", ["plain", "markdown"])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_no_text_is_lost(name: str, data: st.DataObject) -> None:
    """Every word of the document is in the chunks, in order, when nothing had to be cut inside a word."""
    filename, strategy = _FORMATS[name]
    document = data.draw(strategy)
    chunks, failure = _outcome(document, filename, 131_072, None)
    if failure is not None:
        assert "is empty" in failure
        return
    text = document.decode("utf-16" if document[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    assert _words(" ".join(chunk.text for chunk in chunks)) == _words(text)


def _words(text: str) -> list[str]:
    # The lines below Markdown headings are markup.
    return [word for word in text.split() if set(word) not in ({"-"}, {"="})]
