"""Which type a step's recorded result becomes again: the one its function is annotated to return."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import cast, get_type_hints

import msgspec
from pydantic import BaseModel

_BUILTINS: frozenset[object] = frozenset({None, type(None), str, int, float, bool, bytes, object, list, dict})


def return_type(fn: Callable[..., object]) -> object | None:
    """Return the annotated result type when a replay must convert to it, or None when builtins are right."""
    while isinstance(fn, partial):
        fn = fn.func
    return _return_type(getattr(fn, "__func__", fn))


@lru_cache(maxsize=1_024)
def _return_type(fn: Callable[..., object]) -> object | None:
    try:
        hint: object = get_type_hints(fn).get("return")
    except (NameError, TypeError):
        return None
    if hint in _BUILTINS:
        return None
    if isinstance(hint, type) and issubclass(cast("type[object]", hint), BaseModel):
        return cast("object", hint)
    try:
        msgspec.json.Decoder(hint)
    except TypeError:
        return None
    return hint
