"""Log lines: what is said of a job, and how errors are named. Neither payloads nor secrets, so no error's own text.

An exception's text may repeat what it choked on; its code, or its type and the line that raised it, says enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from types import MappingProxyType
from typing import Final, cast

from orchestrator import codec
from orchestrator.errors import OrchestratorError
from orchestrator.lifecycle import TERMINAL
from orchestrator.model import JobRow

#: Lines of a job's history that are logged, and how serious they are. Finished steps are not: they are too many.
LEVELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "job.created": "info",
        "job.started": "info",
        "job.paused": "warning",
        "job.resumed": "info",
        "job.retried": "info",
        "job.completed": "info",
        "job.failed": "warning",
        "job.cancelled": "info",
        "job.expired": "warning",
        "step.retrying": "warning",
        "step.failed": "warning",
        "slice.died": "warning",
        "hook.failed": "warning",
    }
)
_ENDS = frozenset(f"job.{status}" for status in TERMINAL)
#: Of a line's data: only what this engine writes there itself.
_FACTS = {"attempt": "attempt", "error": "error", "code": "error"}


def describe(error: BaseException) -> str:
    """Return an error as log lines name it."""
    if isinstance(error, OrchestratorError) and error.error_code != OrchestratorError.code:
        return error.error_code
    place = _place(error)
    return type(error).__name__ if place is None else f"{type(error).__name__} at {place}"


def fields_of(job: JobRow, kind: str, key: str | None, data: bytes | None) -> dict[str, object]:
    """Return what a logged line of a job's history says."""
    fields: dict[str, object] = {"job_id": job.job_id, "workflow": job.workflow}
    if key is not None:
        fields["step"] = key
    facts = None if data is None else codec.decode(data)
    if isinstance(facts, dict):
        known = cast("dict[object, object]", facts)
        fields |= {name: known[fact] for fact, name in _FACTS.items() if fact in known}
    if kind == "slice.died":
        fields["crashes"] = job.crashes
    if kind in _ENDS:
        fields |= {"slices": job.slices, "crashes": job.crashes_total}
        if job.started_at_ms is not None and job.finished_at_ms is not None:
            fields["run_ms"] = job.finished_at_ms - job.started_at_ms
    return fields


def _place(error: BaseException) -> str | None:
    """Return the innermost line of code that raised an error, by the end of its file's path."""
    trace = error.__traceback__
    if trace is None:
        return None
    while trace.tb_next is not None:
        trace = trace.tb_next
    parts = PurePath(trace.tb_frame.f_code.co_filename).parts
    return f"{'/'.join(parts[-2:])}:{trace.tb_lineno}"
