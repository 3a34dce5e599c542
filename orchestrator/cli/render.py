"""How jobs look on a screen. Pure: values in, renderables out; ``now`` comes from the caller."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.cli.listing import Column, Listing
from orchestrator.client.answers import Cost, Event, Job, JobError, JobSummary, Progress, Step

#: Mark and colour of each status of jobs and steps; a status that a newer server adds has neither.
_STATUS = {
    "queued": ("◌", "cyan"),
    "waiting": ("◔", "yellow"),
    "running": ("●", "blue"),
    "retrying": ("↻", "yellow"),
    "suspended": ("◑", "magenta"),
    "paused": ("‖", "yellow"),
    "cancelling": ("◍", "red"),
    "completed": ("✔", "green"),
    "failed": ("✘", "red"),
    "cancelled": ("⊘", "bright_black"),
    "expired": ("⧖", "bright_black"),
}
_BORDER = {"failed": "red", "completed": "green"}
TOOK = Column("took", right=True, spare=True)
#: Longest shown result or payload, in characters.
MAX_VALUE_CHARS = 2_000


def status(name: str) -> Text:
    """Return a status with its mark."""
    mark, style = _STATUS.get(name, ("?", "white"))
    return Text(f"{mark} {name}", style=style)


def ago(moment: datetime | None, now: datetime) -> str:
    """Return how long ago something was, or how soon it will be."""
    if moment is None:
        return "—"
    past = now - moment
    if past <= timedelta():
        return f"in {length(-past)}"
    return f"{length(past)} ago" if past >= timedelta(seconds=1) else "just now"


def age(moment: datetime, now: datetime) -> str:
    """Return how long ago something was, in its largest unit."""
    words = length(now - moment).split()
    return " ".join(words[:2])


def length(span: timedelta) -> str:
    """Return a span of time in its two largest units."""
    seconds = max(0.0, span.total_seconds())
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    rest = int(seconds)
    parts: list[str] = []
    for name, size in units:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count} {name}")
    return " ".join(part for part in parts[:2] if not part.startswith("0 "))


def number(value: float) -> str:
    """Return a number with separators, without needless decimals."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def bar(progress: Progress, pace: str = "") -> Table:
    """Return a progress bar with its numbers."""
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(ratio=1)
    line.add_column(justify="right", no_wrap=True)
    done, total, unit = progress.done, progress.total, progress.unit
    if total:
        share = min(1.0, max(0.0, done / total))
        numbers = f"{number(done)} / {number(total)} {unit}  {share:4.0%}"
        meter = ProgressBar(total=total, completed=min(done, total), complete_style="cyan", finished_style="green")
    else:
        numbers, meter = f"{number(done)} {unit}", ProgressBar(total=None, pulse=False, completed=0)
    line.add_row(meter, Text(f"{numbers}  {pace}".rstrip()))
    return line


def job_panel(
    job: Job, now: datetime, *, pace: str = "", steps: Sequence[Step] = (), events: Sequence[Event] = ()
) -> Panel:
    """Return everything that matters about one job."""
    parts: list[RenderableType] = [_head(job, now)]
    if job.progress is not None:
        parts.append(bar(job.progress, pace))
    facts = facts_grid()
    for wait in job.waits:
        due = "" if wait.due_at is None else f", {ago(wait.due_at, now)}"
        what = " ".join(dict.fromkeys(part for part in (wait.kind, wait.key) if part))
        add_row(facts, "waits for", f"{what}: {wait.reason}{due}")
    if job.tags:
        add_row(facts, "tags", " · ".join(job.tags))
    if job.tenant is not None:
        add_row(facts, "tenant", job.tenant)
    if job.parent_id is not None:
        add_row(facts, "parent", job.parent_id)
    for name, value in job.metadata.items():
        add_row(facts, name, value_text(value))
    if job.error is not None:
        add_row(facts, "error", error_text(job.error))
    if job.status == "completed":
        add_row(facts, "result", value_text(job.result))
    add_row(facts, "cost", _cost(job.cost))
    parts.append(facts)
    if steps:
        parts.append(steps_table(steps, job.finished_at or now))
    if events:
        parts.append(Group(*(event_line(event) for event in events)))
    title = Text.assemble((job.workflow, "bold"), f" v{job.version}" if job.version != 1 else "")
    border = _BORDER.get(job.status, "bright_black")
    return Panel(
        Group(*parts), title=title, title_align="left", subtitle=job.id, subtitle_align="right", border_style=border
    )


