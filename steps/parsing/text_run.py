"""Reads a text-like document unit by unit: bytes to window, window to parser, parser to packer."""

from __future__ import annotations

from typing import Protocol

from steps.parsing.cursor import ParserState, TextPosition
from steps.parsing.detect import Format, detect_encoding, detect_newline
from steps.parsing.errors import DocumentError, FormatError
from steps.parsing.json_values import JsonParser, JsonState
from steps.parsing.limits import SNIFF_BYTES
from steps.parsing.markdown import MarkdownParser, MarkdownState
from steps.parsing.markup import HtmlParser, HtmlState
from steps.parsing.model import ByteReader, ParseOptions
from steps.parsing.packer import Draft, Mark, Packer, PackerState
from steps.parsing.plain import PlainParser, PlainState
from steps.parsing.tabular import CsvParser, CsvState, sniff_delimiter
from steps.parsing.window import Window

#: A read that finds little text still ends: after this many characters, or four times what the chunks asked for hold.
_WORK_CHARS_MIN = 256 * 1024


class Parser(Protocol):
    """Takes a document's text one unit at a time.

    A unit is what the parser takes in one step: it must be the same for every window that holds enough text.
    """

    @property
    def state(self) -> ParserState:
        """Everything the parser remembers between two units."""
        ...

    def step(self, text: str, position: int, final: bool, packer: Packer) -> int:
        """Take one unit at ``position``, which is below ``len(text)``; return its end, or -1 to ask for more text."""
        ...

    def finish(self, packer: Packer) -> None:
        """Note the document's end."""
        ...


def start_position(format_: Format, head: bytes, filename: str | None) -> TextPosition:
    """Return the position at a document's start.

    Args:
        format_: a text-like format.
        head: the document's first ``SNIFF_BYTES`` bytes.
        filename: name or key.
    """
    encoding, mark_bytes = detect_encoding(head)
    text = head[mark_bytes:SNIFF_BYTES].decode(encoding, "ignore")
    newline = detect_newline(text)
    state: ParserState
    if format_ is Format.MARKDOWN:
        state = MarkdownState()
    elif format_ is Format.HTML:
        state = HtmlState()
    elif format_ is Format.CSV:
        tabs = (filename or "").lower().endswith(".tsv")
        state = CsvState("\t" if tabs else sniff_delimiter(text.replace("\r", "\n")))
    elif format_ in (Format.JSON, Format.JSONL):
        state = JsonState(lines=format_ is Format.JSONL)
    else:
        state = PlainState()
    return TextPosition(encoding, newline, mark_bytes, state, PackerState())


def _make_parser(position: TextPosition, packer: Packer) -> Parser:
    state = position.parser
    if isinstance(state, PlainState):
        return PlainParser(state, position.newline)
    if isinstance(state, MarkdownState):
        return MarkdownParser(state, position.newline)
    if isinstance(state, HtmlState):
        return HtmlParser(state, packer)
    if isinstance(state, CsvState):
        return CsvParser(state, position.newline)
    return JsonParser(state)


class TextRun:
    """A reading of a text-like document, from some position on.

    Args:
        reader: the document.
        position: where to start.
        next_sequence: chunks before this one were handed out already.
        options: how to cut.
        range_bytes: size of a read.
        head: the document's first bytes, if they are at hand and the position is the start.
    """

    def __init__(
        self,
        reader: ByteReader,
        position: TextPosition,
        next_sequence: int,
        options: ParseOptions,
        range_bytes: int,
        head: bytes = b"",
    ) -> None:
        self._start = position
        self._window = Window(reader, position.encoding, position.offset, range_bytes, head[position.offset :])
        self._packer = Packer(options.chunk_size, options.delimiter, position.packer)
        self._parser = _make_parser(position, self._packer)
        self._chunk_size = options.chunk_size
        self._next_sequence = next_sequence
        self._at = 0
        self._queue: list[Draft] = []
        #: The last unit taken: what the rest of the queue is made of.
        self._unit: tuple[int, ParserState, Mark] = (0, self._parser.state, self._packer.mark())
        self._finished = False

    @property
    def done(self) -> bool:
        """Whether every chunk was handed out."""
        return self._finished and not self._queue

    @property
    def next_sequence(self) -> int:
        """Sequence number of the chunk to hand out next."""
        return self._next_sequence

    @property
    def pages(self) -> float | None:
        """None: only PDF has pages."""
        return None

    def position(self) -> TextPosition:
        """Return where a new run has to start to go on from here."""
        at, state, mark = self._unit if self._queue else (self._at, self._parser.state, self._packer.mark())
        start = self._start
        return TextPosition(start.encoding, start.newline, self._window.offset_at(at), state, mark.state())

    async def take(self, limit: int) -> list[Draft]:
        """Return up to ``limit`` chunks.

        Raises:
            DocumentError: the document is malformed.
        """
        work = max(_WORK_CHARS_MIN, 4 * limit * self._chunk_size)
        while len(self._queue) < limit and not self._finished and work > 0:
            window = self._window
            if self._at >= len(window.text) and not window.final:
                await self._extend()
                continue
            before = self._at
            if not self._take_unit():
                await self._extend()
            work -= self._at - before if self._at > before else 0
        drafts = self._queue[:limit]
        del self._queue[:limit]
        self._next_sequence += len(drafts)
        return drafts

    async def _extend(self) -> None:
        at, self._at = self._at, 0
        await self._window.more(at)

    def _take_unit(self) -> bool:
        """Take the next unit; return False when the window is too short for it."""
        window, parser, packer, at = self._window, self._parser, self._packer, self._at
        unit = (at, parser.state, packer.mark())
        try:
            if at >= len(window.text):
                parser.finish(packer)
                packer.flush()
                self._finished = True
            else:
                end = parser.step(window.text, at, window.final, packer)
                if end < 0:
                    if window.final:
                        raise FormatError("document_error", "The document ends unexpectedly", at)
                    return False
                self._at = end
        except FormatError as error:
            raise self._located(error) from None
        self._unit = unit
        if packer.drafts:
            self._queue += [draft for draft in packer.drafts if draft.sequence >= self._next_sequence]
            packer.drafts.clear()
        return True

    def _located(self, error: FormatError) -> DocumentError:
        if error.position is None:
            return DocumentError(f"{error.sentence}.", code=error.code)
        position = error.position if error.position >= 0 else len(self._window.text)
        offset = self._window.offset_at(position)
        return DocumentError(f"{error.sentence} at byte {offset}.", code=error.code, details={"offset": offset})
