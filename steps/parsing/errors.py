"""Why a document cannot be parsed, with stable codes.

The message is stored in ``document.error`` and shown to people, so it is one plain sentence. Codes:

``empty_document``        0 bytes, or nothing but markup and white space
``not_text``              binary content under a text name
``unsupported_format``    a recognised kind of file that this parser does not read
``invalid_encoding``      bytes that are not valid in the detected encoding; ``details["offset"]``
``line_too_long``         a line over the limit in a line-based format
``invalid_csv``, ``invalid_json``   ``details["offset"]``
``truncated_pdf``, ``invalid_pdf``, ``encrypted_pdf``
``document_too_complex``  a part of the document needs more memory than the parser may use
``document_changed``      the document was replaced while it was being read
``invalid_cursor``        a cursor of another document, format or version
``invalid_options``       chunk size or delimiter out of bounds
``object_not_found``, ``download_failed``, ``document_too_large``   the document cannot be fetched
"""

from __future__ import annotations

from orchestrator.errors import NonRetryableError


class DocumentError(NonRetryableError):
    """The document cannot be parsed."""

    code = "document_error"


class FormatError(Exception):
    """A defect at a position of the text being parsed; the source turns it into a `DocumentError` with a byte offset.

    Args:
        code: code of the `DocumentError`.
        sentence: message without position and full stop.
        position: index into the current window's text; -1 for the document's end, None for the document as a whole.
    """

    def __init__(self, code: str, sentence: str, position: int | None) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.position = position
