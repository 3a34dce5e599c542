"""One type for each attribute of a Turbopuffer namespace (W-13).

Turbopuffer gives an attribute the type of its first value, and refuses every later write with a value of another: one
document's ``year: "2020"`` would keep out all with ``year: 2021``. Such a value is written in the attribute's type if
that can say the same, so that filters find it, and otherwise beside it, under a name that ends in its own type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from steps.vectors import MetadataValue

#: What Turbopuffer's ``int`` and ``uint`` hold.
_INT, _UINT = range(-(2**63), 2**63), range(2**64)
#: Integers that a double holds exactly.
_EXACT_INT = range(-(2**53), 2**53 + 1)
_INT_TEXT = re.compile(r"0|-?[1-9][0-9]{0,17}")
_FLOAT_TEXT = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,14})?")
_STRINGS = "[]string"
#: Ends the name of a value that had to be written beside the attribute.
_SUFFIXES = {_STRINGS: "strings"}

Row = Mapping[str, MetadataValue]


def fitted(rows: Sequence[Row], types: Mapping[str, str]) -> list[dict[str, MetadataValue]]:
    """Return the rows with every value in its attribute's type.

    Args:
        rows: attributes of each row.
        types: of the namespace's attributes; one that is not among them gets the type of its first value.
    """
    known = dict(types)
    return [_fitted(row, known) for row in rows]


def _fitted(row: Row, known: dict[str, str]) -> dict[str, MetadataValue]:
    done: dict[str, MetadataValue] = {}
    beside: list[tuple[str, MetadataValue]] = []
    for name, value in row.items():
        found = _as(known.setdefault(name, _type_of(value)), value)
        if found is None:
            beside.append((name, value))
        else:
            done[name] = found
    for name, value in beside:
        done |= _beside(name, value, known, {*row, *done})
    return done


def _beside(name: str, value: MetadataValue, known: dict[str, str], taken: set[str]) -> dict[str, MetadataValue]:
    """Return the value under the first free name that ends in its type."""
    kind = _type_of(value)
    other = name
    while True:
        other = f"{other}_{_SUFFIXES.get(kind, kind)}"
        if other not in taken and known.setdefault(other, kind) == kind:
            return {other: value}


def _type_of(value: MetadataValue) -> str:
    """Return the type that Turbopuffer infers."""
    match value:
        case bool():
            return "bool"
        case int():
            return "int" if value in _INT else "float"
        case float():
            return "float"
        case str():
            return "string"
        case _:
            return _STRINGS


def _as(kind: str, value: MetadataValue) -> MetadataValue | None:
    """Return the value in a type, or None where that type cannot say the same."""
    if kind == _type_of(value):
        return value
    convert = _CONVERSIONS.get(kind)
    # uuid, datetime and what is yet to come: their texts are strings.
    return convert(value) if convert is not None else (value if isinstance(value, str) else None)


def _text(value: MetadataValue) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return None
    if isinstance(value, float) and value.is_integer() and int(value) in _EXACT_INT:
        value = int(value)  # as JavaScript prints it
    return msgspec.json.encode(value).decode()


def _integer(value: MetadataValue, within: range) -> int | None:
    match value:
        case bool() | list():
            return None
        case str() if not _INT_TEXT.fullmatch(value):
            return None
        case float() if not value.is_integer():
            return None
        case _:
            number = int(value)
    return number if number in within else None


def _float(value: MetadataValue) -> float | None:
    if isinstance(value, str):
        return float(value) if _FLOAT_TEXT.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return float(value) if value in _EXACT_INT else None


def _bool(value: MetadataValue) -> bool | None:
    return {"true": True, "false": False}.get(value) if isinstance(value, str) else None


def _strings(value: MetadataValue) -> list[str] | None:
    text = _text(value)
    return None if text is None else [text]


_CONVERSIONS: Mapping[str, Callable[[MetadataValue], MetadataValue | None]] = {
    "string": _text,
    "int": lambda value: _integer(value, _INT),
    "uint": lambda value: _integer(value, _UINT),
    "float": _float,
    "bool": _bool,
    _STRINGS: _strings,
}
