"""Commands that start jobs and look at them."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Self, TypeVar, cast

import msgspec
import typer
from rich.text import Text

from orchestrator.cli import render
from orchestrator.cli.command import Session, add_command
from orchestrator.cli.exits import Exit
from orchestrator.cli.target import find
from orchestrator.cli.values import duration, iso_time, moment, payload
from orchestrator.cli.watch import watch
from orchestrator.client import NO_RETRIES, Client, ClientError, NoAnswerError, Options
from orchestrator.client.answers import JobSummary
from orchestrator.client.jobs import JobFilter
from orchestrator.client.payloads import without_none
from orchestrator.lifecycle import JobStatus

PANEL = "Jobs"
#: Jobs of one request, at most.
MAX_PAGE = 200

T = TypeVar("T")


def complete_job(incomplete: str) -> list[str]:
    """Return the latest jobs whose id begins so, for the shell's completion."""
    jobs = _ask(lambda client: client.list_jobs(limit=50).jobs)
    return [job.id for job in jobs if job.id.startswith(incomplete)]


def complete_workflow(incomplete: str) -> list[str]:
    """Return the workflows whose name begins so, for the shell's completion."""
    return [item.name for item in _ask(lambda client: client.workflows()) if item.name.startswith(incomplete)]


def _ask(question: Callable[[Client], list[T]]) -> list[T]:
    """Ask the server once, shortly; a shell that completes wants no errors."""
    with suppress(ClientError):
        found = find(None, None, os.environ, Path.cwd())
        with Client.at(found.target, retries=NO_RETRIES, timeout_s=1.0) as client:
            return question(client)
    return []


JobId = Annotated[str, typer.Argument(help="A job's id.", metavar="JOB", autocompletion=complete_job)]
JobIds = Annotated[list[str], typer.Argument(help="Jobs' ids.", metavar="JOB", autocompletion=complete_job)]
WorkflowFilter = Annotated[
    str | None,
    typer.Option("--workflow", "-w", help="Only jobs of this workflow.", autocompletion=complete_workflow),
]
StatusFilter = Annotated[JobStatus | None, typer.Option("--status", "-s", help="Only jobs in this status.")]
TagFilter = Annotated[str | None, typer.Option("--tag", "-t", help="Only jobs with this tag.")]
Since = Annotated[
    datetime | None,
    typer.Option(parser=moment, metavar="TIME", help="Created since: ISO 8601, or a duration ago such as 90m or 2d."),
]
Until = Annotated[datetime | None, typer.Option(parser=moment, metavar="TIME", help="Created until.")]
Timeout = Annotated[
    timedelta | None, typer.Option(parser=duration, metavar="DURATION", help="Wait no longer, e.g. 30s or 10m.")
]


class Where(msgspec.Struct, frozen=True):
    """Which jobs, as the options of a command say."""

    filter: JobFilter

    @classmethod
    def from_options(
        cls,
        workflow: WorkflowFilter = None,
        status: StatusFilter = None,
        tag: TagFilter = None,
        since: Since = None,
        until: Until = None,
    ) -> Self:
        """Return what the options filter by."""
        members = without_none(
            workflow=workflow,
            status=None if status is None else status.value,
            tag=tag,
            created_after=since,
            created_before=until,
        )
        return cls(cast("JobFilter", members))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add_command(app, "enqueue", enqueue, panel=PANEL)
    add_command(app, "status", status, panel=PANEL)
    add_command(app, "list", list_jobs, panel=PANEL)
    add_command(app, "search", search, panel=PANEL)
    add_command(app, "events", events, panel=PANEL)
    add_command(app, "export", export, panel=PANEL)


def enqueue(
    current: Session,
    workflow: Annotated[
        str, typer.Argument(help="The workflow's name.", metavar="WORKFLOW", autocompletion=complete_workflow)
    ],
    payload_text: Annotated[
        str, typer.Argument(metavar="PAYLOAD", help="JSON, @FILE, or - for standard input.", show_default=False)
    ] = "{}",
    key: Annotated[str | None, typer.Option("--key", "-k", help="Idempotency key: one key is one job.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", "-t", help="A tag; may be repeated.")] = None,
    delay: Annotated[
        timedelta | None, typer.Option(parser=duration, metavar="DURATION", help="Start later, e.g. 30s or 2h.")
    ] = None,
    ttl: Annotated[
        timedelta | None, typer.Option(parser=duration, metavar="DURATION", help="Expire if not started by then.")
    ] = None,
    at: Annotated[
        datetime | None, typer.Option(parser=iso_time, metavar="TIME", help="Start then: ISO 8601; excludes --delay.")
    ] = None,
    debounce: Annotated[
        timedelta | None,
        typer.Option(parser=duration, metavar="DURATION", help="Start so long after the last call with the key."),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="Pause it when it has used so much, by list prices.", metavar="USD", min=0)
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose job it is; a tenant's own key says it by itself.")] = None,
    priority: Annotated[int, typer.Option(help="Seconds of head start over waiting jobs.", min=0)] = 0,
    lane_key: Annotated[str | None, typer.Option(help="What the lane's limits count the job as.")] = None,
    direct: Annotated[bool, typer.Option("--direct", help="Start at once, without the queue.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Watch until it has ended; exit 1 if without success.")] = False,
    timeout: Timeout = None,
) -> None:
    """Start a job.

    It is recorded durably before this returns. Without a key it gets one of its own, so that repeating a lost request
    cannot start it twice.
    """
    options = Options(priority=priority, mode="direct" if direct else "queue")
    if key is not None:
        options["idempotency_key"] = key
    if tag:
        options["tags"] = tag
    if delay is not None:
        options["delay"] = delay
    if ttl is not None:
        options["ttl"] = ttl
    if at is not None:
        options["run_at"] = at
    if debounce is not None:
        options["debounce"] = debounce
    if tenant is not None:
        options["tenant"] = tenant
    if budget is not None:
        options["budget"] = {"estimated_usd": budget}
    if lane_key is not None:
        options["lane_key"] = lane_key
    accepted = current.client.enqueue(workflow, payload(payload_text), **options)
    if not wait:
        current.output.show(accepted, lambda: _accepted(accepted.id, accepted.deduplicated))
        return
    finish(current, [accepted.id], timeout)


