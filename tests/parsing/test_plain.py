"""Plain text, and how paragraphs become chunks."""

from __future__ import annotations

from uuid import UUID

import pytest

from steps.parsing import DocumentError, chunk_id
from tests.parsing.support import read_all, read_texts, source_of


def test_paragraphs_are_packed_up_to_the_chunk_size() -> None:
    assert read_texts("one\n\ntwo\n\n\n\nthree", "a.txt", chunk_size=32) == ["one\n\ntwo\n\nthree"]
    text = "\n\n".join(["a" * 14, "b" * 16, "c" * 15])
    assert read_texts(text, "a.txt", chunk_size=32) == ["a" * 14 + "\n\n" + "b" * 16, "c" * 15]


def test_lines_of_a_paragraph_stay_lines_and_keep_their_indentation() -> None:
    assert read_texts("def f():\r\n    return 1   \r\n\r\nf()", "a.py") == ["def f():\n    return 1\n\nf()"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "One sentence is here. Another follows it", ["One sentence is here.", "Another follows it"], id="sentence"
        ),
        pytest.param(
            "no full stop in this line\nand none in this", ["no full stop in this line", "and none in this"], id="line"
        ),
        pytest.param("words without any stop at all here", ["words without any stop at all", "here"], id="word"),
        pytest.param("x" * 40, ["x" * 32, "x" * 8], id="hard"),
        pytest.param("京" * 20 + "。" + "都" * 20, ["京" * 20 + "。", "都" * 20], id="cjk"),
        pytest.param("A. " + "y" * 40, ["A. " + "y" * 29, "y" * 11], id="no-tiny-chunks"),
        pytest.param("exactly thirty-two characters!!! more", ["exactly thirty-two characters!!!", "more"], id="fits"),
    ],
)
def test_a_long_paragraph_is_cut_at_the_best_boundary(text: str, expected: list[str]) -> None:
    assert read_texts(text, "a.txt", chunk_size=32) == expected


def test_the_delimiter_is_cut_at_first() -> None:
    text = "aaaa bbbb;cccc dddd. eeee\n\nffff gggg hhhh"
    assert read_texts(text, "a.txt", chunk_size=32, delimiter=";") == [
        "aaaa bbbb;",
        "cccc dddd. eeee\n\nffff gggg hhhh",
    ]
    assert read_texts(text, "a.txt", chunk_size=32) == ["aaaa bbbb;cccc dddd. eeee", "ffff gggg hhhh"]


def test_a_paragraph_that_does_not_fit_starts_the_next_chunk_whole() -> None:
    assert read_texts("short one\n\n" + "word " * 6, "a.txt", chunk_size=32) == [
        "short one",
        "word word word word word word",
    ]


def test_ids_depend_on_document_and_sequence_only() -> None:
    chunks = read_all(b"one", "a.txt")
    assert chunks[0].id == chunk_id("doc", 0)
    assert str(UUID(chunks[0].id)) == chunks[0].id
    assert UUID(chunks[0].id).version == 5
    assert len({chunk_id(document, n) for document in ("a", "b") for n in range(100)}) == 200
    # Stored vectors carry these ids: this value must never change.
    assert chunk_id("doc", 0) == "7e0c609d-a4d0-53b1-a2bd-58964c1c081e"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends_give_the_same_chunks(encoding: str, newline: str) -> None:
    text = "naïve 京都 😀\nsecond line\n\nsecond paragraph\n"
    data = text.replace("\n", newline).encode(encoding)
    assert [chunk.text for chunk in read_all(data, "a.txt")] == [text.strip()]


def test_big_endian_utf_16_is_read() -> None:
    assert read_all(b"\xfe\xff" + "京".encode("utf-16-be"), "a.txt")[0].text == "京"


def test_only_pdf_has_pages_and_only_structured_text_has_headings() -> None:
    chunk = read_all(b"# not a heading", "a.txt")[0]
    assert (chunk.page_number, chunk.heading) == (None, None)


@pytest.mark.parametrize(("size", "delimiter"), [(31, None), (0, None), (200_000, None), (100, "d" * 40)])
def test_options_are_checked(size: int, delimiter: str | None) -> None:
    with pytest.raises(DocumentError) as caught:
        source_of(b"text", "a.txt", chunk_size=size, delimiter=delimiter)
    assert caught.value.error_code == "invalid_options"
