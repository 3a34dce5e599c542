"""The catalog as one: questions go to every shard at once, and answers are merged.

A shard that does not answer is never left out in silence: the question fails with ``catalog_incomplete``, or, where the
asker takes what there is, the answer names the shard. So it does while a shard recovers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from durable import envelope
from durable.catalog_model import (
    CatalogCounts,
    CountsQuery,
    DeadLetterPage,
    DeadLetterQuery,
    JobCount,
    JobPage,
    JobQuery,
    OverdueQuery,
    Redriven,
    ShardState,
)
from durable.cursors import cursor_of
from durable.envelope import text_of
from durable.placement import Layout
from durable.tallies import by_workflow
from durable.turns import in_turns
from orchestrator.errors import (
    InvalidRequestError,
    OrchestratorError,
    RequestError,
    RetryableError,
    UnknownDeadLetterError,
)
from orchestrator.lifecycle import JobStatus
from orchestrator.model import DeadLetter, JobSummary

T = TypeVar("T")
Row = TypeVar("Row", JobSummary, DeadLetter)

#: Shards asked at the same time: a request has 6 outgoing connections (platform.md §1.1).
CONCURRENCY = 6


class ShardCall(Protocol):
    """Calls a shard by name; what it answers, unread. Raises like :func:`durable.object_calls.call_object`."""

    async def __call__(self, name: str, method: str, *args: str) -> str:
        """Call the shard."""
        ...


class ShardedCatalog:
    """Every shard of the catalog.

    Args:
        layout: the shards in use.
        call: calls one.
    """

    def __init__(self, layout: Layout, call: ShardCall) -> None:
        self.layout = layout
        self._call = call

    # -- one shard ---------------------------------------------------------------------------------------------------

    async def publish(self, summary: JobSummary) -> None:
        """Take note of a job's state."""
        await self._ask(self.layout.shard_of(summary.id), "publish", type(None), text_of(summary))

    async def add_dead_letter(self, letter: DeadLetter) -> None:
        """Keep a dead letter."""
        await self._ask(self.layout.shard_of_letter(letter), "add_dead_letter", type(None), text_of(letter))

    # -- all shards --------------------------------------------------------------------------------------------------

    async def list_jobs(self, query: JobQuery) -> JobPage:
        """Return jobs, newest first.

        Raises:
            InvalidRequestError: the cursor is not one of ours (code ``invalid_cursor``).
            RetryableError: a shard does not answer, and ``query.partial`` is not set (code ``catalog_incomplete``).
        """
        pages, silent = await self._every("list_jobs", JobPage, text_of(query), partial=query.partial)
        jobs, cursor = _merged([(page.jobs, page.next_cursor) for page in pages], query.limit, _job_position)
        return JobPage(jobs, cursor, _names(silent, *(page.incomplete for page in pages)))

    async def list_dead_letters(self, query: DeadLetterQuery) -> DeadLetterPage:
        """Return dead letters, newest first. Raises like :meth:`list_jobs`."""
        pages, silent = await self._every("list_dead_letters", DeadLetterPage, text_of(query), partial=query.partial)
        found = [(page.dead_letters, page.next_cursor) for page in pages]
        letters, cursor = _merged(found, query.limit, _letter_position)
        return DeadLetterPage(letters, cursor, _names(silent, *(page.incomplete for page in pages)))

    async def counts(self, query: CountsQuery) -> CatalogCounts:
        """Return the numbers behind the metrics and alerts: of the shards that answer, and which do not.

        Raises:
            RetryableError: no shard answers (code ``catalog_incomplete``).
        """
        found, silent = await self._every("counts", CatalogCounts, text_of(query), partial=True)
        return merged_counts(found, silent)

    async def overdue(self, query: OverdueQuery) -> tuple[list[str], list[str]]:
        """Return jobs that are late, of the shards that answer, and the names of those that do not."""
        lists, silent = await self._every("overdue", list[str], text_of(query), partial=True)
        return [job_id for ids in lists for job_id in ids], silent

    async def get_dead_letter(self, letter_id: str) -> DeadLetter:
        """Return a dead letter. Its id does not say which shard keeps it.

        Raises:
            UnknownDeadLetterError: there is none of this id.
            RetryableError: it was not found, and a shard does not answer (code ``catalog_incomplete``).
        """
        found, silent = await self._every("find_dead_letter", list[DeadLetter], letter_id, partial=True)
        letters = [letter for letters in found for letter in letters]
        if letters:
            return letters[0]
        if silent:
            raise _incomplete(silent)
        raise UnknownDeadLetterError

    async def mark_redriven(self, redriven: Redriven) -> None:
        """Take note that a dead letter was tried again.

        Raises:
            RetryableError: a shard does not answer (code ``catalog_incomplete``).
        """
        await self._every("mark_redriven", type(None), text_of(redriven), partial=False)

    async def states(self) -> list[ShardState]:
        """Return how complete each shard is.

        Raises:
            RetryableError: a shard does not answer (code ``catalog_incomplete``).
        """
        found, _ = await self._every("state", ShardState, partial=False)
        return found

    async def rebuild(self, names: Sequence[str]) -> list[ShardState]:
        """Have shards ask the ledgers and the jobs again for everything.

        Raises:
            InvalidRequestError: there is no such shard (code ``unknown_shard``).
        """
        unknown = sorted(set(names) - set(self.layout.names()))
        if unknown:
            raise InvalidRequestError(f"The catalog has no shard {unknown[0]!r}", code="unknown_shard")
        return [await self._ask(name, "rebuild", ShardState) for name in names]

    async def _ask(self, name: str, method: str, into: type[T], *args: str) -> T:
        return envelope.unwrap(await self._call(name, method, *args), into)

    async def _every(self, method: str, into: type[T], *args: str, partial: bool) -> tuple[list[T], list[str]]:
        """Return what the shards answer, and the names of those that do not."""
        names = self.layout.names()

        async def ask(name: str) -> T | OrchestratorError:
            try:
                return await self._ask(name, method, into, *args)
            except RequestError:
                raise  # the question is wrong, whoever is asked
            except OrchestratorError as error:
                return error

        answers = await in_turns(names, ask, at_once=CONCURRENCY)
        found = [answer for answer in answers if not isinstance(answer, OrchestratorError)]
        silent = [name for name, answer in zip(names, answers, strict=True) if isinstance(answer, OrchestratorError)]
        if silent and not (partial and found):
            raise _incomplete(silent)
        return found, silent


