"""Strategies for documents of every text-like format, valid and rich in what the parsers decide by."""

from __future__ import annotations

import csv
import io
import json

from hypothesis import strategies as st

#: Words with characters of one to four bytes in UTF-8, and one to two units in UTF-16.
_words = st.sampled_from(["a", "of", "word", "naïve", "京都。", "😀", "e.g.", "End.", "why?", "snake_case", "x" * 40])
_lines = st.lists(_words, min_size=1, max_size=12).map(" ".join)
_newlines = st.sampled_from(["\n", "\r\n", "\r"])
_encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])
#: Long runs reach the bounds where lines are taken in fragments (4,096 characters) and HTML is fed in pieces.
_counts = st.integers(1, 6000)


def _repeat(piece: str, count: int) -> str:
    return piece * count


def _heading(level: int, title: str) -> str:
    return "#" * level + " " + title


_long = st.builds(_repeat, st.sampled_from(["abc ", "x", "Long one. ", "長"]), _counts)


def _join(parts: list[str], newline: str, encoding: str) -> bytes:
    text = "\n".join(parts)
    return text.replace("\n", newline).encode(encoding)


_plain_line = st.one_of(_lines, st.sampled_from(["", "", "   ", "\t", "    indented()"]), _long)
plain_documents = st.builds(_join, st.lists(_plain_line, min_size=1, max_size=30), _newlines, _encodings)

_markdown_line = st.one_of(
    _lines,
    _long,
    st.sampled_from(
        ["", "", "---", "===", "```", "~~~~", "```python", "# One", "## Two ##", "### Three", "#no", "> quote"]
    ),
    st.builds(_heading, st.integers(1, 7), _lines),
    st.sampled_from(["- item", "1. item", "| a | b |", "title: x", "    code", "..."]),
)
markdown_documents = st.builds(_join, st.lists(_markdown_line, min_size=1, max_size=40), _newlines, _encodings)

# fmt: off
_TAGS = [
    "p", "/p", "div", "/div", "h1", "/h1", "h2", "/h2", "h3", "br", "br/", "ul", "li", "/li", "/ul", "pre", "/pre",
    "table", "tr", "td", "/td", "script", "/script", "style", "/style", "b", "/b", "svg", "/svg", "title", "/title",
    "!--x--", "!doctype", "a\thref='x>y'", 'img\tsrc="data:,1"', "/script\t", "template", "/template",
]
# fmt: on


def _html(parts: list[str], encoding: str) -> bytes:
    return ("visible" + "".join(parts)).encode(encoding)


_html_piece = st.one_of(
    st.sampled_from(_TAGS).map(lambda tag: f"<{tag}>"),
    _lines,
    st.sampled_from(
        [" ", "\n", "\n\n  ", "&amp;", "&#228;", "&lt", "&", "<", "a < b", "<!--", "-->", "]]>", "<![CDATA[", "</"]
    ),
    _long,
    _counts.map(lambda count: f"<img src='{'y' * count}'>"),
)
html_documents = st.builds(
    _html,
    st.lists(_html_piece, min_size=1, max_size=60),
    _encodings,
)

_cells = st.one_of(_lines, st.sampled_from(["", "1,5", 'say "hi"', "two\nlines", "a;b", " padded "]), _long)


def _csv(rows: list[list[str]], delimiter: str, newline: str, encoding: str) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows([["name", "", "value"], *rows])
    return out.getvalue().replace("\n", newline).encode(encoding)


csv_documents = st.builds(
    _csv,
    st.lists(st.lists(_cells, min_size=1, max_size=4), min_size=1, max_size=12),
    st.sampled_from([",", ";", "\t"]),
    _newlines,
    _encodings,
)

_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), _lines, st.text(max_size=5), _long
)
_json_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(_words, inner, max_size=5)),
    max_leaves=15,
)


def _json(value: object, copies: int, indent: int | None, ascii_only: bool, encoding: str) -> bytes:
    # Copies make containers larger than what is parsed as a whole (65,536 characters).
    document: object = (
        ["text", [value] * copies, {"nested": [value] * copies}, value] if copies else {"only": value, "k": 1}
    )
    return json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode(encoding)


json_documents = st.builds(
    _json, _json_values, st.sampled_from([0, 1, 3, 40]), st.sampled_from([None, 2]), st.booleans(), _encodings
)


def _jsonl(values: list[object], newline: str, encoding: str) -> bytes:
    return "".join(json.dumps(value) + newline for value in ["first", *values]).encode(encoding)


jsonl_documents = st.builds(
    _jsonl,
    st.lists(_json_values, max_size=10),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
    _encodings,
)
