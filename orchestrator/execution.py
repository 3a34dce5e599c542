"""A job in memory: its coroutines and the state of its open operations, kept hot between slices.

Built afresh from the journal after an eviction, deploy or crash; finished operations then return their recorded
result at once (design.md §4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import msgspec

from orchestrator import codec, compensation, large
from orchestrator.compensation import Compensation
from orchestrator.context import JobContext
from orchestrator.driver import AnyOp, Driver, Failure, Outcome, Success
from orchestrator.errors import ErrorRecord, JournalMismatchError, StepFailedError
from orchestrator.journal import Journal
from orchestrator.lifecycle import StepStatus
from orchestrator.model import JobRow, Progress, StepRow
from orchestrator.operations import AttemptOp, ChildrenOp, ChildrenResult, SleepOp, Token, TokenOp, WaitOp
from orchestrator.ports import Clock
from orchestrator.tally import restored
from orchestrator.workflow import Workflow


class LogLine(msgspec.Struct, frozen=True):
    """What ``job.log`` stores."""

    message: str
    fields: dict[str, object]


class Execution:
    """The live state of one job.

    Args:
        job: the journal's working copy; shared with the engine.
        workflow: the job's definition.
        journal: where recorded outcomes come from.
        clock: the wall clock.
        make_token: makes the token of a job, an operation's key and an expiry in Unix ms.
    """

    def __init__(
        self,
        job: JobRow,
        workflow: Workflow,
        journal: Journal,
        clock: Clock,
        make_token: Callable[[str, str, int], Token],
    ) -> None:
        self.job = job
        self.workflow = workflow
        self.open: dict[str, StepRow] = {}
        #: Joins whose job was asked to tell of its end since this was built.
        self.joined: set[str] = set()
        self._at_frontier = False
        self._patches: dict[str, bool] = {}
        self._journal = journal
        self._clock = clock
        self._make_token = make_token
        rows = journal.steps()
        self._seq = rows[-1].seq if rows else 0
        #: What was recorded of the phase that is replayed.
        self._recorded = {row.key: row for row in rows if _is_of(row.key, job.phase)}
        self._compensations: list[Compensation] = []
        self._undone = {row.key: row for row in rows if row.key.startswith(compensation.SCOPE)}
        #: Whether the workflow is replayed for its undo steps alone, so that nothing new begins.
        self.gathering = job.phase == "undo"
        self._metadata: dict[str, object] = {}
        if job.metadata is not None:
            self._metadata = codec.decode_as(job.metadata, dict[str, object])
        self.driver = self._begin()

    @property
    def replaying(self) -> bool:
        """Whether the workflow is still in what it has done before."""
        return self.gathering or (bool(self._recorded) and not self._at_frontier)

    @property
    def unreached(self) -> list[str]:
        """Operations that are recorded, and that the code has not come to."""
        return sorted(self._recorded)

    def _begin(self) -> Driver:
        payload = self.workflow.parse(codec.decode(self.job.payload))
        context = JobContext(job_id=self.job.job_id, retry=self.workflow.options.retry, recorder=self)
        if self.job.phase in {"main", "undo"}:
            return Driver(self.workflow.main(context, payload), self._resolve)
        hook = self.workflow.options.on_failure if self.job.phase == "on_failure" else self.workflow.options.on_cancel
        if hook is None:
            raise JournalMismatchError(f"The journal is in {self.job.phase}, and {self.workflow.name} has no such hook")
        message = stored_error(self.job).message
        return Driver(hook(context, payload, message), self._resolve, scope=self.job.phase + "/")

    def begin_undo(self) -> None:
        """Drop the workflow's coroutines and begin its undo steps, which have been gathered."""
        self.driver.close()
        self.open.clear()
        self.gathering = self._at_frontier = False
        self._recorded = self._undone
        self.driver = Driver(compensation.undo(self._compensations), self._resolve, scope=compensation.SCOPE)

    def close(self) -> None:
        """Drop the coroutines."""
        self.driver.close()

    # -- Recorder ----------------------------------------------------------------------------------------------------

    def identify(self, name: str, key: str | None) -> str:
        """See :class:`orchestrator.context.Recorder`."""
        return self.driver.identify(name, key)

    def remember_now(self, name: str, key: str | None) -> int:
        """See :class:`orchestrator.context.Recorder`."""
        identity = self.driver.identify(name, key)
        found = self._recorded.pop(identity, None)
        if found is not None and found.kind == "now" and found.value is not None:
            return codec.decode_as(found.value, int)
        now_ms = self._clock.now_ms()
        if self.gathering:
            return now_ms
        self._journal.put_step(self._mark(identity, "now", codec.encode(now_ms)))
        return now_ms

    def patched(self, change: str) -> bool:
        """See :class:`orchestrator.context.Recorder`."""
        known = self._patches.get(change)
        if known is None:
            recorded = self._recorded.pop(f"patched/{change}", None)
            # Rows left to replay without a mark of the change: the job went past this point with the old code.
            known = self._patches[change] = recorded is not None or not self.replaying
            if recorded is None and known and not self.gathering:
                self._journal.put_step(self._mark(f"patched/{change}", "patched", b""))
        return known

    def register(self, op: AttemptOp[object]) -> None:
        """See :class:`orchestrator.context.Recorder`."""
        op.claim()
        identity = self.driver.identify(compensation.registration(op.name), op.key)
        row = self._recorded.pop(identity, None)
        if row is None and not self.gathering:
            row = self._mark(identity, compensation.KIND, b"")
            self._journal.put_step(row)
        self._compensations.append(compensation.made(identity, op, row))

    def _mark(self, key: str, kind: str, value: bytes) -> StepRow:
        now_ms = self._clock.now_ms()
        return StepRow(
            key=key,
            seq=self._next_seq(),
            kind=kind,
            status=StepStatus.COMPLETED,
            attempt=1,
            started_at_ms=now_ms,
            finished_at_ms=now_ms,
            value=value,
        )

    def set_progress(self, progress: Progress) -> None:
        """See :class:`orchestrator.context.Recorder`."""
        self.job.progress = codec.encode(progress)

    def set_metadata(self, key: str, value: object) -> None:
        """See :class:`orchestrator.context.Recorder`."""
        self._metadata[key] = value
        self.job.metadata = codec.encode(self._metadata, what="metadata")

    def log(self, message: str, fields: Mapping[str, object]) -> None:
        """See :class:`orchestrator.context.Recorder`."""
        if not self.replaying:
            line = codec.encode(LogLine(message, dict(fields)), what="log line")
            self._journal.history.add(self._clock.now_ms(), "log", None, line)

    # -- resolving ---------------------------------------------------------------------------------------------------

    def _resolve(self, key: str, op: AnyOp) -> Outcome | None:
        recorded = self._recorded.pop(key, None)
        if self.gathering and (recorded is None or recorded.status not in _SETTLED) and not _is_token(op, recorded):
            return None  # where the workflow was stopped
        if recorded is None:
            self._at_frontier = True
            row = self._first_sight(key, op)
            if isinstance(op, TokenOp):
                return Success(self._token(row))
            self.open[key] = row
            return None
        if recorded.kind != op.kind:
            raise JournalMismatchError(
                f"The journal recorded {key!r} as {recorded.kind} and the code now makes it {op.kind}",
                details={"key": key, "recorded": recorded.kind, "attempted": op.kind},
            )
        if isinstance(op, TokenOp):
            return Success(self._token(recorded))
        if recorded.status is StepStatus.COMPLETED:
            if large.is_reference(recorded.value):
                self.open[key] = recorded  # the slice fetches it: resolving never waits
                return None
            result = restored(op, key, recorded.value)
            self._show(op, result)
            return Success(result)
        if recorded.status is StepStatus.FAILED:
            return Failure(StepFailedError(_error(recorded)))
        self._at_frontier = True
        self.open[key] = recorded
        return None

    def _show(self, op: AnyOp, result: object) -> None:
        """Show a finished fan-out's facts again: a death may have come between its end and the end of its slice."""
        if isinstance(op, ChildrenOp) and isinstance(result, ChildrenResult):
            show = cast("ChildrenOp[object]", op).show
            ended = cast("ChildrenResult[object]", result)
            if show is not None:
                for name, fact in show(ended.state, ended.succeeded + ended.failed).items():
                    self.set_metadata(name, fact)

    def _first_sight(self, key: str, op: AnyOp) -> StepRow:
        now_ms = self._clock.now_ms()
        row = StepRow(
            key=key, seq=self._next_seq(), kind=op.kind, status=StepStatus.RUNNING, attempt=1, started_at_ms=now_ms
        )
        if isinstance(op, (SleepOp, WaitOp, TokenOp)):
            # The absolute time and the row commit together: a crash cannot skip or lengthen a wait.
            row.status = StepStatus.WAITING
            row.due_at_ms = _wait_ends_at_ms(op, now_ms)
            self._journal.put_step(row)
            if row.due_at_ms is not None and not isinstance(op, TokenOp):
                self._journal.set_due(key, row.due_at_ms)
        return row

    def _next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def _token(self, row: StepRow) -> Token:
        return self._make_token(self.job.job_id, row.key, row.due_at_ms or 0)