def _head(job: Job, now: datetime) -> Text:
    end = job.finished_at or now
    facts = [f"created {ago(job.created_at, now)}"]
    if job.started_at is not None:
        facts.append(f"{'took' if job.finished_at else 'running for'} {length(end - job.started_at)}")
    facts += [_count(job.steps, "step"), _count(job.slices, "slice"), f"{number(job.rows_written)} rows written"]
    line = Text.assemble(status(job.status), ("  " + " · ".join(facts), "bright_black"))
    if job.crashes:
        line.append(f" · survived {_count(job.crashes, 'crash', 'crashes')}", style="yellow")
    return line


def _cost(cost: Cost) -> Text:
    """Return what a job has used, as far as it costs money."""
    parts = [
        f"${cost.estimated_usd:.5f} by list prices",
        f"{length(timedelta(milliseconds=cost.active_ms))} at work",
        f"{number(cost.requests)} requests, {number(cost.subrequests)} subrequests",
        f"{number(round(cost.storage_bytes / 1000))} kB kept",
    ]
    return Text(" · ".join(parts), style="bright_black")


def _count(count: int, one: str, many: str | None = None) -> str:
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def error_text(error: JobError) -> Text:
    """Return why something failed."""
    text = Text.assemble((error.code, "bold red"), f"  {error.message}")
    where = [f"step {error.step}"] if error.step else []
    where += [f"attempt {error.attempt}"] if error.attempt else []
    if where:
        text.append(f"  ({', '.join(where)})", style="bright_black")
    if error.cause:
        text.append(f"\n{error.cause}", style="bright_black")
    return text


def value_text(value: object) -> str:
    """Return a value as JSON, cut to a size that fits a screen."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[:MAX_VALUE_CHARS]}… (--json shows all of it)"


def steps_table(steps: Sequence[Step], now: datetime) -> Listing:
    """Return the steps of a job."""
    made = Listing("step", Column("kind", spare=True), "status", Column("attempt", right=True), TOOK, "")
    for step in steps:
        took = length((step.finished_at or now) - step.started_at)
        if step.error is not None:
            note: str | Text = error_text(step.error)
        elif step.counters:
            note = " · ".join(f"{number(count)} {name}" for name, count in step.counters.items())
        else:
            note = "" if step.due_at is None or step.finished_at else f"due {ago(step.due_at, now)}"
        made.add(step.key, step.kind, status(step.status), str(step.attempt), took, note)
    return made


def event_line(event: Event) -> Text:
    """Return one line of a job's history."""
    name = event.kind.rpartition(".")[2]
    style = _STATUS.get(name, ("", "white"))[1]
    line = Text.assemble((f"{event.at:%H:%M:%S}.{event.at.microsecond // 1000:03d}", "bright_black"), "  ")
    line.append(event.kind, style=style)
    if event.key:
        line.append(f"  {event.key}")
    if event.data is not None:
        line.append(f"  {value_text(event.data)}", style="bright_black")
    return line


def jobs_table(jobs: Sequence[JobSummary], now: datetime) -> RenderableType:
    """Return jobs as a table."""
    if not jobs:
        return Text("no jobs", style="bright_black")
    made = Listing("job", "workflow", "status", Column("age", right=True), TOOK, "tags")
    for job in jobs:
        took = "" if job.finished_at is None else length(job.finished_at - job.created_at)
        note = Text.assemble(" ".join(job.tags), "  " if job.tags and job.error else "", (job.error or "", "red"))
        made.add(job.id, job.workflow, status(job.status), age(job.created_at, now), took, note)
    return made


def add_row(to: Table, *cells: RenderableType) -> None:
    """Add a row whose texts are shown as they are: what others wrote is never markup."""
    to.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))


def facts_grid() -> Table:
    """Return an empty grid for names and what they stand for."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="bright_black", no_wrap=True)
    made.add_column(overflow="fold")
    return made
