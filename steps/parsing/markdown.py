"""Markdown: headings open chunks and form their heading path, fenced code is kept together.

The block structure needed for that (headings, fences, front matter, blank lines) is decided line by line, which is
exactly what a cursor can carry. The Markdown libraries of PyPI parse a document as a whole and cannot be resumed.
Everything inside a block is kept as written: it is readable, and embedding models know Markdown.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from steps.parsing.limits import FRAGMENT_CHARS
from steps.parsing.packer import Packer
from steps.parsing.plain import next_piece

_BLANKS = " \t"


class MarkdownState(msgspec.Struct, frozen=True, array_like=True, tag="markdown"):
    """Where in the block structure the next line stands."""

    #: As in `PlainState`.
    line_chars: int = 0
    #: The opening fence of the code block that is open, such as ``~~~``; empty outside of code.
    fence: str = ""
    #: Nothing but blank lines came before.
    at_start: bool = True
    #: Inside the YAML block at the document's start.
    front_matter: bool = False


class _Heading(NamedTuple):
    level: int
    title: str


class MarkdownParser:
    """See the module's docstring."""

    def __init__(self, state: MarkdownState, newline: str) -> None:
        self.state = state
        self._newline = newline

    def step(self, text: str, position: int, final: bool, packer: Packer) -> int:
        """Take one line, fragment, or heading with its underline; return its end, or -1 when more text is needed."""
        state = self.state
        piece = next_piece(text, position, final, self._newline, state.line_chars)
        if piece is None:
            return -1
        end, following, ends_line = piece
        line = text[position:end]
        if ends_line:
            line = line.rstrip()
        if state.line_chars:
            packer.add(line)
            self._set_line_chars(0 if ends_line else state.line_chars + end - position)
            return following
        if ends_line and self._may_be_underlined(line, packer):
            below = next_piece(text, following, final, self._newline, 0)
            if below is None:
                return -1
            level = _underline_level(text[following : below[0]]) if below[2] else 0
            if level:
                self._leave_start()
                packer.heading(level, line.strip(), line.strip())
                return below[1]
        self._take(line, packer)
        if not ends_line:
            self._set_line_chars(end - position)
        return following

    def finish(self, packer: Packer) -> None:
        """Note the document's end."""

    def _set_line_chars(self, count: int) -> None:
        self.state = msgspec.structs.replace(self.state, line_chars=count)

    def _leave_start(self) -> None:
        if self.state.at_start:
            self.state = msgspec.structs.replace(self.state, at_start=False)

    def _may_be_underlined(self, line: str, packer: Packer) -> bool:
        """Tell whether the line would be a heading if ``===`` or ``---`` came below it (one-line titles only)."""
        state = self.state
        if state.fence or state.front_matter or packer.in_paragraph or not line.strip() or len(line) >= FRAGMENT_CHARS:
            return False
        if state.at_start and line == "---":
            return False
        indent = len(line) - len(line.lstrip(_BLANKS))
        if indent > 3 or line[indent] in "#>|" or line[indent : indent + 2] in ("- ", "* ", "+ "):
            return False
        return not _fence_of(line) and not _underline_level(line)

    def _take(self, line: str, packer: Packer) -> None:
        state = self.state
        if state.fence or state.front_matter:
            self._take_verbatim(line, packer)
            return
        if state.at_start and line == "---":
            packer.line(line)
            self.state = msgspec.structs.replace(state, at_start=False, front_matter=True)
            return
        if line:
            self._leave_start()
        if not line:
            packer.end_paragraph()
        elif (fence := _fence_of(line)) != "":
            packer.end_paragraph()
            packer.line(line)
            packer.code = True
            self.state = msgspec.structs.replace(self.state, fence=fence)
        elif (heading := _heading_of(line)) is not None:
            packer.heading(heading.level, heading.title, line.strip())
        else:
            packer.line(line)

    def _take_verbatim(self, line: str, packer: Packer) -> None:
        packer.line(line)
        state = self.state
        mark = line.strip()
        if state.fence:
            closes = len(mark) >= len(state.fence) and mark == state.fence[0] * len(mark)
        else:
            # A blank line too: the opening line may have been a mere rule.
            closes = mark in ("---", "...", "")
        if closes:
            packer.end_paragraph()
            self.state = msgspec.structs.replace(state, fence="", front_matter=False)


def _fence_of(line: str) -> str:
    """Return the run of backticks or tildes that opens a code block, or an empty string."""
    stripped = line.lstrip(" ")
    if len(line) - len(stripped) > 3 or not stripped.startswith(("```", "~~~")):
        return ""
    mark = stripped[0]
    rest = stripped.lstrip(mark)
    # A backtick after the run makes it inline code.
    return "" if mark == "`" and "`" in rest else mark * (len(stripped) - len(rest))


def _heading_of(line: str) -> _Heading | None:
    stripped = line.lstrip(" ")
    if not stripped.startswith("#") or len(line) - len(stripped) > 3:
        return None
    rest = stripped.lstrip("#")
    level = len(stripped) - len(rest)
    if level > 6 or (rest and rest[0] not in _BLANKS):
        return None
    title = rest.strip()
    bare = title.rstrip("#")
    # Closing marks count as such only when a blank stands before them.
    return _Heading(level, bare.rstrip() if not bare or bare[-1] in _BLANKS else title)


def _underline_level(line: str) -> int:
    """Return 1 for a line of ``=``, 2 for a line of ``-``, else 0."""
    mark = line.strip()
    if not mark or line.startswith(("    ", "\t")):
        return 0
    if mark == "=" * len(mark):
        return 1
    return 2 if mark == "-" * len(mark) else 0