def _is_of(key: str, phase: str) -> bool:
    """Tell whether a row belongs to what a phase replays; undo steps are gathered from the workflow's own rows."""
    scope = next((scope for scope in _SCOPES if key.startswith(scope)), "")
    return scope == ("" if phase in {"main", "undo"} else phase + "/")


def _is_token(op: AnyOp, recorded: StepRow | None) -> bool:
    return isinstance(op, TokenOp) and recorded is not None


def _wait_ends_at_ms(op: SleepOp | WaitOp | TokenOp, now_ms: int) -> int | None:
    if isinstance(op, SleepOp):
        return op.until_ms if op.until_ms is not None else now_ms + (op.delay_ms or 0)
    if isinstance(op, TokenOp):
        return now_ms + op.timeout_ms
    own_ms = None if op.timeout_ms is None else now_ms + op.timeout_ms
    if op.token is None:
        return own_ms
    return op.token.expires_at_ms if own_ms is None else min(own_ms, op.token.expires_at_ms)


def stored_error(job: JobRow) -> ErrorRecord:
    """Return the error a job failed with."""
    return _UNKNOWN if job.error is None else codec.decode_as(job.error, ErrorRecord)


def _error(row: StepRow) -> ErrorRecord:
    return _UNKNOWN if row.error is None else codec.decode_as(row.error, ErrorRecord)


_UNKNOWN = ErrorRecord(code="unknown", message="Unknown error")
_SETTLED = frozenset({StepStatus.COMPLETED, StepStatus.FAILED})
_SCOPES = (compensation.SCOPE, "on_failure/", "on_cancel/")
