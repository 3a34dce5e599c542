"""Cursors of the catalog's lists: the position of a page's last row, in text that callers hand back."""

from __future__ import annotations

import base64
import binascii

from orchestrator.errors import InvalidRequestError

#: What sorts after every time in ms, and is no BigInt to JavaScript.
_END_OF_TIME = 10**15


def cursor_of(at_ms: int, row_id: str) -> str:
    """Return the cursor of a page that ends with this row."""
    return base64.urlsafe_b64encode(f"{at_ms}:{row_id}".encode()).decode().rstrip("=")


def start_of(cursor: str | None, *, before_ms: int | None = None) -> tuple[int, str]:
    """Return what the rows of the next page sort before.

    Args:
        cursor: of the page before; None is the first page.
        before_ms: only rows of an earlier time.

    Raises:
        InvalidRequestError: the cursor is not one of ours (code ``invalid_cursor``).
    """
    latest = (_END_OF_TIME if before_ms is None else min(before_ms, _END_OF_TIME), "")
    if cursor is None:
        return latest
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        at_ms, _, row_id = text.partition(":")
        return min((min(int(at_ms), _END_OF_TIME), row_id), latest)
    except (binascii.Error, ValueError):
        raise InvalidRequestError("The cursor is not one that this API gave", code="invalid_cursor") from None
