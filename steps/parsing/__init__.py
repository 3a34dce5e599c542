"""The built-in document parser: text, Markdown, HTML, CSV, JSON, JSON Lines and PDF.

A document is read in batches, in byte ranges, with a cursor that survives a crash between any two batches. The chunks
are the same however the document was sliced.
"""

from __future__ import annotations

from steps.parsing.detect import Format
from steps.parsing.errors import DocumentError
from steps.parsing.model import ByteReader, Chunk, ParsedPage, ParseOptions
from steps.parsing.readers import BlobReader, HttpReader, InlineReader
from steps.parsing.source import DocumentSource, chunk_id

__all__ = [
    "BlobReader",
    "ByteReader",
    "Chunk",
    "DocumentError",
    "DocumentSource",
    "Format",
    "HttpReader",
    "InlineReader",
    "ParseOptions",
    "ParsedPage",
    "chunk_id",
]
