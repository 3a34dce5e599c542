"""CSV and TSV: the first record names the columns, every further record becomes ``column: value`` lines."""

from __future__ import annotations

import csv
from collections.abc import Iterator

import msgspec

from steps.parsing.errors import FormatError
from steps.parsing.limits import CSV_COLUMNS_MAX, CSV_HEADER_CHARS_MAX, LINE_CHARS_MAX
from steps.parsing.packer import Packer
from steps.parsing.plain import line_too_long

_DELIMITERS = ",;\t|"


class CsvState(msgspec.Struct, frozen=True, array_like=True, tag="csv"):
    """What is known from the records so far."""

    delimiter: str
    #: None until the header was read.
    header: tuple[str, ...] | None = None
    #: Records taken, the header included.
    records: int = 0


class _NeedMoreError(Exception):
    """The record goes on beyond the window."""


def sniff_delimiter(head: str) -> str:
    """Return the delimiter that occurs most often in the first line.

    The standard library's sniffer guesses from quoting as well, and guesses letters for single-column files.
    """
    first = head.lstrip("\r\n").partition("\n")[0]
    return max(_DELIMITERS, key=first.count)


class CsvParser:
    """See the module's docstring."""

    def __init__(self, state: CsvState, newline: str) -> None:
        self.state = state
        self._newline = newline
        self._lines = _Lines(newline)
        # Quotes are handled leniently inside a record, as spreadsheets do; a quote that is never closed is an error.
        self._records = csv.reader(self._lines, delimiter=state.delimiter)
        # The library's limit is global and 131,072 characters; ours is the length of a line.
        csv.field_size_limit(LINE_CHARS_MAX)

    def step(self, text: str, position: int, final: bool, packer: Packer) -> int:
        """Take one record; return its end, or -1 when more text is needed."""
        self._lines.load(text, position, final)
        try:
            record = next(self._records)
        except _NeedMoreError:
            if len(text) - position > LINE_CHARS_MAX:
                raise self._too_long(text, position) from None
            return -1
        except StopIteration:
            raise FormatError("invalid_csv", self._unclosed(), position) from None
        except csv.Error as error:
            message = f"The CSV record {self.state.records + 1} is malformed ({error})"
            raise FormatError("invalid_csv", message, position) from None
        if self._lines.exhausted:
            raise FormatError("invalid_csv", self._unclosed(), position)
        self._take(record, position, packer)
        return self._lines.position

    def finish(self, packer: Packer) -> None:
        """Show the column names when there are no records."""
        if self.state.records == 1 and self.state.header:
            packer.line(", ".join(self.state.header))

    def _take(self, record: list[str], position: int, packer: Packer) -> None:
        if not any(record):
            return
        state = self.state
        if state.header is None:
            header = tuple(name.strip() for name in record)
            if len(header) > CSV_COLUMNS_MAX or sum(map(len, header)) > CSV_HEADER_CHARS_MAX:
                raise FormatError("document_too_complex", "The CSV header is too long", position)
            self.state = CsvState(state.delimiter, header, 1)
            return
        for index, value in enumerate(record):
            value = value.strip()
            if value:
                name = state.header[index] if index < len(state.header) else ""
                packer.line(f"{name or f'column {index + 1}'}: {value}")
        packer.end_paragraph()
        self.state = CsvState(state.delimiter, state.header, state.records + 1)

    def _unclosed(self) -> str:
        return f"The CSV record {self.state.records + 1} has a quote that is never closed"

    def _too_long(self, text: str, position: int) -> FormatError:
        if self._newline in text[position:]:
            return FormatError("invalid_csv", self._unclosed(), position)
        return FormatError("line_too_long", line_too_long(), position)


class _Lines(Iterator[str]):
    """The window's complete lines, as the CSV reader pulls them."""

    def __init__(self, newline: str) -> None:
        self._newline = newline
        self._text = ""
        self._final = False
        self._pulled = 0
        #: End of the last line pulled.
        self.position = 0
        #: The reader asked for a line beyond the document's end in the middle of a record.
        self.exhausted = False

    def load(self, text: str, position: int, final: bool) -> None:
        """Start a record at ``position``."""
        self._text = text
        self._final = final
        self._pulled = 0
        self.position = position
        self.exhausted = False

    def __next__(self) -> str:
        start = self.position
        at = self._text.find(self._newline, start)
        if at >= 0:
            self.position = at + 1
        elif not self._final:
            raise _NeedMoreError
        elif start < len(self._text):
            self.position = len(self._text)
        else:
            self.exhausted = self._pulled > 0
            raise StopIteration
        self._pulled += 1
        return self._text[start : self.position]
