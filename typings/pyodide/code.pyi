from collections.abc import Callable
from typing import Any

def relaxed_call(func: Callable[..., Any], *args: object, **kwargs: object) -> Any: ...
