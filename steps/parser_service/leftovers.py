"""Removes what the parser service has left in Redis for a document: batches have no time to live (W-09)."""

from __future__ import annotations

from collections.abc import Sequence

from steps.platform.parser_results import BatchKeys, forget_result, results_of
from steps.redis import redis_for
from steps.services import services


async def drop_batches(document_ids: Sequence[str]) -> None:
    """Remove the batches of these documents' results, if there are any."""
    database = services().database()
    for document_id, keys in (await results_of(database, document_ids)).items():
        await drop_keys(keys)
        await forget_result(database, document_id, keys)


async def drop_keys(keys: BatchKeys) -> None:
    """Remove the batches of one result."""
    current = services()
    redis = redis_for(current.settings.redis, current.http)
    if redis is not None:
        await redis.delete(keys.all())
