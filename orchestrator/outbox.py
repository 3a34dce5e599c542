"""Delivers what a job's commits announced: at least once, in order, with stable ids."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from orchestrator import cascade, codec
from orchestrator.errors import RequestError
from orchestrator.journal import Journal
from orchestrator.lane import Release
from orchestrator.limits import OUTBOX_BATCH, OUTBOX_RETRY_MAX_MS, OUTBOX_RETRY_MS
from orchestrator.logs import describe
from orchestrator.mail import OutboxRow
from orchestrator.model import ChildNotice, JobRow, JobSummary, ParentRef
from orchestrator.ports import Platform
from orchestrator.views import job_outcome, summary

#: Body of the row that tells the catalog of a job for the first time.
FIRST = codec.encode("first")


class Outbox:
    """The outbox of one job."""

    def __init__(self, journal: Journal, platform: Platform) -> None:
        self._journal = journal
        self._platform = platform

    async def deliver(self, job: JobRow, summarize: Callable[[], JobSummary]) -> bool:
        """Deliver what is due; tell whether anything was. A row goes only after its delivery, so a crash repeats it."""
        rows = self._journal.outbox.due(self._platform.clock.now_ms(), OUTBOX_BATCH)
        catalog = [row for row in rows if row.kind == "catalog"]
        # One of them tells everything; the first of all says that it is.
        told = [row for row in catalog if row.body == FIRST][:1] or catalog[-1:]
        for row in catalog:
            if row not in told:
                self._journal.outbox.remove(row.id)
        for row in [row for row in rows if row.kind != "catalog"] + told:
            try:
                left = await self._send(row, job, summarize)
            except RequestError as error:
                # The receiver will never take it, so it would be retried for ever.
                fields = {"job_id": job.job_id, "kind": row.kind, "error": error.error_code}
                self._platform.log("error", "outbox.refused", fields)
                self._journal.outbox.remove(row.id)
            except Exception as error:
                wait_ms = min(OUTBOX_RETRY_MAX_MS, OUTBOX_RETRY_MS * 2 ** min(row.attempts, 20))
                self._journal.outbox.retry(row.id, self._platform.clock.now_ms() + wait_ms)
                fields = {"job_id": job.job_id, "kind": row.kind, "attempt": row.attempts + 1}
                self._platform.log("warning", "outbox.failed", {**fields, "error": describe(error)})
            else:
                if left is not None and self._journal.outbox.holds(row.id):
                    self._journal.outbox.add(row.kind, left, self._platform.clock.now_ms())
                self._journal.outbox.remove(row.id)
        return bool(rows)

    async def announce(self, job: JobRow, due_at_ms: int | None) -> list[int]:
        """Tell the catalog where a job stands; return the rows that said it was to be told. They stay."""
        rows = self._journal.outbox.due(self._platform.clock.now_ms(), OUTBOX_BATCH)
        news = [row for row in rows if row.kind == "catalog"]
        if not news:
            return []
        first = any(row.body == FIRST for row in news)
        try:
            await self._platform.network.publish(
                msgspec.structs.replace(summary(job, self._journal, due_at_ms), first=first)
            )
        except Exception as error:
            self._platform.log("warning", "announce.failed", {"job_id": job.job_id, "error": describe(error)})
            return []
        return [row.id for row in news]

    async def _send(self, row: OutboxRow, job: JobRow, summarize: Callable[[], JobSummary]) -> bytes | None:
        """Deliver a row; return what is left of it for the next tick."""
        network = self._platform.network
        if row.kind == "parent":
            parent = codec.decode_as(row.body, ParentRef)
            await network.finished(parent.job_id, ChildNotice(parent.operation, job_outcome(job, parent.key)))
        elif row.kind == "lane":
            await network.release_permit(codec.decode_as(row.body, Release))
        elif row.kind == cascade.KIND:
            return await cascade.advance(self._journal.sql, network, row)
        else:
            # The summary as it is now: a newer one makes an older one pointless, and the catalog orders by revision.
            await network.publish(msgspec.structs.replace(summarize(), first=row.body == FIRST))
        return None
