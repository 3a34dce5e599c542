"""What completes a token: kept for the wait in the journal, or beside it when no row could hold it."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator import codec, large
from orchestrator.engine import JobEngine
from orchestrator.limits import MAX_LARGE_VALUE_BYTES, MAX_VALUE_BYTES
from orchestrator.ports import Resources


async def complete_token(engine: JobEngine, resources: Callable[[], Resources], key: str, data: object) -> None:
    """Complete a token with data of any size that a step may return; see :meth:`JobEngine.complete_token`.

    Args:
        engine: the job's.
        resources: opens the object store.
        key: the token's operation.
        data: what its wait returns.
    """
    value = codec.encode(data, what="token data", limit_bytes=MAX_LARGE_VALUE_BYTES)
    if len(value) > MAX_VALUE_BYTES and engine.takes_token(key):
        opened = resources()
        try:
            value = await large.store(opened.blobs(), engine.known().job_id, value)
        finally:
            await opened.close()
    engine.settle_token(key, value)
