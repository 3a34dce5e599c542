"""Calls of handlers that remember nothing of the object that was called."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from inspect import Signature
from types import MethodType
from typing import Any

_code: Any = import_module("pyodide.code")
_signatures: dict[Callable[..., object], Signature | None] = {}


def remember_no_called_objects() -> None:
    """Have Pyodide's relaxed calls cache a method's signature by its function. Idempotent.

    The platform calls ``alarm`` and a WebSocket's handlers in this way (platform.md §4.5). Pyodide's own cache has the
    bound method as its key, so it would hold the last 128 objects with all their memory long after their eviction.
    """
    if hasattr(_code, "_relaxed_call_sig_cached"):
        _code._relaxed_call_sig_cached = _signature


def _signature(called: Callable[..., object]) -> Signature | None:
    if not isinstance(called, MethodType):
        return _code._relaxed_call_sig(called)
    function = called.__func__
    if function not in _signatures:
        _signatures[function] = _code._relaxed_call_sig(called)
    return _signatures[function]
