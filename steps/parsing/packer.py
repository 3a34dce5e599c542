"""Packs paragraphs into chunks.

The packer sees text in order, in pieces, and cuts as soon as it holds more than a chunk. Where it cuts depends only on
the text before that point, so the chunks do not depend on how the document was sliced, and its state is never larger
than one chunk.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from steps.parsing.limits import HEADING_CHARS_MAX

#: Where a sentence ends. The second character of the pairs is dropped by the cut.
_SENTENCE_PAIRS = (". ", "! ", "? ", ".\n", "!\n", "?\n")
#: CJK full stops need no space after them.
_SENTENCE_MARKS = ("。", "\uff01", "\uff1f")
_BREAK = "\n\n"


class PackerState(msgspec.Struct, frozen=True, array_like=True):
    """The unfinished chunk, as the cursor carries it."""

    text: str = ""
    breaks: tuple[int, ...] = ()
    gap: bool = False
    code: bool = False
    only_headings: bool = False
    headings: tuple[tuple[int, str], ...] = ()
    sequence: int = 0


class Draft(NamedTuple):
    """A chunk without its id."""

    sequence: int
    text: str
    page: int | None
    heading: str | None


class Mark(NamedTuple):
    """A point to go back to. The lists only grow while they are shared, so a length is enough to restore them."""

    parts: list[str]
    parts_count: int
    length: int
    breaks: list[int]
    breaks_count: int
    gap: bool
    code: bool
    only_headings: bool
    headings: tuple[tuple[int, str], ...]
    sequence: int

    def state(self) -> PackerState:
        """Return the state at the mark."""
        return PackerState(
            text="".join(self.parts[: self.parts_count]),
            breaks=tuple(self.breaks[: self.breaks_count]),
            gap=self.gap,
            code=self.code,
            only_headings=self.only_headings,
            headings=self.headings,
            sequence=self.sequence,
        )


class Packer:
    """Collects text and emits `drafts`.

    Args:
        size: most characters of a chunk.
        delimiter: preferred place to cut.
        state: unfinished chunk to go on with.
    """

    def __init__(self, size: int, delimiter: str | None, state: PackerState) -> None:
        self._size = size
        self._delimiter = delimiter or None
        self._parts = [state.text] if state.text else []
        self._length = len(state.text)
        self._breaks = list(state.breaks)
        self._gap = state.gap
        self._only_headings = state.only_headings
        self._headings = state.headings
        self._heading = _path(state.headings)
        self._sequence = state.sequence
        #: The open paragraph is code: it is cut between lines rather than between sentences.
        self.code = state.code
        #: Page number for the chunks to come.
        self.page: int | None = None
        #: Finished chunks; the caller takes them out.
        self.drafts: list[Draft] = []

    @property
    def sequence(self) -> int:
        """Sequence number of the next chunk."""
        return self._sequence

    @property
    def in_paragraph(self) -> bool:
        """Whether the next text continues a paragraph."""
        return self._length > 0 and not self._gap

    def mark(self) -> Mark:
        """Return the present point; O(1)."""
        return Mark(
            self._parts,
            len(self._parts),
            self._length,
            self._breaks,
            len(self._breaks),
            self._gap,
            self.code,
            self._only_headings,
            self._headings,
            self._sequence,
        )

    def add(self, text: str) -> None:
        """Append text to the open paragraph, or open one with it."""
        if "\0" in text:
            # Postgres refuses NUL in text and jsonb; it can only come from an escape such as \u0000.
            text = text.replace("\0", "")
        if self._gap:
            self._parts.append(_BREAK)
            self._length += len(_BREAK)
            self._gap = False
        self._parts.append(text)
        self._length += len(text)
        self._only_headings = False
        if self._length > self._size:
            self._spill()

    def line(self, text: str) -> None:
        """Append a line to the open paragraph, or open one with it."""
        self.add("\n" + text if self._length and not self._gap else text)

    def end_paragraph(self) -> None:
        """Close the open paragraph, if there is one."""
        self.code = False
        if self._length and not self._gap:
            self._gap = True
            self._breaks.append(self._length)

    def heading(self, level: int, title: str, text: str) -> None:
        """Start a new chunk below a heading.

        Directly nested headings share a chunk, so that none consists of a lone title above another one.

        Args:
            level: 1 for the topmost.
            title: entry of the heading path.
            text: how the heading appears in the chunk.
        """
        nested = self._only_headings and bool(self._headings) and self._headings[-1][0] < level
        if not nested:
            self.flush()
        kept = tuple(entry for entry in self._headings if entry[0] < level)
        self._headings = (*kept, (level, title[:HEADING_CHARS_MAX]))
        self._heading = _path(self._headings)
        self.end_paragraph()
        self.add(text)
        # The heading belongs to the text below it: no break to cut at in between.
        self._gap = self._only_headings = self._length > 0

    def flush(self) -> None:
        """Finish the open chunk."""
        if self._parts:
            self._emit("".join(self._parts))
        self._restart("", [])
        self.code = False

    def _restart(self, text: str, breaks: list[int]) -> None:
        # New lists: marks may share the old ones.
        self._parts = [text] if text else []
        self._length = len(text)
        self._breaks = breaks
        self._gap = False
        self._only_headings = False

    def _emit(self, text: str) -> None:
        text = text.strip()
        if text:
            self.drafts.append(Draft(self._sequence, text, self.page, self._heading))
            self._sequence += 1

    def _spill(self) -> None:
        buffer = "".join(self._parts)
        start = 0
        while len(buffer) - start > self._size:
            end, resume = self._cut(buffer, start)
            self._emit(buffer[start:end])
            start = resume
        self._restart(buffer[start:], [at - start for at in self._breaks if at > start])

    def _cut(self, buffer: str, start: int) -> tuple[int, int]:
        """Return where the chunk from ``start`` ends and where the next one begins."""
        limit = start + self._size
        if self._delimiter is not None:
            at = buffer.rfind(self._delimiter, start + 1, limit)
            if at >= 0:
                end = at + len(self._delimiter)
                return end, end
        for at in reversed(self._breaks):
            if start < at <= limit:
                return at, at + len(_BREAK)
        return self._cut_paragraph(buffer, start, limit)

    def _cut_paragraph(self, buffer: str, start: int, limit: int) -> tuple[int, int]:
        half = start + self._size // 2
        if not self.code:
            pair = max(buffer.rfind(mark, half, limit + 1) for mark in _SENTENCE_PAIRS)
            single = max(buffer.rfind(mark, half, limit) for mark in _SENTENCE_MARKS)
            if pair > single:
                return pair + 1, pair + 2
            if single >= 0:
                return single + 1, single + 1
        at = buffer.rfind("\n", half, limit + 1)
        if at < 0:
            quarter = start + self._size // 4
            at = max(buffer.rfind(" ", quarter, limit + 1), buffer.rfind("\t", quarter, limit + 1))
        return (at, at + 1) if at >= 0 else (limit, limit)


def _path(headings: tuple[tuple[int, str], ...]) -> str | None:
    return " > ".join(title for _, title in headings if title) or None
