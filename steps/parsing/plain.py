"""Plain text: paragraphs are separated by blank lines."""

from __future__ import annotations

import msgspec

from steps.parsing.errors import FormatError
from steps.parsing.limits import FRAGMENT_CHARS, LINE_CHARS_MAX
from steps.parsing.packer import Packer


class PlainState(msgspec.Struct, frozen=True, array_like=True, tag="plain"):
    """Characters of the current line that were already taken; 0 at the start of a line."""

    line_chars: int = 0


_LINE_START = PlainState()


def next_piece(text: str, position: int, final: bool, newline: str, line_chars: int) -> tuple[int, int, bool] | None:
    """Find the next line, or the next fragment of a long one.

    Fragments have a fixed size counted from the line's start, so the pieces are the same wherever the window ends.

    Args:
        text: the window's text.
        position: where the piece begins; below ``len(text)``.
        final: the window reaches to the document's end.
        newline: line separator, one character.
        line_chars: characters of the line before ``position``.

    Returns:
        Piece's end, next piece's start and whether the line ends there; None when more text is needed.

    Raises:
        FormatError: code ``line_too_long``.
    """
    end = text.find(newline, position, position + FRAGMENT_CHARS + 1)
    if end >= 0:
        return end, end + 1, True
    if len(text) - position > FRAGMENT_CHARS:
        if line_chars + FRAGMENT_CHARS > LINE_CHARS_MAX:
            raise FormatError("line_too_long", line_too_long(), position)
        # A line end of two characters is never cut in half: its second one would have been found above.
        end = position + FRAGMENT_CHARS
        return end, end, False
    return (len(text), len(text), True) if final else None


def line_too_long() -> str:
    """Return the sentence of ``line_too_long`` errors."""
    return f"The document has a line longer than {LINE_CHARS_MAX:,} characters"


class PlainParser:
    """See the module's docstring."""

    def __init__(self, state: PlainState, newline: str) -> None:
        self.state = state
        self._newline = newline

    def step(self, text: str, position: int, final: bool, packer: Packer) -> int:
        """Take one line or fragment; return its end, or -1 when more text is needed."""
        line_chars = self.state.line_chars
        piece = next_piece(text, position, final, self._newline, line_chars)
        if piece is None:
            return -1
        end, following, ends_line = piece
        line = text[position:end]
        if ends_line:
            line = line.rstrip()
        if line_chars:
            packer.add(line)
        elif line:
            packer.line(line)
        else:
            packer.end_paragraph()
        if ends_line:
            self.state = _LINE_START
        else:
            self.state = PlainState(line_chars + end - position)
        return following

    def finish(self, packer: Packer) -> None:
        """Note the document's end."""
