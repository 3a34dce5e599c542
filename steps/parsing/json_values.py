"""JSON and JSON Lines: small values are shown as ``path: value`` lines, large containers are opened and read by member.

A value of up to 64 Ki characters is parsed as a whole. The array or object around it is never in memory, so documents
of any size can be read. The cursor carries the path of open containers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import cast

import msgspec

from steps.parsing.errors import FormatError
from steps.parsing.json_depth import exceeds_depth
from steps.parsing.limits import (
    JSON_DEPTH_MAX,
    JSON_FRAMES_MAX,
    JSON_PATH_CHARS_MAX,
    JSON_VALUE_CHARS_MAX,
    LINE_CHARS_MAX,
)
from steps.parsing.packer import Packer
from steps.parsing.plain import line_too_long

_BLANKS = " \t\r\n"
_CLOSERS = {"[": "]", "{": "}"}
#: Longest literal, and the longest escape sequence: what can be cut in half at the window's end.
_TOKEN_MARGIN = 16


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """An open container."""

    #: ``[`` or ``{``.
    kind: str
    #: Path of the container itself.
    path: str
    #: Members taken.
    count: int = 0


class JsonState(msgspec.Struct, frozen=True, array_like=True, tag="json"):
    """Where in the structure the text stands."""

    #: JSON Lines: any number of top-level values.
    lines: bool
    frames: tuple[Frame, ...] = ()
    #: A member was taken; a comma or the container's end must come. At top level: the value is complete.
    after_member: bool = False
    #: A comma was taken; a member must come.
    after_comma: bool = False
    #: JSON Lines: characters since the last line end.
    line_chars: int = 0


class JsonParser:
    """See the module's docstring."""

    def __init__(self, state: JsonState) -> None:
        self.state = state
        #: The window whose nesting was checked last.
        self._checked: str | None = None
        # Numbers stay as written: 1.10 is not 1.1, and an integer of any length costs nothing.
        self._decoder = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)

    def step(self, text: str, position: int, final: bool, packer: Packer) -> int:
        """Take one token or member; return its end, or -1 when more text is needed."""
        if text is not self._checked:
            self._check_depth(text, position)
        start = _skip_blanks(text, position)
        end = self._take(text, start, final, packer) if start < len(text) else start
        if end <= position:
            self._check_size(text, position)
            return -1
        if self.state.lines:
            self._count_line(text, position, end)
        return end

    def finish(self, packer: Packer) -> None:
        """Check that the document is complete."""
        state = self.state
        if state.frames:
            message = "The JSON document ends before its outermost value is closed"
            raise FormatError("invalid_json", message, -1)

    def _check_depth(self, text: str, position: int) -> None:
        """Check a new window once; it holds for every later position in it."""
        if exceeds_depth(text, position, JSON_DEPTH_MAX - len(self.state.frames)):
            raise self._too_deep()
        self._checked = text

    def _check_size(self, text: str, position: int) -> None:
        if len(text) - position > LINE_CHARS_MAX:
            if self.state.lines:
                raise FormatError("line_too_long", line_too_long(), position)
            message = f"The JSON document has a single value longer than {LINE_CHARS_MAX:,} characters"
            raise FormatError("document_too_complex", message, position)

    def _count_line(self, text: str, position: int, end: int) -> None:
        newline = text.rfind("\n", position, end)
        count = end - newline - 1 if newline >= 0 else self.state.line_chars + end - position
        if count > LINE_CHARS_MAX:
            raise FormatError("line_too_long", line_too_long(), position)
        self.state = msgspec.structs.replace(self.state, line_chars=count)

    def _take(self, text: str, start: int, final: bool, packer: Packer) -> int:
        state = self.state
        character = text[start]
        if not state.frames:
            if state.after_member and not state.lines:
                raise FormatError("invalid_json", "The JSON document goes on after its outermost value", start)
            if character == "[" and not state.lines:
                return self._take_outermost_array(text, start, final, packer)
            return self._take_value(text, start, final, "", packer)
        frame = state.frames[-1]
        if character == _CLOSERS[frame.kind] and not state.after_comma:
            packer.end_paragraph()
            self.state = msgspec.structs.replace(state, frames=state.frames[:-1], after_member=True)
            return start + 1
        if state.after_member:
            if character != ",":
                raise FormatError("invalid_json", "The JSON document lacks a comma between two members", start)
            self.state = msgspec.structs.replace(state, after_member=False, after_comma=True)
            return start + 1
        if frame.kind == "[":
            path = f"{frame.path}[{frame.count}]" if frame.path else ""
            return self._take_value(text, start, final, path, packer)
        return self._take_member(text, start, final, frame, packer)

    def _take_outermost_array(self, text: str, start: int, final: bool, packer: Packer) -> int:
        """Open an array of records, whatever its size, so that each becomes a paragraph."""
        first = _skip_blanks(text, start + 1)
        if first >= len(text) and not final:
            return -1
        if text[first : first + 1] not in ("[", "{"):
            return self._take_value(text, start, final, "", packer)
        self._open("[", start, "")
        return start + 1

    def _take_member(self, text: str, start: int, final: bool, frame: Frame, packer: Packer) -> int:
        """Take ``"key": value``."""
        if text[start] != '"':
            raise FormatError("invalid_json", "The JSON document has a member name without quotes", start)
        decoded = self._decode(text, start, final)
        if decoded is None:
            return -1
        key, end = decoded
        colon = _skip_blanks(text, end)
        if colon < len(text) and text[colon] != ":":
            raise FormatError("invalid_json", "The JSON document lacks a colon after a member name", colon)
        value = _skip_blanks(text, colon + 1)
        if value >= len(text):
            if not final:
                return -1
            raise FormatError("invalid_json", "The JSON document ends after a member name", start)
        return self._take_value(text, value, final, _join(frame.path, str(key)), packer)

    def _take_value(self, text: str, start: int, final: bool, path: str, packer: Packer) -> int:
        """Show the value at ``start``, or open it when it is a large container."""
        decoded = self._decode(text, start, final)
        container = text[start] in _CLOSERS
        size = len(text) - start if decoded is None else decoded[1] - start
        if container and size > JSON_VALUE_CHARS_MAX:
            self._open(text[start], start, path)
            return start + 1
        if decoded is None:
            return -1
        for line in render(decoded[0], path):
            packer.line(line)
        packer.end_paragraph()
        self._close_member()
        return decoded[1]

    def _too_deep(self) -> FormatError:
        message = f"The JSON document is nested deeper than {JSON_DEPTH_MAX} levels"
        return FormatError("document_too_complex", message, None)

    def _open(self, kind: str, position: int, path: str) -> None:
        state = self.state
        if len(state.frames) >= JSON_FRAMES_MAX:
            message = f"The JSON document has large values nested deeper than {JSON_FRAMES_MAX} levels"
            raise FormatError("document_too_complex", message, position)
        frames = (*self._counted_frames(), Frame(kind, path))
        self.state = msgspec.structs.replace(state, frames=frames, after_member=False, after_comma=False)

    def _close_member(self) -> None:
        frames = self._counted_frames()
        self.state = JsonState(self.state.lines, frames, True, False, self.state.line_chars)

    def _counted_frames(self) -> tuple[Frame, ...]:
        frames = self.state.frames
        if not frames:
            return frames
        last = frames[-1]
        return (*frames[:-1], Frame(last.kind, last.path, last.count + 1))

    def _decode(self, text: str, start: int, final: bool) -> tuple[object, int] | None:
        """Parse the value at ``start``; None when it is a container too large for the window, or needs more text."""
        try:
            value, end = cast(tuple[object, int], self._decoder.raw_decode(text, start))
        except json.JSONDecodeError as error:
            if self._may_be_cut(text, start, final, error):
                return None
            raise FormatError("invalid_json", f"The JSON document is malformed ({error.msg})", error.pos) from None
        if not final and len(text) - end < _TOKEN_MARGIN and text[start] not in '"[{':
            # The rest of the number, such as the fraction in 98.7, may be beyond the window.
            return None
        return value, end

    def _may_be_cut(self, text: str, start: int, final: bool, error: json.JSONDecodeError) -> bool:
        if final and len(text) - start <= JSON_VALUE_CHARS_MAX:
            return False
        if text[start] in _CLOSERS:
            return True
        if text[start] != '"':
            return not final and len(text) - start < _TOKEN_MARGIN
        unterminated = error.msg.startswith("Unterminated") or error.pos > len(text) - _TOKEN_MARGIN
        return unterminated and not final


