"""Tells a document's format, encoding and line ending from its name, declared type and first bytes."""

from __future__ import annotations

import codecs
from enum import StrEnum

from steps.parsing.errors import DocumentError


class Format(StrEnum):
    """A format that the parser reads."""

    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    PDF = "pdf"


_BY_MIME_TYPE = {
    "text/markdown": Format.MARKDOWN,
    "text/x-markdown": Format.MARKDOWN,
    "text/html": Format.HTML,
    "application/xhtml+xml": Format.HTML,
    "text/csv": Format.CSV,
    "application/csv": Format.CSV,
    "text/tab-separated-values": Format.CSV,
    "application/json": Format.JSON,
    "text/json": Format.JSON,
    "application/geo+json": Format.JSON,
    "application/ld+json": Format.JSON,
    "application/jsonl": Format.JSONL,
    "application/x-ndjson": Format.JSONL,
    "application/x-jsonlines": Format.JSONL,
    "application/jsonlines": Format.JSONL,
    "application/pdf": Format.PDF,
    "application/x-pdf": Format.PDF,
}

_BY_EXTENSION = {
    "txt": Format.TEXT,
    "text": Format.TEXT,
    "log": Format.TEXT,
    "md": Format.MARKDOWN,
    "markdown": Format.MARKDOWN,
    "mdx": Format.MARKDOWN,
    "html": Format.HTML,
    "htm": Format.HTML,
    "xhtml": Format.HTML,
    "csv": Format.CSV,
    "tsv": Format.CSV,
    "json": Format.JSON,
    "geojson": Format.JSON,
    "jsonl": Format.JSONL,
    "ndjson": Format.JSONL,
    "pdf": Format.PDF,
}

#: First bytes of common files that are not text, for an error that names what was sent.
_BINARY_SIGNATURES = (
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\x00asm", "a WebAssembly module"),
)

_PDF_MAGIC = b"%PDF-"
#: Readers accept junk before the header up to here (ISO 32000-1, implementation note 13 of annex H).
_PDF_MAGIC_WINDOW = 1024

#: Control characters that do not occur in text: C0 without the white space and escape.
_CONTROL_BYTES = bytes(code for code in range(32) if code not in (9, 10, 11, 12, 13, 27))
#: Text with a stray control character is still text; random bytes have about 10 % of them.
_CONTROL_SHARE_MAX = 0.02

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def detect_format(head: bytes, filename: str | None, mime_type: str | None) -> Format:
    """Return the document's format.

    The PDF signature beats every name. Otherwise a specific MIME type beats the extension, which beats the content.
    ``text/plain`` and ``application/octet-stream`` say nothing, since storage services put them on everything.

    Args:
        head: the document's first bytes.
        filename: name or key; only its extension counts.
        mime_type: declared content type, parameters allowed.

    Raises:
        DocumentError: ``unsupported_format``, ``not_text``, ``invalid_pdf``.
    """
    mime = (mime_type or "").partition(";")[0].strip().lower()
    extension = _extension(filename)
    declared = _BY_MIME_TYPE.get(mime) or _BY_EXTENSION.get(extension)
    if head.lstrip().startswith(_PDF_MAGIC):
        return Format.PDF
    if declared is Format.PDF:
        if _PDF_MAGIC in head[:_PDF_MAGIC_WINDOW]:
            return Format.PDF
        raise DocumentError("The document is not a PDF: it does not begin with a PDF header.", code="invalid_pdf")
    for signature, kind in _BINARY_SIGNATURES:
        if head.startswith(signature):
            raise DocumentError(f"The document is {kind}, which cannot be parsed as text.", code="unsupported_format")
    check_is_text(head)
    if declared is Format.JSON and _looks_like_json_lines(head):
        return Format.JSONL
    return declared or _sniff_text(head)


def detect_encoding(head: bytes) -> tuple[str, int]:
    """Return the codec's name and the length in bytes of the byte order mark."""
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding, len(mark)
    return "utf-8", 0


def detect_newline(head: str) -> str:
    r"""Return ``\r`` for documents of the classic Mac OS kind, else ``\n`` (which includes ``\r\n``)."""
    return "\r" if "\r" in head and "\n" not in head else "\n"


def check_is_text(head: bytes) -> None:
    """Refuse binary content.

    Raises:
        DocumentError: code ``not_text``.
    """
    if detect_encoding(head)[0] != "utf-8":
        return
    nul = head.find(0)
    if nul >= 0:
        raise DocumentError(
            f"The document is not text: it contains a NUL byte at offset {nul}.",
            code="not_text",
            details={"offset": nul},
        )
    control = len(head) - len(head.translate(None, _CONTROL_BYTES))
    if control > len(head) * _CONTROL_SHARE_MAX:
        message = f"The document is not text: {control} of its first {len(head)} bytes are control characters."
        raise DocumentError(message, code="not_text")


def _extension(filename: str | None) -> str:
    name = (filename or "").rpartition("/")[2]
    stem, dot, extension = name.rpartition(".")
    return extension.lower() if dot and stem else ""


def _looks_like_json_lines(head: bytes) -> bool:
    """Tell whether a ``.json`` document holds one record per line, as many exports write them."""
    first, _, rest = head.partition(b"\n")
    first = first.strip()
    return first.startswith(b"{") and first.endswith(b"}") and rest.lstrip().startswith(b"{")


def _sniff_text(head: bytes) -> Format:
    encoding, mark = detect_encoding(head)
    start = head[mark : mark + 1024].decode(encoding, "replace").lstrip().lower()
    if start.startswith(("<!doctype html", "<html", "<head", "<body")):
        return Format.HTML
    return Format.TEXT
