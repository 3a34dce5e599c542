"""The elements of an array inside a JSON object, some at a time: ``{"metadata": {…}, "chunks": [ … ]}``.

One element and one window of text are in memory, whatever the file's size, and reading goes on from any element.
"""

from __future__ import annotations

import json
from typing import NoReturn, cast

import msgspec

from steps.parsing.errors import DocumentError
from steps.parsing.json_depth import exceeds_depth
from steps.parsing.limits import JSON_DEPTH_MAX, LINE_CHARS_MAX, RANGE_BYTES
from steps.parsing.model import ByteReader
from steps.parsing.window import Window

_BLANKS = " \t\r\n"
#: A value that ends so close to the window's end may go on behind it: the digits of a number.
_MARGIN = 16


class ArrayPosition(msgspec.Struct, frozen=True, array_like=True):
    """A point between two elements.

    Attributes:
        offset: byte offset behind the last element taken, or behind the array's bracket.
        index: elements taken.
    """

    offset: int
    index: int = 0


class Elements(msgspec.Struct, frozen=True):
    """Some consecutive elements.

    Attributes:
        items: as the ``json`` module decodes them.
        position: where the next ones are.
        done: whether the array, and the object around it, ended.
        rest: the object's members behind the array, once it has ended.
    """

    items: list[object]
    position: ArrayPosition
    done: bool
    rest: dict[str, object] = {}


class JsonElements:
    """Reads one array of a JSON object.

    Args:
        reader: the file.
        member: the array's name.
        range_bytes: size of a read.
    """

    def __init__(self, reader: ByteReader, member: str, *, range_bytes: int = RANGE_BYTES) -> None:
        self._reader = reader
        self._member = member
        self._range_bytes = range_bytes
        self._decoder = json.JSONDecoder(parse_constant=_no_constant)
        self._window = Window(reader, "utf-8", 0, range_bytes)
        self._checked: str | None = None
        #: Where the window was left: going on there saves reading it again.
        self._left: tuple[ArrayPosition, int] | None = None

    async def open(self) -> tuple[dict[str, object], ArrayPosition]:
        """Return the object's other members that stand before the array, and where the array begins.

        Raises:
            DocumentError: code ``invalid_json``: this is no such object.
        """
        members: dict[str, object] = {}
        self._window = Window(self._reader, "utf-8", 0, self._range_bytes)
        at = await self._expect("{", 0)
        while True:
            name, at = await self._name(at)
            if name == self._member:
                at = await self._expect("[", at)
                position = ArrayPosition(self._window.offset_at(at))
                self._left = (position, at)
                return members, position
            members[name], at = await self._value(at)
            at = await self._expect(",", at)

    async def take(self, position: ArrayPosition, limit: int, *, max_chars: int = LINE_CHARS_MAX) -> Elements:
        """Return up to ``limit`` elements from a position on, fewer once they take more than ``max_chars``.

        Raises:
            DocumentError: code ``invalid_json``.
        """
        left, self._left = self._left, None
        if left is not None and left[0] == position:
            at = left[1]
        else:
            self._window, at = Window(self._reader, "utf-8", position.offset, self._range_bytes), 0
        items: list[object] = []
        index, chars = position.index, 0
        while len(items) < limit and chars < max_chars:
            at = await self._next(at)
            if self._window.text[at] == "]":
                rest = await self._end(at + 1)
                return Elements(items, ArrayPosition(position.offset, index), True, rest)
            if index:
                at = await self._next(await self._expect(",", at))
            before = self._window.offset_at(at)
            value, at = await self._value(at)
            chars += self._window.offset_at(at) - before
            items.append(value)
            index += 1
        position = ArrayPosition(self._window.offset_at(at), index)
        self._left = (position, at)
        return Elements(items, position, done=False)

    async def _end(self, at: int) -> dict[str, object]:
        """Return the members behind the array; the object has to end as one."""
        members: dict[str, object] = {}
        while True:
            at = await self._next(at)
            if self._window.text[at] == "}":
                return members
            name, at = await self._name(await self._expect(",", at))
            if name == self._member:
                _invalid("has two arrays of one name")
            members[name], at = await self._value(at)

    async def _name(self, at: int) -> tuple[str, int]:
        at = await self._next(at)
        if self._window.text[at] != '"':
            _invalid("lacks a member's name")
        name, at = await self._value(at)
        return str(name), await self._expect(":", at)

    async def _expect(self, token: str, at: int) -> int:
        at = await self._next(at)
        if self._window.text[at] != token:
            _invalid(f"lacks {token!r} at byte {self._window.offset_at(at)}")
        return at + 1

    async def _next(self, at: int) -> int:
        """Return the position of the next character that is no white space, in the window."""
        window = self._window
        while True:
            while at < len(window.text) and window.text[at] in _BLANKS:
                at += 1
            if at < len(window.text):
                return at
            if window.final:
                _invalid("ends too early")
            await window.more(at)
            at = 0

    async def _value(self, at: int) -> tuple[object, int]:
        window = self._window
        at = await self._next(at)
        while True:
            text = window.text
            if text is not self._checked:
                if exceeds_depth(text, at, JSON_DEPTH_MAX):
                    _invalid("is nested too deeply")
                self._checked = text
            try:
                value, end = cast(tuple[object, int], self._decoder.raw_decode(text, at))
                if window.final or end < len(text) - _MARGIN:
                    return value, end
            except ValueError:
                if window.final:
                    _invalid("is malformed")
            if len(text) - at > LINE_CHARS_MAX:
                _invalid(f"has a value longer than {LINE_CHARS_MAX:,} characters, or is malformed")
            await window.more(at)
            at = 0


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _invalid(what: str) -> NoReturn:
    raise DocumentError(f"The JSON file {what}.", code="invalid_json")
