"""Finds documents that were written and that no row claims: of a crawl whose answer was lost, nobody knows the ids.

Another crawl of the namespace may be about to make rows of its own. So what no row claims is remembered, and is
nobody's if that is still so a week later: no run waits so long between the parser's result and its rows.
"""

from __future__ import annotations

from orchestrator import Batch, BatchSize, JobContext, Page
from steps.platform.parser_results import unwanted
from steps.services import services

#: How long an id must go unclaimed.
WAIT_MS = 7 * 86_400_000
#: Ids that are remembered: more than a crawl's result can list (4 MB).
MAX_UNCLAIMED = 30_000
#: Keys looked at per request.
BATCH = BatchSize(initial=1_000, minimum=50, maximum=1_000)


async def find_unclaimed(job: JobContext, namespace_id: str) -> list[str]:
    """Return documents of a namespace that have had objects, and no row, for a week; this takes the week."""
    written = WrittenDocuments(namespace_id)
    loop = await job.each("look for unclaimed documents", written, remember, state=list[str](), batch=BATCH)
    if loop.state:
        await job.sleep(WAIT_MS, name="wait for rows")
    return loop.state


class WrittenDocuments:
    """The documents of a namespace that have objects in the main bucket. Implements ``Source``.

    Args:
        namespace_id: the namespace.
    """

    def __init__(self, namespace_id: str) -> None:
        self._folder = f"namespaces/{namespace_id}/documents/"

    async def read(self, cursor: object, limit: int, /) -> Page[str]:
        """Return the next documents; the cursor is the last key. One whose objects lie on both sides comes twice."""
        current = services()
        if current.settings.platform.namespace_leftovers == "keep":
            return Page([], None, done=True)  # the deployment keeps things of its own there
        after = cursor if isinstance(cursor, str) else ""
        keys = await current.blobs.list(self._folder, after=after, limit=limit)
        ids = dict.fromkeys(key.removeprefix(self._folder).partition("/")[0] for key in keys)
        return Page(list(ids), keys[-1] if keys else None, done=not keys)


async def remember(batch: Batch[str, list[str]]) -> list[str]:
    """Return the documents without a row so far."""
    room = MAX_UNCLAIMED - len(batch.state)
    new = [each for each in batch.items if each not in batch.state[-1:]]
    return [*batch.state, *(await unwanted(services().database(), new))[: max(0, room)]]
