"""How deep a piece of JSON is nested, without parsing it.

The JSON library recurses. CPython raises `RecursionError` in time, but in WebAssembly too deep a recursion ends the
whole isolate, so the depth has to be known before a value is parsed. All of this runs on string methods, at hundreds
of megabytes a second.
"""

from __future__ import annotations

#: Deletes everything but brackets, and makes them all square.
_NOT_BRACKETS = bytes(code for code in range(256) if code not in b"[]{}")
_SQUARE = bytes.maketrans(b"{}", b"[]")


def exceeds_depth(text: str, start: int, limit: int) -> bool:
    """Tell whether containers are nested deeper than ``limit`` in ``text[start:]``.

    Args:
        text: JSON, possibly cut off.
        start: a position outside of strings, which counts as depth 0.
        limit: levels allowed.
    """
    brackets = _brackets(text[start:])
    # Each round removes the innermost level of what is closed, so depth <= rounds + what stays open.
    rest = brackets
    for rounds in range(limit + 1):
        if rounds + rest.count(b"[") <= limit:
            return False
        shorter = rest.replace(b"[]", b"")
        if len(shorter) == len(rest):
            break
        rest = shorter
    return _depth(brackets) > limit


def _brackets(text: str) -> bytes:
    """Return the brackets outside of strings, as square ones."""
    if '"' in text:
        # Without escaped backslashes and quotes, every second piece between quotes is outside of strings.
        text = "".join(text.replace("\\\\", "").replace('\\"', "").split('"')[::2])
    return text.encode("ascii", "ignore").translate(_SQUARE, _NOT_BRACKETS)


def _depth(brackets: bytes) -> int:
    deepest = depth = 0
    for bracket in brackets:
        depth += 1 if bracket == ord("[") else -1
        deepest = max(deepest, depth)
    return deepest
