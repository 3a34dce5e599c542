"""Watching jobs until they have ended: live panels on a terminal, lines elsewhere, JSON for programs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.text import Text

from orchestrator.cli import render
from orchestrator.cli.command import Session
from orchestrator.cli.output import Output
from orchestrator.client import WaitTimeoutError
from orchestrator.client.answers import Job, Step

#: Jobs are asked this often, in seconds.
POLL_S = 0.5
#: Steps and history are shown of jobs that have no more than this, since they are read whole.
SHOWN_STEPS = 12
#: Kinds of steps that take long and count what they do.
_LONG = frozenset({"each", "children"})
#: The pace is that of the last seconds.
_WINDOW_S = 20.0


class Pace:
    """How fast a job's progress is, and when it will be done."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, float]] = []

    def __call__(self, job: Job, now_s: float) -> str:
        """Take note of a job's progress; return the pace in words, empty while it is unknown."""
        progress = job.progress
        if progress is None or job.has_ended:
            return ""
        if self._samples and progress.done < self._samples[-1][1]:
            self._samples.clear()  # another loop
        self._samples.append((now_s, progress.done))
        self._samples = [sample for sample in self._samples if now_s - sample[0] <= _WINDOW_S]
        (first_s, first), (last_s, last) = self._samples[0], self._samples[-1]
        if last_s - first_s < 1 or last <= first:
            return ""
        rate = (last - first) / (last_s - first_s)
        left = (
            "" if not progress.total else f"  {render.length(timedelta(seconds=(progress.total - last) / rate))} left"
        )
        return f"{render.number(round(rate, 1))}/s{left}"


def watch(current: Session, job_ids: Sequence[str], *, timeout_s: float | None = None) -> list[Job]:
    """Show jobs until all have ended; return them as they then are.

    Raises:
        WaitTimeoutError: one has not ended in time.
    """
    with Panels(current) if current.output.is_live else Lines(current.output) as show:
        try:
            return _follow(current, job_ids, show.update, timeout_s)
        except KeyboardInterrupt:
            current.output.say(Text("no longer watching; jobs go on", style="bright_black"))
            raise


def _follow(
    current: Session, job_ids: Sequence[str], update: Callable[[list[Job]], None], timeout_s: float | None
) -> list[Job]:
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    jobs: dict[str, Job] = {}
    while True:
        for job_id in job_ids:
            if job_id not in jobs or not jobs[job_id].has_ended:
                jobs[job_id] = current.client.get_job(job_id)
        update(list(jobs.values()))
        open_jobs = [job for job in jobs.values() if not job.has_ended]
        if not open_jobs:
            return list(jobs.values())
        if deadline is not None and time.monotonic() >= deadline:
            raise WaitTimeoutError(open_jobs[0])
        time.sleep(POLL_S)


class Panels:
    """Panels that are redrawn in place."""

    def __init__(self, current: Session) -> None:
        self._client = current.client
        self._live = Live(console=current.output.out, refresh_per_second=8, transient=False)
        self._paces: dict[str, Pace] = {}

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, jobs: list[Job]) -> None:
        """Show jobs."""
        now = datetime.now(UTC)
        self._live.update(Group(*(self._panel(job, now) for job in jobs)), refresh=True)

    def _panel(self, job: Job, now: datetime) -> render.Panel:
        pace = self._paces.setdefault(job.id, Pace())(job, time.monotonic())
        return render.job_panel(job, now, pace=pace, steps=self._steps(job))

    def _steps(self, job: Job) -> list[Step]:
        if job.has_ended or job.steps > SHOWN_STEPS:
            return []
        return [step for step in self._client.get_steps(job.id) if step.finished_at is None or step.kind in _LONG]


class Lines:
    """A line whenever a job has changed."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._shown: dict[str, object] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, jobs: list[Job]) -> None:
        """Print those that have changed."""
        for job in jobs:
            seen = (job.status, job.progress, [wait.reason for wait in job.waits])
            if self._shown.get(job.id) != seen:
                self._shown[job.id] = seen
                self._output.show(job, lambda job=job: _line(job))


def _line(job: Job) -> Text:
    progress = job.progress
    parts = [] if progress is None else [f"{render.number(progress.done)}"]
    if progress is not None and progress.total:
        parts.append(f"/ {render.number(progress.total)}")
    parts += [] if progress is None else [progress.unit]
    parts += [f"({wait.reason})" for wait in job.waits]
    return Text.assemble(job.id, "  ", render.status(job.status), "  " + " ".join(parts) if parts else "")
