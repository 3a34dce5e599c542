from collections.abc import Callable
from inspect import Signature
from typing import Any

def relaxed_call(func: Callable[..., Any], *args: object, **kwargs: object) -> Any: ...
def _relaxed_call_sig(func: Callable[..., object]) -> Signature | None: ...

_relaxed_call_sig_cached: Callable[[Callable[..., object]], Signature | None]
