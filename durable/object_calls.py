"""Calls to Durable Objects, repeated where the platform says that this helps."""

from __future__ import annotations

import asyncio
import random
from functools import partial

from durable.bridge import Env, ObjectCallError
from durable.catalog_calls import CatalogCalls
from durable.placement import Layout
from orchestrator.errors import OrchestratorError, RetryableError

#: Tries of a call that the platform calls retryable, and the first wait between them in seconds; every method of the
#: objects may be repeated (platform.md §10 rule 39).
_TRIES = 4
_FIRST_WAIT_S = 0.05


async def call_object(env: Env, binding: str, name: str, method: str, *args: str) -> str:
    """Call a method of an object, strings in and a string out.

    Raises:
        RetryableError: the object does not answer (code ``object_unreachable``), or asks to be left alone for a while
            (code ``object_overloaded``).
        OrchestratorError: the object threw.
    """
    wait_s = _FIRST_WAIT_S
    for attempt in range(1, _TRIES + 1):
        try:
            return await env.call_object(binding, name, method, *args)
        except ObjectCallError as error:
            if error.overloaded:
                raise RetryableError(f"{method} of {name}: {error}", code="object_overloaded") from None
            if not error.retryable:
                raise OrchestratorError(f"{method} of {name}: {error}") from None
            if attempt == _TRIES:
                raise RetryableError(f"{method} of {name}: {error}", code="object_unreachable") from None
        await asyncio.sleep(wait_s * (0.5 + random.random()))  # noqa: S311 - spreads retries
        wait_s *= 2
    raise AssertionError("the last try returns or raises")


def catalog_calls(env: Env) -> CatalogCalls:
    """Return the way to the catalog's objects."""
    return CatalogCalls(lambda: Layout.from_setting(env.text("CATALOG_SHARDS")), partial(call_object, env))
