"""Runs inside the Worker's interpreter: calls Python classes the way the deployed runtime does.

Arguments and results cross with the SDK's own converters. Handlers of a Durable Object that the platform defines
may declare fewer parameters than they are given; RPC methods may not.
"""

from __future__ import annotations

import inspect
from typing import Any

from pyodide.code import relaxed_call
from workers import python_from_rpc, python_to_rpc

RELAXED = frozenset({"alarm", "webSocketMessage", "webSocketClose", "webSocketError"})


async def construct(module: object, class_name: str, ctx: object, env: object) -> object:
    """Make an instance of the main module's class."""
    return getattr(module, class_name)(ctx, env)


async def call(instance: object, method_name: str, *args: object) -> Any:
    """Call a method and give back its result as JavaScript sees it."""
    method = getattr(instance, method_name)
    arguments = [python_from_rpc(argument) for argument in args]
    result = relaxed_call(method, *arguments) if method_name in RELAXED else method(*arguments)
    if inspect.isawaitable(result):
        result = await result
    return python_to_rpc(result)