def merged_counts(found: Sequence[CatalogCounts], silent: Sequence[str]) -> CatalogCounts:
    """Return the sum of the shards' numbers; ``silent`` are those that did not answer."""
    jobs: dict[tuple[str, JobStatus], int] = {}
    for item in (count for counts in found for count in counts.jobs):
        jobs[item.workflow, item.status] = jobs.get((item.workflow, item.status), 0) + item.count
    queued = [counts.oldest_queued_at_ms for counts in found if counts.oldest_queued_at_ms is not None]
    return CatalogCounts(
        jobs=[JobCount(workflow, status, count) for (workflow, status), count in sorted(jobs.items())],
        dead_letters=sum(counts.dead_letters for counts in found),
        overdue=sum(counts.overdue for counts in found),
        stuck=sum(counts.stuck for counts in found),
        oldest_queued_at_ms=min(queued, default=None),
        ended=by_workflow(tally for counts in found for tally in counts.ended),
        ended_lately=by_workflow(tally for counts in found for tally in counts.ended_lately),
        incomplete=_names([], *(counts.incomplete for counts in found)),
        unreachable=list(silent),
    )


def _incomplete(silent: Sequence[str]) -> RetryableError:
    message = f"Shards of the catalog do not answer: {', '.join(silent)}"
    return RetryableError(message, code="catalog_incomplete", details={"shards": list(silent)})


def _merged(
    pages: Sequence[tuple[list[Row], str | None]], limit: int, position: Callable[[Row], tuple[int, str]]
) -> tuple[list[Row], str | None]:
    """Return the first rows of several pages, newest first, and the cursor to those after them.

    Each page holds a shard's first rows after one position, so the first of all are among them; the last one returned
    is the next position, for every shard.
    """
    rows = sorted((row for page, _ in pages for row in page), key=position, reverse=True)
    more = len(rows) > limit or any(cursor is not None for _, cursor in pages)
    kept = rows[:limit]
    return kept, cursor_of(*position(kept[-1])) if more else None


def _names(*groups: Iterable[str]) -> list[str]:
    return sorted({name for group in groups for name in group})


def _job_position(job: JobSummary) -> tuple[int, str]:
    return job.created_at_ms, job.id


def _letter_position(letter: DeadLetter) -> tuple[int, str]:
    return letter.at_ms, letter.id
