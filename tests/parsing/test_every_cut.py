"""Small documents, cut at every place: each batch is one chunk, read by a fresh source through a tiny window."""

from __future__ import annotations

import pytest

from steps.parsing import Chunk
from steps.parsing.limits import FRAGMENT_CHARS, HTML_FEED_CHARS
from tests.parsing.support import drive, read_all, source_of

_PLAIN = """First paragraph. It has two sentences, and some more.
    indented line of it

Second one.\r
\r
Third: naïve 京都。😀 words, words, words and a last one without any stop
"""

_MARKDOWN = """---
title: front matter of the document
---
# One

Text below one. And a bit more of it, so that it is cut.

## Two

### Three
```python
call_one(). call_two(). call_three()

# no heading
call_four(). call_five(). call_six()
```
Underlined
==========
Text. More text below the underlined heading, and more.
"""

_HTML = """<html><head><title>A title of the page</title><style>p { x: "</p>" }</style></head>
<body><p>Some <b>bold words</b> and &amp; and &#228;&lt more, then<br>a second line of the paragraph.</p>
<script>if (a < b) { write("<h1>no</h1>") }</script><h1>A <i>heading</i> of two</h1>
<ul><li>one item<li>another <em>item</em></ul><table><tr><td>cell</td> <td>cell two</td></table>
<pre>code. one()

  code. two()   code. three()
</pre><svg><text>hidden <b>part</b></text></svg>visible <!-- comment > --> end <h2>Deeper</h2>last words
"""

_CSV = '''name,,city
Ada,"1,5","London
and ""Paris"""
Grace,,New York and a long field of several words that is cut somewhere
"x",y,z,one more than the header has
'''

_JSON = r"""[
  {"id": 12345, "text": "caf\u00e9 \"quoted\" and \\ more words that are cut", "n": -1.50e+3},
  [1, 2.25, true, null, "x"], 123456789, "a string on its own with several words", false,
  {"deep": {"list": [{"a": 1}, {"b": []}], "empty": {}}, "last": "😀"}
]"""

_JSONL = """{"id": 12345, "text": "some words that are long enough to be cut"}
123456789
"a string"

[1, 2, 3]
{"nested": {"x": [true, false, {"y": "last words of the record here"}]}}
98.7654321"""

_DOCUMENTS = {
    "a.txt": _PLAIN,
    "a.md": _MARKDOWN,
    "a.html": _HTML,
    "a.csv": _CSV,
    "a.json": _JSON,
    "a.jsonl": _JSONL,
}


def _read_one_by_one(data: bytes, name: str, chunk_size: int, range_bytes: int) -> list[Chunk]:
    chunks: list[Chunk] = []
    cursor = None
    while True:
        source = source_of(data, name, chunk_size=chunk_size, range_bytes=range_bytes)
        page = drive(source.read(cursor, 1))
        chunks += page.items
        cursor = page.cursor
        if cursor is None:
            return chunks


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("name", _DOCUMENTS)
def test_every_window(name: str, encoding: str) -> None:
    data = _DOCUMENTS[name].encode(encoding)
    for chunk_size in (32, 47, 64):
        expected = read_all(data, name, chunk_size=chunk_size)
        assert len(expected) > 3
        for range_bytes in range(1, 33):
            assert _read_one_by_one(data, name, chunk_size, range_bytes) == expected, (chunk_size, range_bytes)


@pytest.mark.parametrize("name", _DOCUMENTS)
def test_every_beginning(name: str) -> None:
    """White space before the document shifts every later boundary."""
    for shift in range(40):
        data = (" " * shift + "\n" + _DOCUMENTS[name]).encode() if name != "a.md" else _MARKDOWN.encode()
        expected = read_all(data, name, chunk_size=32)
        assert _read_one_by_one(data, name, 32, 40) == expected, shift


@pytest.mark.parametrize(
    "markup",
    [
        "<h1>A heading of <b>some</b> words</h1>text",
        "<pre>\none\n\n    two</pre>text",
        "<script>var a = '</p>'</script>text",
        "<svg><svg>no</svg>no</svg>text <br> more",
        "<ul><li>one <li> two</ul><table><tr><td>1<td>2</table>",
        "a &amp; b &lt; c &#228; d <!-- no --> e <![x]> f",
        "<a href='x>y' title=\"<p>\">link</a> word <b>bold</b>word",
    ],
)
def test_every_place_where_a_piece_of_html_may_end(markup: str) -> None:
    """Pieces end every 4,096 characters: the markup is moved over that boundary, character by character."""
    whole = read_all(f"<p>start</p>{markup} end".encode(), "a.html")
    expected = "\n\n".join(chunk.text for chunk in whole).removeprefix("start\n\n")
    for before in range(HTML_FEED_CHARS - len(markup) - 1, HTML_FEED_CHARS + 1):
        filler = "<p>" + "fill " * ((before - 7) // 5) + "f" * ((before - 7) % 5) + "</p>"
        assert len(filler) == before
        data = f"{filler}{markup} end".encode()
        chunks = read_all(data, "a.html")
        assert _read_one_by_one(data, "a.html", 2048, 1000) == chunks, before
        text = "\n\n".join(chunk.text for chunk in chunks)
        assert text.endswith("\n\n" + expected), before


@pytest.mark.parametrize("name", ["a.txt", "a.md"])
def test_every_place_where_a_long_line_may_be_cut(name: str) -> None:
    tail = "end of it. Next sentence\r\nnext line\r\n\r\n# Next paragraph\r\n"
    for before in range(FRAGMENT_CHARS - len(tail), FRAGMENT_CHARS + 2):
        data = ("word " * (before // 5) + "w" * (before % 5) + tail).encode()
        chunks = read_all(data, name)
        assert "\r" not in "".join(chunk.text for chunk in chunks), before
        assert " ".join(chunk.text for chunk in chunks).split() == data.decode().split(), before
        assert _read_one_by_one(data, name, 2048, 700) == chunks, before
