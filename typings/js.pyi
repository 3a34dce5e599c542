# JavaScript's globals as Pyodide gives them to Python. They have no types here: `durable/bridge.py` gives them some.
from typing import Any

def __getattr__(name: str) -> Any: ...
