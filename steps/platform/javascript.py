"""Numbers and JSON in the form that JavaScript writes them, which receivers sign, compare and bill (domain.md §0.3)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import cast

#: From here on, and below the other, JavaScript writes numbers with an exponent (ECMA-262, Number::toString).
_EXPONENT_FROM, _EXPONENT_BELOW = 1e21, 1e-6
#: Integers beyond it are no integers in JavaScript.
_MAX_SAFE_INTEGER = 2**53 - 1


def to_fixed(value: float, digits: int) -> str:
    """Return ``Number.prototype.toFixed``: ties of the exact binary value go away from zero, unlike in Python."""
    if abs(value) >= _EXPONENT_FROM:
        return _number(value)
    # The numbers below have 21 digits at most before the point.
    return str(Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP, Context(prec=22 + digits)))


def json_text(value: object) -> str:
    """Return ``JSON.stringify``: no whitespace, UTF-8 as it is, ``10`` and not ``10.0``.

    Args:
        value: of dicts with string keys, lists, strings, numbers, booleans and None.
    """
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value).items()
        return "{" + ",".join(f"{_string(key)}:{json_text(item)}" for key, item in members) + "}"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Sequence):
        return "[" + ",".join(json_text(item) for item in cast("Sequence[object]", value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return _number(value)
    raise TypeError(f"JSON has no {type(value).__name__}")


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _number(value: float) -> str:
    if isinstance(value, int) and abs(value) <= _MAX_SAFE_INTEGER:
        return str(value)
    number = float(value)
    if not math.isfinite(number):
        return "null"
    if number == 0 or _EXPONENT_BELOW <= abs(number) < _EXPONENT_FROM:
        # repr gives the shortest digits that mean this number, as JavaScript does.
        text = format(Decimal(repr(number)), "f")
        return (text.rstrip("0").rstrip(".") if "." in text else text) if number else "0"
    mantissa, exponent = repr(number).split("e")
    return f"{mantissa}e{exponent[0]}{exponent[1:].lstrip('0')}"
