"""Markdown: headings, code, front matter."""

from __future__ import annotations

import pytest

from tests.parsing.support import read_all, read_texts


def _chunks(text: str, chunk_size: int = 2048) -> list[tuple[str | None, str]]:
    return [(chunk.heading, chunk.text) for chunk in read_all(text.encode(), "a.md", chunk_size=chunk_size)]


def test_headings_start_chunks_and_form_the_path() -> None:
    text = "intro\n# Guide\nhello\n## Install\nrun it\n## Use ##\nuse it\n# Other\nbye\n"
    assert _chunks(text) == [
        (None, "intro"),
        ("Guide", "# Guide\n\nhello"),
        ("Guide > Install", "## Install\n\nrun it"),
        ("Guide > Use", "## Use ##\n\nuse it"),
        ("Other", "# Other\n\nbye"),
    ]


def test_directly_nested_headings_share_a_chunk() -> None:
    assert _chunks("# A\n\n## B\n\ntext\n\n# C\n\n# D\n") == [
        ("A > B", "# A\n\n## B\n\ntext"),
        ("C", "# C"),
        ("D", "# D"),
    ]


def test_underlined_headings() -> None:
    assert _chunks("Title\n=====\nbody\n\nSub\n---\nmore\n\nnot a\ntitle\n---\n") == [
        ("Title", "Title\n\nbody"),
        ("Title > Sub", "Sub\n\nmore\n\nnot a\ntitle\n---"),
    ]


@pytest.mark.parametrize(
    "line",
    ["#hashtag", "####### seven", "    # indented code", "| a |\n|---|", "- item\n---", "> # quoted", "\\# escaped"],
)
def test_what_is_no_heading(line: str) -> None:
    assert _chunks(f"{line}\n")[0][0] is None


def test_a_long_section_keeps_its_heading_in_every_chunk() -> None:
    chunks = _chunks("# T\n\n" + "A sentence of text. " * 20, 64)
    assert len(chunks) > 5
    assert {heading for heading, _ in chunks} == {"T"}
    assert chunks[0][1].startswith("# T\n\nA sentence")


def test_code_is_kept_together_when_it_fits() -> None:
    code = "```python\na = 1\n\n# no heading\n\nb = 2\n```"
    assert _chunks(f"some words before the code\n\n{code}\n\nafter", 64) == [
        (None, "some words before the code"),
        (None, f"{code}\n\nafter"),
    ]


def test_long_code_is_cut_between_lines() -> None:
    lines = [f"call_{n}(). done()" for n in range(20)]
    chunks = _chunks("\n".join(["~~~", *lines, "~~~"]), 64)
    assert len(chunks) > 5
    for _, text in chunks:
        assert all(line in {"~~~", *lines} for line in text.split("\n"))


def test_a_fence_is_closed_only_by_its_own_mark() -> None:
    assert _chunks("````\n```\n# in\n````\n# out\n") == [(None, "````\n```\n# in\n````"), ("out", "# out")]
    assert _chunks("```\nnever closed\n# in\n") == [(None, "```\nnever closed\n# in")]


def test_front_matter_is_text_without_headings() -> None:
    matter = "---\n# a comment\ntitle: x\n---"
    assert _chunks(f"{matter}\n# H\n") == [(None, matter), ("H", "# H")]
    assert _chunks(f"text\n\n{matter}\n")[-1][0] == "a comment > title: x"
    assert _chunks("---\n\nTitle\n---\ntext") == [(None, "---"), ("Title", "Title\n\ntext")]


def test_a_heading_path_is_bounded() -> None:
    text = "".join(f"{'#' * level} {'t' * 3000}\n" for level in range(1, 7))
    for heading, _ in _chunks(text + "end"):
        assert heading is not None
        assert len(heading) < 1300


def test_the_heading_stays_with_the_text_below_it() -> None:
    texts = read_texts("# Heading\n\n" + "word " * 100, "a.md", chunk_size=64)
    assert texts[0].startswith("# Heading\n\nword")
