"""What follows when a workflow ends or is stopped: its undo steps, its hook, and the end of the job, each a phase."""

from __future__ import annotations

from typing import Literal, cast

from orchestrator import cascade, codec, compensation
from orchestrator.attempt import error_record
from orchestrator.driver import Failure, Outcome, Success
from orchestrator.errors import ErrorRecord, OrchestratorError
from orchestrator.execution import Execution
from orchestrator.journal import Journal
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import MAX_RESULT_BYTES
from orchestrator.model import JobRow
from orchestrator.ports import Platform
from orchestrator.state import JobState
from orchestrator.workflow import Registry

Phase = Literal["undo", "on_failure", "on_cancel"]


class Ending:
    """The end of one job.

    Args:
        platform: the ports.
        registry: the workflows known.
        state: the job.
    """

    def __init__(self, platform: Platform, registry: Registry, state: JobState) -> None:
        self._platform = platform
        self._registry = registry
        self._state = state
        self._journal: Journal = state.journal

    def conclude(self, job: JobRow, execution: Execution, *, more: bool) -> bool:
        """Act on the end of a phase, or on a cancellation; tell whether another phase begins now.

        Args:
            job: the job.
            execution: its coroutines.
            more: whether the next slice could go on with them.
        """
        if job.status is JobStatus.PAUSED:
            return False  # replay comes to the same end when the job is resumed
        if execution.gathering:
            if not more:
                execution.begin_undo()
            return not more
        outcome = execution.driver.outcome
        if job.phase != "main":
            if outcome is None:
                return False
            self._note(job, outcome)
        elif job.status is not JobStatus.CANCELLING:
            if outcome is None:
                return False
            error = outcome.error if isinstance(outcome, Failure) else self._set_result(job, outcome)
            if error is None:
                self._state.end(job, JobStatus.COMPLETED)
                return False
            job.error = codec.encode(error_record(error))
        return self._go_on(job)

    def give_up(self, job: JobRow, record: ErrorRecord) -> bool:
        """End a job for a reason that is not its workflow's; tell whether another phase begins now."""
        job.crashes = 0
        if job.status is not JobStatus.CANCELLING:
            job.error = job.error or codec.encode(record)
        return self._go_on(job)

    def leave(self, job: JobRow, error: Exception) -> None:
        """Leave a phase whose code no longer fits a job that is being cancelled: nobody can resume such a job."""
        self._add("phase.skipped", None, error_record(error))
        if self._go_on(job):
            job.slice_open = False
            job.due_at_ms = self._state.now_ms()
            self._journal.update_job(job)

    async def cancel_children(self) -> None:
        """Ask the children of fan-outs to stop."""
        for child_id in self._journal.children_under_way():
            await self._platform.network.cancel(child_id, "the parent ended")

    def _go_on(self, job: JobRow) -> bool:
        """Enter the phase that follows, or end the job."""
        phase = self._following(job)
        if phase is None:
            cancelled = job.status is JobStatus.CANCELLING
            self._state.end(job, JobStatus.CANCELLED if cancelled else JobStatus.FAILED)
            return False
        if job.phase == "main":
            now_ms = self._state.now_ms()
            cascade.begin(self._journal.sql, self._journal.outbox, now_ms, completed=False)
        job.phase = phase
        self._journal.update_job(job)
        # What the phase before waited for is due no more.
        self._journal.clear_due()
        self._state.drop_execution()
        return True

    def _following(self, job: JobRow) -> Phase | None:
        if job.phase == "main" and compensation.any_registered(self._journal):
            return "undo"
        if job.phase not in {"main", "undo"} or job.workflow not in self._registry:
            return None
        options = self._registry.get(job.workflow).options
        if job.status is JobStatus.CANCELLING:
            return "on_cancel" if options.on_cancel is not None else None
        return "on_failure" if options.on_failure is not None else None

    def _note(self, job: JobRow, outcome: Outcome) -> None:
        """A phase's own failure is noted and changes nothing of how the job ends (domain.md §0.5)."""
        if isinstance(outcome, Failure):
            self._add("hook.failed", None, error_record(outcome.error))
        elif job.phase == "undo":
            failed = cast("list[ErrorRecord]", outcome.value)
            for record in failed:
                self._add("compensation.failed", record.step, record)
            job.error = compensation.with_failures(job.error, failed)

    def _add(self, kind: str, key: str | None, record: ErrorRecord) -> None:
        self._journal.history.add(self._state.now_ms(), kind, key, codec.encode(record))

    @staticmethod
    def _set_result(job: JobRow, outcome: Success) -> Exception | None:
        try:
            what = "result of the workflow"
            job.result, _ = codec.roundtrip(outcome.value, what=what, limit_bytes=MAX_RESULT_BYTES)
        except OrchestratorError as error:
            return error
        return None
