from collections.abc import Callable
from typing import Any, Final

class JsProxy:
    def __getattr__(self, name: str) -> Any: ...

class JsException(Exception):
    def __getattr__(self, name: str) -> Any: ...

jsnull: Final[object]

def to_js(
    obj: object,
    /,
    *,
    depth: int = -1,
    create_pyproxies: bool = True,
    dict_converter: Callable[..., Any] | None = None,
    default_converter: Callable[..., Any] | None = None,
) -> Any: ...
def create_proxy(obj: object, /) -> Any: ...
def create_once_callable(obj: Callable[..., object], /) -> Any: ...
def run_sync(awaitable: object, /) -> Any: ...