def render(value: object, path: str) -> Iterator[str]:
    """Yield the lines that show a JSON value.

    Args:
        value: what the `json` module returned, numbers as strings.
        path: where the value stands, such as ``items[3].name``; empty for the outermost value.
    """
    if isinstance(value, dict):
        for key, member in cast(dict[str, object], value).items():
            yield from render(member, _join(path, key))
    elif isinstance(value, list):
        items = cast(list[object], value)
        if all(not isinstance(item, dict | list) for item in items):
            joined = ", ".join(_scalar(item) for item in items if item is not None)
            if joined:
                yield _labelled(path, joined)
        else:
            for index, item in enumerate(items):
                yield from render(item, f"{path}[{index}]")
    elif value is not None and value != "":
        yield _labelled(path, _scalar(value))


def _labelled(path: str, text: str) -> str:
    return f"{path}: {text}" if path else text


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if text.isascii():
        return text
    # Escapes can spell half of a surrogate pair, which no encoding of text can store.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _join(path: str, key: str) -> str:
    joined = f"{path}.{_scalar(key)}" if path else _scalar(key)
    return joined if len(joined) <= JSON_PATH_CHARS_MAX else "…" + joined[-JSON_PATH_CHARS_MAX:]


def _skip_blanks(text: str, position: int) -> int:
    """Return the position of the next character that is not white space."""
    size = len(text)
    while position < size and text[position] in _BLANKS:
        piece = text[position : position + 256]
        rest = len(piece.lstrip(_BLANKS))
        position += len(piece) - rest
        if rest:
            break
    return position
