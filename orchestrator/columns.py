"""Values of SQL rows as the types their columns have."""

from __future__ import annotations


def integer(value: object) -> int:
    """Return a number column."""
    if not isinstance(value, (int, float)):
        raise TypeError(f"expected a number, got {type(value).__name__}")
    return int(value)


def text(value: object) -> str:
    """Return a text column."""
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {type(value).__name__}")
    return value


def blob(value: object) -> bytes:
    """Return a blob column."""
    if not isinstance(value, bytes):
        raise TypeError(f"expected bytes, got {type(value).__name__}")
    return value
