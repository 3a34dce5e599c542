"""Rows under column names: they fit a screen without breaking words, and stay whole where a program reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

_GAP = "  "
#: The last column stands beside the others if it gets so much room, and below them otherwise.
_LEAST_COLUMNS = 24
_DIM = "bright_black"


class Column(msgspec.Struct, frozen=True):
    """A column: its name, its side, and whether a narrow screen does without it."""

    name: str
    right: bool = False
    spare: bool = False


class Listing:
    """A table of text. Only the last column is ever wrapped; columns without a value are left out.

    Args:
        columns: a name, or a column; spare ones go first, from the right, where the screen is too narrow for all.
    """

    def __init__(self, *columns: str | Column) -> None:
        self._columns = [Column(item) if isinstance(item, str) else item for item in columns]
        self._rows: list[list[Text]] = []

    def add(self, *cells: str | Text) -> None:
        """Add a row, whose texts are shown as they are: what others wrote is never markup."""
        self._rows.append([Text(cell) if isinstance(cell, str) else cell for cell in cells])

    def whole(self, console: Console) -> Text:
        """Return the listing with one line per row, however long."""
        return Text("\n").join(self._lines(console, None))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines for a screen."""
        yield from self._lines(console, options.max_width)

    def _lines(self, console: Console, screen: int | None) -> Iterable[Text]:
        every = range(len(self._columns))
        kept = [index for index in every if not self._rows or any(row[index].plain for row in self._rows)]
        widths = [self._width(index) for index in every]
        last = len(self._columns) - 1
        fixed = [index for index in kept if index != last]
        least = min(widths[last], _LEAST_COLUMNS) if last in kept else -len(_GAP)
        for index in reversed(fixed):
            if screen is not None and self._columns[index].spare and _room(screen, fixed, widths) < least:
                fixed = [other for other in fixed if other != index]
        room = None if screen is None else _room(screen, fixed, widths)
        beside = last in kept and (room is None or not fixed or room >= least)
        heads = [Text(column.name, style=_DIM) for column in self._columns]
        yield self._line(heads, [*fixed, last] if beside else fixed, widths)
        for row in self._rows:
            if last not in kept:
                yield self._line(row, fixed, widths)
            elif beside:
                first, *rest = _wrapped(row[last], console, room)
                yield self._line([*row[:last], first], [*fixed, last], widths)
                indent = " " * _begin(fixed, widths)
                yield from (Text.assemble(indent, part) for part in rest)
            else:
                yield self._line(row, fixed, widths)
                for part in _wrapped(row[last], console, max(_LEAST_COLUMNS, (screen or 0) - len(_GAP))):
                    if part.plain:
                        yield Text.assemble(_GAP, part)

    def _width(self, index: int) -> int:
        cells = [row[index].cell_len for row in self._rows]
        return max([len(self._columns[index].name), *cells])

    def _line(self, row: Sequence[Text], shown: Sequence[int], widths: Sequence[int]) -> Text:
        line = Text(overflow="fold")
        for place, index in enumerate(shown):
            space = " " * max(0, widths[index] - row[index].cell_len)
            line.append(_GAP if place else "")
            line.append(space if self._columns[index].right else "")
            line.append_text(row[index])
            line.append("" if self._columns[index].right else space)
        line.rstrip()
        return line


def _begin(fixed: Sequence[int], widths: Sequence[int]) -> int:
    """Return where the last column begins."""
    return sum(widths[index] + len(_GAP) for index in fixed)


def _room(screen: int, fixed: Sequence[int], widths: Sequence[int]) -> int:
    return screen - _begin(fixed, widths)


def _wrapped(cell: Text, console: Console, width: int | None) -> list[Text]:
    if width is None:
        return [Text(" ").join(cell.split("\n"))]
    lines = list(cell.wrap(console, max(1, width)))
    for line in lines:
        line.rstrip()
    return lines or [Text()]
