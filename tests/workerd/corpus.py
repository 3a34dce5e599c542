"""Real documents of every format, as they lie on this machine or as its libraries make them."""

from __future__ import annotations

import csv
import html.entities
import inspect
import io
import json
import json.decoder
import mimetypes
import pydoc
import textwrap
import unicodedata

import msgspec

from local.demo.corpus import collect
from tests.parsing.pdfs import make_pdf

#: Sources of the standard library in the batch, and the bounds of each one's size.
SOURCES = 34
#: Those of them that lie in the bucket; the others are texts in the payload.
MANAGED = 8
SOURCE_BYTES = range(2_000, 30_000)
#: The one document that takes several batches of chunks, and most of the time.
LARGE_BYTES = 6_000_000


class Document(msgspec.Struct, frozen=True):
    """A document of the batch: an item of the ingest job's payload, and the object it names, if any."""

    item: dict[str, object]
    key: str | None = None
    content: bytes = b""


def managed(name: str, content: bytes, **config: object) -> Document:
    """Return a document in the bucket."""
    key = f"namespaces/nsone/{name}"
    item: dict[str, object] = {"type": "MANAGED_FILE", "key": key, "fileName": name}
    return Document({**item, "config": config} if config else item, key, content)


def text(content: str, **config: object) -> Document:
    """Return a document whose text is in the payload."""
    return Document({"type": "TEXT", "text": content, "config": config})


def corpus() -> list[Document]:
    """Return the batch: many small documents of every format, and a large one, which is the first."""
    sources = [item for item in collect().batch if item.size_bytes in SOURCE_BYTES]
    chosen = sources[:: len(sources) // SOURCES][:SOURCES]
    return [
        managed("standard-library.txt", large_text(LARGE_BYTES)),
        *(managed(item.name.replace("/", "-"), item.path.read_bytes()) for item in chosen[:MANAGED]),
        *(text(item.path.read_text(), metadata={"module": item.name}) for item in chosen[MANAGED:]),
        managed("page.html", pydoc.html.page("json", pydoc.html.document(json)).encode()),
        managed("entities.csv", _table()),
        managed("types.json", json.dumps(mimetypes.types_map, indent=1).encode()),
        managed("characters.jsonl", _characters()),
        managed("decoder.md", _markdown().encode(), chunkSize=512),
        managed("guide.pdf", _pdf()),
    ]


def large_text(size_bytes: int) -> bytes:
    """Return the library's sources one after the other, cut at a character's boundary."""
    parts: list[bytes] = []
    left = size_bytes
    for path in collect().large:
        if left <= 0:
            break
        parts.append(path.read_bytes()[:left])
        left -= len(parts[-1])
    assert left <= 0
    return b"".join(parts).decode(errors="ignore").encode()


def _table() -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["entity", "character", "name"])
    for entity, value in sorted(html.entities.html5.items())[:600]:
        writer.writerow([entity, value, " ".join(unicodedata.name(char, "?") for char in value)])
    return out.getvalue().encode()


def _characters() -> bytes:
    lines = [{"code": code, "name": unicodedata.name(chr(code), "?")} for code in range(0x370, 0x470)]
    return "\n".join(json.dumps(line) for line in lines).encode()


def _markdown() -> str:
    parts = ["# json.decoder", inspect.getdoc(json.decoder) or ""]
    for name, item in inspect.getmembers(json.decoder, callable):
        parts += [f"## {name}", inspect.getdoc(item) or "", f"```python\n{name}\n```"]
    return "\n\n".join(parts)


def _pdf() -> bytes:
    lines = pydoc.plain(pydoc.text.document(textwrap)).splitlines()
    return make_pdf(["\n".join(lines[start : start + 50]) for start in range(0, len(lines), 50)])
