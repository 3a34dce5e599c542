"""HTML: what is visible, blocks, headings."""

from __future__ import annotations

import pytest

from steps.parsing.limits import HTML_TOKEN_CHARS_MAX
from tests.parsing.support import MemoryReader, error_of, read_all, read_pages, read_texts, source_of


def _text(html: str) -> str:
    return "\n===\n".join(read_texts(html, "a.html"))


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        pytest.param("<p>one</p><p>two</p>", "one\n\ntwo", id="paragraphs"),
        pytest.param("<p>a <b>bold</b>\n  word</p>", "a bold word", id="white-space"),
        pytest.param("a<b>b</b>c &amp; &#228; &lt;p&gt;", "abc & ä <p>", id="references"),
        pytest.param("x<br>y<br/>z", "x\ny\nz", id="breaks"),
        pytest.param("<ul><li>one<li>two</ul>end", "- one\n- two\n\nend", id="list"),
        pytest.param("<table><tr><th>a<th>b<tr><td>1</td> <td>2</td></table>", "a | b\n1 | 2", id="table"),
        pytest.param("<pre>\n  x\n\n  y</pre>", "x\n\n  y", id="preformatted"),
        pytest.param("a<script>if (a < b) '<p>'</script>b<STYLE>p{}</Style >c", "abc", id="scripts"),
        pytest.param("a<script>never closed <p>b</p>", "a", id="open-script"),
        pytest.param("a<!-- <p>no</p> -->b<!doctype html>c<?php x ?>d", "abcd", id="comments"),
        pytest.param("a<svg><svg></svg>no</svg>b<noscript>no</noscript>c", "abc", id="invisible"),
        pytest.param("<![if IE]>a<![endif]>b", "ab", id="marked-sections"),
        pytest.param("<title>T</title><body>b", "T\n\nb", id="title"),
        pytest.param("a < b <= c << d", "a < b <= c << d", id="loose"),
        pytest.param("<textarea><b>x</b></textarea>", "x", id="same-on-all-versions"),
        pytest.param("text <a href='x>y' title=\"<p>\">link</a>", "text link", id="attributes"),
    ],
)
def test_visible_text(html: str, expected: str) -> None:
    assert _text(html) == expected


def test_headings_start_chunks_and_form_the_path() -> None:
    html = "<p>intro<h1>Guide <i>one</i></h1>hello<h2>Install</h2><div>run</div><h1>Other</h1><p>bye"
    assert [(chunk.heading, chunk.text) for chunk in read_all(html.encode(), "a.html")] == [
        (None, "intro"),
        ("Guide one", "Guide one\n\nhello"),
        ("Guide one > Install", "Install\n\nrun"),
        ("Other", "Other\n\nbye"),
    ]


def test_a_heading_without_end_does_not_swallow_the_document() -> None:
    chunks = read_all(("<h1>start " + "word " * 1000).encode(), "a.html")
    assert sum(len(chunk.text) for chunk in chunks) > 4900


def test_large_scripts_and_embedded_images_are_skipped_in_linear_time() -> None:
    size = 3_000_000
    html = f"before<script>{'x' * size}</script><img src='data:{'y' * size}'>after"
    reader = MemoryReader(html.encode())
    pages = read_pages(source_of(reader, "a.html", range_bytes=10_000), 10)
    assert [chunk.text for page in pages for chunk in page.items] == ["beforeafter"]
    assert reader.bytes_read < 3 * len(html)


def test_an_endless_tag_is_an_error() -> None:
    error = error_of(b"a<img src='" + b"y" * (2 * HTML_TOKEN_CHARS_MAX), "a.html")
    assert error.error_code == "document_too_complex"