def _accepted(job_id: str, deduplicated: bool) -> Text:
    note = "  was recorded before; the key is the same" if deduplicated else "  recorded"
    return Text.assemble(("✔ ", "green"), (job_id, "bold"), (note, "bright_black"))


def finish(current: Session, job_ids: list[str], timeout: timedelta | None) -> None:
    """Watch jobs until they have ended; exit with 1 if one did so without success."""
    jobs = watch(current, job_ids, timeout_s=None if timeout is None else timeout.total_seconds())
    if not current.output.is_live:
        now = datetime.now(UTC)
        for job in jobs:
            current.output.say(render.job_panel(job, now))
    if any(job.status != "completed" for job in jobs):
        raise typer.Exit(Exit.UNSUCCESSFUL)


def status(
    current: Session,
    job_ids: JobIds,
    watching: Annotated[bool, typer.Option("--watch", "-f", help="Watch until all have ended.")] = False,
    steps: Annotated[bool, typer.Option("--steps", help="Show the steps of the journal, too.")] = False,
    timeout: Timeout = None,
) -> None:
    """Show where jobs stand, exact at this moment.

    With --watch it exits with 1 if a job ended without success, and with 7 if one did not end in time.
    """
    if watching:
        finish(current, job_ids, timeout)
        return
    for job_id in job_ids:
        job = current.client.get_job(job_id)
        found = current.client.get_steps(job_id) if steps else []
        shown: object = {**msgspec.structs.asdict(job), "steps": found} if steps else job
        current.output.show(shown, lambda job=job, found=found: render.job_panel(job, datetime.now(UTC), steps=found))


def list_jobs(
    current: Session,
    where: Where,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many at most.", min=1)] = 20,
) -> None:
    """List jobs, newest first.

    The list comes from the catalog and may be a moment behind; `status` asks the job itself.
    """
    _show_jobs(current, where, limit)


def search(
    current: Session,
    text: Annotated[str, typer.Argument(help="Looked for in ids, workflows, tags and errors; case does not matter.")],
    where: Where,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many at most.", min=1)] = 50,
) -> None:
    """Search the jobs for a text.

    Goes through the whole catalog, as far as the filters do not narrow it.
    """
    _show_jobs(current, where, limit, text.casefold())


def _show_jobs(current: Session, where: Where, limit: int, text: str = "") -> None:
    """Show the jobs that a filter finds and a text occurs in; say so if the catalog does not know all of them."""
    missing: set[str] = set()
    found = _first(_pages(current.client, where, min(limit, MAX_PAGE) if not text else MAX_PAGE, missing), limit, text)
    current.output.show_all(found, lambda jobs: render.jobs_table(jobs, datetime.now(UTC)))
    if missing:
        current.output.warn(f"parts of the catalog do not answer or are being rebuilt: {', '.join(sorted(missing))}")


def _pages(client: Client, where: Where, size: int, missing: set[str]) -> Iterator[JobSummary]:
    cursor: str | None = None
    while True:
        page = client.list_jobs(limit=size, cursor=cursor, **where.filter)
        missing |= set(page.incomplete)
        yield from page.jobs
        cursor = page.next_cursor
        if cursor is None:
            return


def _first(jobs: Iterator[JobSummary], limit: int, text: str) -> Iterator[JobSummary]:
    left = limit
    for job in jobs:
        if text in "\n".join([job.id, job.workflow, *job.tags, job.error or ""]).casefold():
            yield job
            left -= 1
            if left == 0:
                return


def events(
    current: Session,
    job_id: JobId,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on until the job has ended.")] = True,
    after: Annotated[int, typer.Option(help="Only events with a greater id.", min=0)] = 0,
) -> None:
    """Show a job's history, and what happens, until it has ended.

    A stream that breaks is taken up again after the last event shown.
    """
    stream = current.client.stream_events(job_id, after) if follow else iter(current.client.get_history(job_id, after))
    for event in stream:
        current.output.show(event, lambda event=event: render.event_line(event))


def export(
    current: Session,
    job_id: JobId,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file; standard output if left out.", dir_okay=False)
    ] = None,
) -> None:
    """Save everything that is stored of a job, values included, as one JSON file.

    A file that broke off is not left behind.
    """
    if output is None:
        for part in current.client.export(job_id):
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
        return
    with tempfile.NamedTemporaryFile(dir=output.parent, prefix=f".{output.name}.") as file:
        for part in current.client.export(job_id):
            file.write(part)
        file.flush()
        partial = Path(file.name)
        if not _is_json(partial):
            raise NoAnswerError("The export broke off", maybe_done=False)
        output.unlink(missing_ok=True)
        os.link(partial, output)
    size = output.stat().st_size
    shown = {"job_id": job_id, "file": str(output), "bytes": size}
    current.output.show(
        shown, lambda: Text.assemble(("✔ ", "green"), f"{output}  ", (f"{size:,} bytes", "bright_black"))
    )


def _is_json(path: Path) -> bool:
    try:
        msgspec.json.decode(path.read_bytes(), type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True
