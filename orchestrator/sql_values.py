"""What a Durable Object's SQLite stores as it is given; the rest is refused before it gets there.

One check for the platform's adapter and for the one in memory, so that they cannot come to differ.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.errors import StorageValueError
from orchestrator.limits import MAX_VALUE_BYTES
from orchestrator.ports import SqlValue

#: What production refuses and the local runtime does not (platform.md §1.1).
MAX_ROW_BYTES = 2_000_000
#: The platform's own bound (platform.md §1.1).
MAX_PARAMS = 100
#: JavaScript's greatest safe integer: larger ones do not come back as they were (platform.md §1.2).
MAX_INTEGER = 2**53 - 1


_SHORT_CHARS = 1_000


def check_params(params: Sequence[SqlValue]) -> None:
    """Refuse a statement's parameters when they would not be stored as they are (platform.md §1.1, §1.2).

    Raises:
        StorageValueError: a bool, an integer beyond 2**53, half a character, too many bytes, or too many parameters.
    """
    if len(params) > MAX_PARAMS:
        raise StorageValueError(f"A statement has at most {MAX_PARAMS} parameters")
    size = 0
    for param in params:
        if param is None:
            continue
        if isinstance(param, str):
            # Most are short names: a call for each would cost as much as the rest of the check.
            size += len(param) if len(param) <= _SHORT_CHARS and param.isascii() else _text_bytes(param)
        elif isinstance(param, bytes):
            size += _bounded(len(param))
        elif isinstance(param, bool):
            # JavaScript's true is stored as the text "true".
            raise StorageValueError("A SQL parameter cannot be a bool; store 0 or 1")
        elif isinstance(param, int) and not -MAX_INTEGER <= param <= MAX_INTEGER:
            raise StorageValueError("A SQL integer is at most 2**53 - 1; store larger ones as text")
    if size > MAX_ROW_BYTES:
        raise StorageValueError(f"A row has at most {MAX_ROW_BYTES} bytes")


def _text_bytes(text: str) -> int:
    if text.isascii():
        return _bounded(len(text))
    try:
        return _bounded(len(text.encode()))
    except UnicodeEncodeError:
        # The platform stores three replacement characters in its place.
        raise StorageValueError("A SQL text cannot have half a character (a lone surrogate)") from None


def _bounded(size: int) -> int:
    if size > MAX_VALUE_BYTES:
        raise StorageValueError(f"A SQL value has at most {MAX_VALUE_BYTES} bytes")
    return size
