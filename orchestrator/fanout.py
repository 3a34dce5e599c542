"""One tick of a fan-out: folds the children that ended, heals lost notices, and starts the next ones.

A child's row is written, together with the source's cursor, before the child is created: creating is idempotent by
id, so a crash in between only repeats it. Folding and forgetting a child is one commit, so each counts once.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from orchestrator import codec
from orchestrator.attempt import Settled, given_up
from orchestrator.driver import Success
from orchestrator.errors import DuplicateStepError, ErrorRecord
from orchestrator.ids import checked_name, child_job_id
from orchestrator.journal import Journal
from orchestrator.lifecycle import StepStatus
from orchestrator.limits import CHILD_HEAL_MS, MAX_FAILURES_KEPT
from orchestrator.model import ChildOutcome, CreateJob, JobOptions, JobRow, ParentRef, Progress, StepRow
from orchestrator.operations import ChildrenOp, ChildRequest
from orchestrator.ports import Network
from orchestrator.tally import ChildrenTally, carried, children_result, children_tally


class Fanout:
    """A fan-out of one job.

    Args:
        job: the parent.
        key: the operation's key.
        op: what to run.
        journal: where the children's rows are.
        network: creates and inspects children.
    """

    def __init__(self, job: JobRow, key: str, op: ChildrenOp[object], journal: Journal, network: Network) -> None:
        self._job_id = job.job_id
        options = codec.decode_as(job.options, JobOptions)
        #: What children inherit: the parent's place in the lanes, and whose it is.
        self._options = JobOptions(
            mode="direct", priority=options.priority, lane_keys=options.lane_keys, tenant=options.tenant
        )
        self._generation = job.generation
        self._key = key
        self._op = op
        self._journal = journal
        self._network = network
        #: Children this incarnation has created; after a crash all are created again, which changes nothing.
        self._created: set[str] = set()
        #: Children this incarnation has asked to stop.
        self._stopped: set[str] = set()

    def can_move(self, row: StepRow, now_ms: int) -> bool:
        """Tell whether a tick would change something."""
        if row.due_at_ms is None or row.due_at_ms <= now_ms:
            return True
        if row.status is StepStatus.RETRYING:
            return False  # it failed, and its wait is not over, whatever its children do
        known = self._stopped if self.broken(row) else self._created
        return any(child.outcome is not None or child.key not in known for child in self._journal.children(self._key))

    def fold(self, row: StepRow, now_ms: int) -> Settled:
        """Fold every child that ended, in one commit; synchronous, so that no notice slips in between."""
        tally = children_tally(self._op, row.value)
        under_way = 0
        for child in self._journal.children(self._key):
            if child.outcome is None:
                under_way += 1
                continue
            outcome = codec.decode_as(child.outcome, ChildOutcome)
            tally = self._folded(tally, outcome)
            self._journal.remove_child(self._key, child.key)
            self._created.discard(child.key)
        settled = self._waiting(row, tally, now_ms)
        if under_way or not (tally.drained or self._broken(tally)):
            return settled
        if self._broken(tally):
            return given_up(settled.row, self._failure(tally), now_ms)
        done = msgspec.structs.replace(settled.row, status=StepStatus.COMPLETED, finished_at_ms=now_ms, due_at_ms=None)
        event = ("step.completed", {"succeeded": tally.succeeded, "failed": tally.failed})
        outcome = Success(children_result(self._op, done.value))
        return Settled(done, outcome, progress=settled.progress, metadata=settled.metadata, event=event)

    async def read_more(self, row: StepRow) -> tuple[ChildrenTally, Sequence[ChildRequest]]:
        """Read the next children from the source; nothing is stored yet."""
        tally = children_tally(self._op, row.value)
        room = self._op.window - len(self._journal.children(self._key))
        if tally.drained or self._broken(tally) or room <= 0:
            return tally, ()
        page = await self._op.source.read(tally.cursor, room)
        while not page.items and not page.done:
            page = await self._op.source.read(page.cursor, room)
        tally = msgspec.structs.replace(
            tally,
            cursor=None if page.done else page.cursor,
            started=tally.started + len(page.items),
            drained=page.done,
        )
        return tally, page.items

    def store(self, row: StepRow, tally: ChildrenTally, items: Sequence[ChildRequest], now_ms: int) -> Settled:
        """Store the children read together with the source's cursor."""
        known = {child.key for child in self._journal.children(self._key)}
        for item in items:
            if item.key in known:
                raise DuplicateStepError(
                    f"Two children of {self._key!r} have the key {item.key[:80]!r}: keys are unique in a fan-out",
                    code="duplicate_child",
                )
            known.add(checked_name(item.key, what="child's key"))
            job_id = self._child_id(item.key)
            self._journal.add_child(self._key, item.key, job_id, codec.encode(item.payload, what="child payload"))
        # Folding may have gone on while the source was read: only what reading changes is taken from it.
        current = children_tally(self._op, row.value)
        merged = msgspec.structs.replace(current, cursor=tally.cursor, started=tally.started, drained=tally.drained)
        return self._waiting(row, merged, now_ms)

    async def create_children(self) -> None:
        """Create the children that are recorded and not known to exist."""
        for child in self._journal.children(self._key):
            if child.outcome is None and child.key not in self._created:
                await self._network.create(self._request(child.key, codec.decode(child.payload)))
                self._created.add(child.key)

    async def heal(self) -> None:
        """Ask after children whose notice may have been lost."""
        for child in self._journal.children(self._key):
            if child.outcome is None:
                outcome = await self._network.inspect(child.job_id, child.key)
                if outcome is not None:
                    self._journal.settle_child(self._key, child.key, codec.encode(outcome))

    async def stop_children(self, reason: str) -> None:
        """Cancel every child under way; one that may not exist is created first, or its end would never come."""
        await self.create_children()
        for child in self._journal.children(self._key):
            if child.outcome is None:
                await self._network.cancel(child.job_id, reason)
                self._stopped.add(child.key)

    def broken(self, row: StepRow) -> bool:
        """Tell whether more children failed than the fan-out tolerates."""
        return self._broken(children_tally(self._op, row.value))

    def _waiting(self, row: StepRow, tally: ChildrenTally, now_ms: int) -> Settled:
        row = msgspec.structs.replace(
            row,
            status=StepStatus.WAITING,
            crashes=0,
            due_at_ms=now_ms + CHILD_HEAL_MS,
            value=codec.encode(tally, what=f"state of {self._key}"),
            error=None,
        )
        ended = tally.succeeded + tally.failed
        show = self._op.show
        metadata = None if show is None else show(carried(self._op.state, tally.state), ended)
        return Settled(row, progress=Progress(ended, self._op.total, self._op.unit), metadata=metadata)

    def _child_id(self, key: str) -> str:
        return child_job_id(self._job_id, self._generation, self._key, key)

    def _request(self, key: str, payload: object) -> CreateJob:
        return CreateJob(
            job_id=self._child_id(key),
            workflow=self._op.workflow,
            payload=payload,
            options=self._options,
            parent=ParentRef(self._job_id, self._key, key),
        )

    def _folded(self, tally: ChildrenTally, outcome: ChildOutcome) -> ChildrenTally:
        state = self._op.reduce(carried(self._op.state, tally.state), outcome)
        if outcome.ok:
            return msgspec.structs.replace(tally, state=state, succeeded=tally.succeeded + 1)
        kept = tally.failures if len(tally.failures) >= MAX_FAILURES_KEPT else (*tally.failures, outcome)
        return msgspec.structs.replace(tally, state=state, failed=tally.failed + 1, failures=kept)

    def _broken(self, tally: ChildrenTally) -> bool:
        return tally.failed > self._op.tolerate

    def _failure(self, tally: ChildrenTally) -> ErrorRecord:
        first = tally.failures[0]
        cause = None if first.error is None else f"{first.error.code}: {first.error.message}"
        message = f"{tally.failed} of {tally.succeeded + tally.failed} children failed; first {first.key}"
        return ErrorRecord(code="child_failed", message=message, step=self._key, cause=cause)
