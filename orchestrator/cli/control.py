"""Commands that change what jobs do: one, several, or all that a filter finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Self, cast

import msgspec
import typer
from rich.console import RenderableType
from rich.text import Text

from orchestrator.cli import render
from orchestrator.cli.command import Session, add_command
from orchestrator.cli.exits import Exit, MisuseError
from orchestrator.cli.jobs import JobId, Since, StatusFilter, TagFilter, Until, Where, WorkflowFilter, complete_job
from orchestrator.cli.values import payload
from orchestrator.client import ProblemError
from orchestrator.client.answers import BulkItem
from orchestrator.client.jobs import Action, JobFilter
from orchestrator.client.payloads import Budget

PANEL = "Control"
#: Refusals that say no more than that a job is not one of those for whom the action is.
_NOT_FITTING = ("conflict", "status_changed")

Named = Annotated[
    list[str] | None,
    typer.Argument(help="Jobs' ids; or none, and a filter.", metavar="JOB", autocompletion=complete_job),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before acting on all that a filter finds.")]


class Selection(msgspec.Struct, frozen=True):
    """The jobs to act on: those named, or those that a filter finds."""

    job_ids: list[str]
    where: JobFilter
    yes: bool

    @classmethod
    def from_options(
        cls,
        job_ids: Named = None,
        workflow: WorkflowFilter = None,
        status: StatusFilter = None,
        tag: TagFilter = None,
        since: Since = None,
        until: Until = None,
        yes: Yes = False,
    ) -> Self:
        """Return what the options select."""
        return cls(job_ids or [], Where.from_options(workflow, status, tag, since, until).filter, yes)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add_command(app, "cancel", cancel, panel=PANEL)
    add_command(app, "pause", pause, panel=PANEL)
    add_command(app, "resume", resume, panel=PANEL)
    add_command(app, "retry", retry, panel=PANEL)
    add_command(app, "delete", delete, panel=PANEL)
    add_command(app, "send-event", send_event, panel=PANEL)


def cancel(
    current: Session,
    chosen: Selection,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; shown in the job's status.")] = "",
) -> None:
    """Ask jobs to stop. Steps under way end first, and the workflow's own cleaning up runs."""
    act(current, "cancel", chosen, lambda job_id: current.client.cancel(job_id, reason).status, reason)


def pause(
    current: Session,
    chosen: Selection,
) -> None:
    """Have jobs start nothing new. Time spent paused does not count for waits and timeouts."""
    act(current, "pause", chosen, lambda job_id: current.client.pause(job_id).status)


def resume(
    current: Session,
    chosen: Selection,
    budget: Annotated[
        float | None,
        typer.Option(help="A new budget, for jobs that used theirs up; with ids only.", metavar="USD", min=0),
    ] = None,
) -> None:
    """Have paused jobs go on."""
    if budget is not None and not chosen.job_ids:
        raise typer.BadParameter("--budget goes with jobs' ids")
    limits = None if budget is None else Budget(estimated_usd=budget)
    act(current, "resume", chosen, lambda job_id: current.client.resume(job_id, budget=limits).status)


def retry(
    current: Session,
    chosen: Selection,
    from_step: Annotated[str | None, typer.Option(help="Begin again at this step; with ids only.")] = None,
    scratch: Annotated[bool, typer.Option("--scratch", help="Forget every step; with ids only.")] = False,
) -> None:
    """Run jobs that ended without success again: from their failed steps, unless told otherwise."""
    if scratch and from_step is not None:
        raise typer.BadParameter("--from-step and --scratch exclude each other")
    if not chosen.job_ids and (scratch or from_step is not None):
        raise typer.BadParameter("--from-step and --scratch go with jobs' ids")

    def one(job_id: str) -> str:
        return current.client.retry(job_id, from_step=from_step, scratch=scratch).status

    act(current, "retry", chosen, one)


def delete(
    current: Session,
    chosen: Selection,
) -> None:
    """Delete jobs that have ended, with everything that is stored of them."""

    def one(job_id: str) -> str:
        current.client.delete(job_id)
        return "deleted"

    act(current, "delete", chosen, one)


def send_event(
    current: Session,
    job_id: JobId,
    name: Annotated[str, typer.Argument(help="The event's name.", metavar="EVENT")],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="JSON, @FILE, or - for standard input.", show_default=False)
    ] = "null",
    event_id: Annotated[str | None, typer.Option("--id", help="Counts once; one is made if left out.")] = None,
) -> None:
    """Hand an event to a job, which may wait for it now or later."""
    accepted = current.client.send_event(job_id, name, payload(data), event_id=event_id)
    current.output.show(accepted, lambda: Text.assemble(("✔ ", "green"), f"{job_id} keeps the event {name!r}"))


def act(current: Session, action: Action, chosen: Selection, one: Callable[[str], str], reason: str = "") -> None:
    """Act on the jobs that are named, or on all that a filter finds; exit with 1 if one of many was refused.

    A single job's refusal is the command's own, with its exit code.
    """
    if bool(chosen.job_ids) == bool(chosen.where):
        raise MisuseError(f"Name the jobs to {action}, or say which with --workflow, --status, --tag, --since")
    if len(chosen.job_ids) == 1:
        (job_id,) = chosen.job_ids
        item = BulkItem(id=job_id, status=one(job_id))
        current.output.show(item, lambda: outcome_line(item))
        return
    if chosen.job_ids:
        report(current, (_attempt(job_id, one) for job_id in chosen.job_ids))
        return
    confirm(current, f"{action} all jobs with {_words(chosen.where)}", yes=chosen.yes)
    report(current, current.client.bulk(action, reason=reason, **chosen.where), by_filter=True)


def confirm(current: Session, what: str, *, yes: bool) -> None:
    """Ask before something is done to many; refuse where nobody can answer."""
    if yes:
        return
    if not current.output.is_live:
        raise MisuseError(f"To {what}, say --yes")
    typer.confirm(f"{what[0].upper()}{what[1:]}?", abort=True)


def report(current: Session, items: Iterator[BulkItem], *, by_filter: bool = False) -> None:
    """Print what became of each of many; exit with 1 if one was refused.

    Jobs that a filter found, and whose status does not allow the action, are left alone: nobody named them.
    """
    done = refused = left = 0
    for item in items:
        is_left = by_filter and item.error is not None and item.error.code in _NOT_FITTING
        left += is_left
        refused += item.error is not None and not is_left
        done += item.error is None
        if current.output.as_json or not is_left:
            current.output.show(item, lambda item=item: outcome_line(item))
    counts = [f"{done} done", f"{refused} refused"]
    counts += [f"{left} left alone, whose status does not allow it"] if left else []
    current.output.say(Text(", ".join(counts), style="bold"))
    if refused:
        raise typer.Exit(Exit.UNSUCCESSFUL)


def outcome_line(item: BulkItem) -> RenderableType:
    """Return what became of one of many."""
    if item.error is None:
        return Text.assemble(item.id, "  ", render.status(item.status or ""))
    return Text.assemble(item.id, "  ", (f"refused: {item.error.detail} ({item.error.code})", "red"))


def _attempt(job_id: str, one: Callable[[str], str]) -> BulkItem:
    try:
        return BulkItem(id=job_id, status=one(job_id))
    except ProblemError as error:
        return BulkItem(id=job_id, error=error.problem)


def _words(where: JobFilter) -> str:
    members = cast("dict[str, object]", where)
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in members.items())
