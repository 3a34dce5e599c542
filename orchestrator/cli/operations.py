"""Commands for what operators look after: dead letters, lanes and schedules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
import typer
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from orchestrator.cli import render
from orchestrator.cli.command import Session, add_command, add_group
from orchestrator.cli.control import Yes, confirm, report
from orchestrator.cli.exits import Exit, MisuseError
from orchestrator.cli.listing import Column, Listing
from orchestrator.cli.values import moment, payload
from orchestrator.client.operations import LetterFilter, NewSchedule
from orchestrator.client.operator_answers import (
    Alerts,
    DeadLetter,
    Lane,
    Rate,
    Schedule,
    ScheduleSummary,
    Shard,
    Workflow,
)

PANEL = "Operations"

Kind = Annotated[Literal["job", "step", "message"] | None, typer.Option(help="Only jobs, steps, or messages.")]
OfWorkflow = Annotated[str | None, typer.Option("--workflow", "-w", help="Only those of this workflow.")]
LaneName = Annotated[str, typer.Argument(help="A lane's name.", metavar="LANE")]
ScheduleId = Annotated[str, typer.Argument(help="A schedule's id.", metavar="SCHEDULE")]
Moment = Annotated[datetime, typer.Option(parser=moment, metavar="TIME", help="ISO 8601, or a duration ago.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add_command(app, "alerts", alerts, panel=PANEL)
    add_command(app, "workflows", list_workflows, panel=PANEL)
    add_command(app, "dead-letters", dead_letters, panel=PANEL)
    add_command(app, "redrive", redrive, panel=PANEL)
    lanes = add_group(app, "lanes", list_lanes, panel=PANEL)
    add_command(lanes, "pause", pause_lane)
    add_command(lanes, "resume", resume_lane)
    catalog = add_group(app, "catalog", show_catalog, panel=PANEL)
    add_command(catalog, "rebuild", rebuild_catalog)
    schedules = add_group(app, "schedules", list_schedules, panel=PANEL)
    add_command(schedules, "show", show_schedule)
    add_command(schedules, "create", create_schedule)
    add_command(schedules, "pause", pause_schedule)
    add_command(schedules, "resume", resume_schedule)
    add_command(schedules, "run", run_schedule)
    add_command(schedules, "backfill", backfill_schedule)
    add_command(schedules, "delete", delete_schedule)


def _letter_filter(kind: Literal["job", "step", "message"] | None, workflow: str | None) -> LetterFilter:
    found = LetterFilter()
    if kind is not None:
        found["kind"] = kind
    if workflow is not None:
        found["workflow"] = workflow
    return found


def dead_letters(
    current: Session,
    kind: Kind = None,
    workflow: OfWorkflow = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that were tried again, too.")] = False,
) -> None:
    """List jobs and queue messages that gave up, newest first, each with its cause."""
    letters = current.client.dead_letters(redriven=None if everything else False, **_letter_filter(kind, workflow))
    current.output.show_all(letters, _letters_table)


def redrive(
    current: Session,
    letter_ids: Annotated[list[str] | None, typer.Argument(help="Dead letters' ids.", metavar="LETTER")] = None,
    kind: Kind = None,
    workflow: OfWorkflow = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter that nobody has tried again.")] = False,
    yes: Yes = False,
) -> None:
    """Try dead letters again: failed jobs run again from their failed steps, messages are sent again."""
    where = _letter_filter(kind, workflow)
    if bool(letter_ids) == (bool(where) or everything):
        raise MisuseError("Name the dead letters, or say which with --workflow, --kind or --all")
    if letter_ids:
        report(current, current.client.redrive_many(ids=letter_ids))
        return
    confirm(current, "try all these dead letters again", yes=yes)
    report(current, current.client.redrive_many(**where))


def _letters_table(letters: Sequence[DeadLetter]) -> RenderableType:
    if not letters:
        return Text("no dead letters", style="green")
    now = datetime.now(UTC)
    made = Listing("dead letter", "workflow", Column("age", right=True), "cause")
    for letter in letters:
        note = "" if letter.redriven_at is None else f"  (tried again {render.ago(letter.redriven_at, now)})"
        cause = Text(letter.cause + note, style="red")
        made.add(letter.id, letter.workflow or "—", render.age(letter.at, now), cause)
    return made


def list_workflows(current: Session) -> None:
    """List the workflows that are deployed, with the members of their payloads."""
    current.output.show_all(iter(current.client.workflows()), _workflows_table)


def _workflows_table(workflows: Sequence[Workflow]) -> Listing:
    made = Listing(
        "workflow", Column("version", right=True, spare=True), "lane", Column("queue", spare=True), "payload"
    )
    for item in workflows:
        members = msgspec.convert(item.payload_schema.get("properties", {}), dict[str, object])
        required = msgspec.convert(item.payload_schema.get("required", []), list[str])
        names = ", ".join(name if name in required else f"{name}?" for name in members)
        made.add(item.name, str(item.version), item.lane or "", item.queue, names)
    return made


def alerts(current: Session) -> None:
    """Show what is wrong, and whether people were told; exits with 1 while an alert fires."""
    found = current.client.get_alerts()
    current.output.show(found, lambda: _alerts_table(found))
    if any(alert.status == "firing" for alert in found.alerts):
        raise typer.Exit(Exit.UNSUCCESSFUL)


_ALERT_STYLES = {"firing": "bold red", "pending": "yellow", "resolved": "green"}


def _alerts_table(found: Alerts) -> RenderableType:
    now = datetime.now(UTC)
    lines: list[RenderableType] = []
    if found.alerts:
        numbers = [Column(name, right=True) for name in ("value", "threshold", "since")]
        made = Listing("alert", "about", "status", *numbers)
        for alert in found.alerts:
            state = Text(alert.status, style=_ALERT_STYLES.get(alert.status, ""))
            value, threshold = render.number(alert.value), render.number(alert.threshold)
            made.add(alert.alert, alert.subject, state, value, threshold, render.ago(alert.since, now))
        lines.append(made)
    else:
        lines.append(Text("✔ nothing is wrong", style="green"))
    lines += [Text(f"not delivered after {item.attempts} attempts: {item.text}", "red") for item in found.undelivered]
    if found.silent_because:
        lines.append(Text(f"nobody is told of alerts: {found.silent_because}", style="yellow"))
    if found.missing:
        lines.append(Text(f"did not answer: {', '.join(found.missing)}", style="yellow"))
    lines.append(Text(f"evaluated {render.ago(found.evaluated_at, now)}", style="bright_black"))
    return Group(*lines)


def show_catalog(current: Session) -> None:
    """List the shards of the catalog, which lists and counts come from."""
    current.output.show_all(iter(current.client.get_catalog()), _shards_table)


def rebuild_catalog(
    current: Session,
    shards: Annotated[list[str] | None, typer.Argument(help="Shards; all if left out.", metavar="SHARD")] = None,
) -> None:
    """Have shards of the catalog ask the jobs for everything again; one that was lost does so by itself."""
    current.output.show_all(iter(current.client.rebuild_catalog(shards)), _shards_table)


def _shards_table(shards: Sequence[Shard]) -> Listing:
    made = Listing("shard", Column("jobs", right=True), "state")
    for shard in shards:
        state = Text("✔ complete", "green") if shard.complete else Text(f"↻ reads ledger {shard.ledger}", "yellow")
        made.add(shard.name, render.number(shard.jobs), state)
    return made


def list_lanes(current: Session) -> None:
    """List the lanes of the workflows: limits, what runs, what waits and why."""
    current.output.show_all(iter(current.client.lanes()), _lanes_table)


def pause_lane(current: Session, name: LaneName) -> None:
    """Have a lane start nothing more; what runs goes on."""
    lane = current.client.pause_lane(name)
    current.output.show(lane, lambda: _lanes_table([lane]))


def resume_lane(current: Session, name: LaneName) -> None:
    """Have a lane start jobs again."""
    lane = current.client.resume_lane(name)
    current.output.show(lane, lambda: _lanes_table([lane]))


def _lanes_table(lanes: Sequence[Lane]) -> Listing:
    counts = [Column(name, right=True) for name in ("running", "waiting")]
    made = Listing("lane", Column("workflows", spare=True), *counts, "limits", "why jobs wait")
    for lane in lanes:
        limits = [f"{lane.concurrency} at once"] if lane.concurrency else []
        limits += [_rate(lane.rate)] if lane.rate else []
        for limit in lane.limits:
            limits += [f"{limit.concurrency} per {limit.name}"] if limit.concurrency else []
            limits += [f"{_rate(limit.rate)} per {limit.name}"] if limit.rate else []
        reasons = Text("‖ paused", style="yellow") if lane.paused else Text("; ".join(lane.reasons))
        workflows, running, waiting = ", ".join(lane.workflows), str(lane.running), str(lane.waiting)
        made.add(lane.name, workflows, running, waiting, ", ".join(limits), reasons)
    return made


def _rate(rate: Rate) -> str:
    return f"{rate.count} every {rate.per_ms / 1000:g} s"


def list_schedules(
    current: Session,
    workflow: OfWorkflow = None,
    tag: Annotated[str | None, typer.Option("--tag", "-t", help="Only those with this tag.")] = None,
) -> None:
    """List the schedules."""
    current.output.show_all(current.client.schedules(workflow=workflow, tag=tag), _schedules_table)


def _schedules_table(schedules: Sequence[ScheduleSummary]) -> RenderableType:
    if not schedules:
        return Text("no schedules", style="bright_black")
    now = datetime.now(UTC)
    made = Listing("schedule", "workflow", "cron", Column("time zone", spare=True), "next")
    for item in schedules:
        following = Text("‖ paused", style="yellow") if item.paused else Text(render.ago(item.next_at, now))
        made.add(item.id, item.workflow, item.cron, item.time_zone, following)
    return made


def show_schedule(current: Session, schedule_id: ScheduleId) -> None:
    """Show a schedule: the times ahead, and what became of the past ones."""
    _show(current, current.client.get_schedule(schedule_id))


def create_schedule(
    current: Session,
    workflow: Annotated[str, typer.Argument(help="The workflow's name.", metavar="WORKFLOW")],
    cron: Annotated[str, typer.Argument(help="Minute, hour, day of month, month, day of week.", metavar="CRON")],
    schedule_id: Annotated[str | None, typer.Option("--id", help="Its name; one is made if left out.")] = None,
    payload_text: Annotated[str, typer.Option("--payload", help="What every job gets: JSON, @FILE or -.")] = "{}",
    time_zone: Annotated[str, typer.Option(help="Whose clock the times are of.")] = "UTC",
    overlap: Annotated[
        Literal["skip", "buffer_one", "allow", "cancel_other"],
        typer.Option(help="What becomes of a time that comes while an earlier job runs."),
    ] = "skip",
    tag: Annotated[list[str] | None, typer.Option("--tag", "-t", help="A tag; may be repeated.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose its jobs are.")] = None,
    paused: Annotated[bool, typer.Option("--paused", help="Begin paused.")] = False,
) -> None:
    """Make a schedule. Asking again for just the same one changes nothing."""
    members = NewSchedule(
        payload=payload(payload_text), time_zone=time_zone, overlap=overlap, tags=tag or [], paused=paused
    )
    if tenant is not None:
        members["tenant"] = tenant
    _show(current, current.client.create_schedule(workflow, cron, schedule_id=schedule_id, **members))


def pause_schedule(current: Session, schedule_id: ScheduleId) -> None:
    """Let planned times pass."""
    _show(current, current.client.pause_schedule(schedule_id))


def resume_schedule(current: Session, schedule_id: ScheduleId) -> None:
    """Go on with the next planned time."""
    _show(current, current.client.resume_schedule(schedule_id))


def run_schedule(current: Session, schedule_id: ScheduleId) -> None:
    """Start a schedule's job now."""
    accepted = current.client.run_schedule(schedule_id)
    current.output.show(accepted, lambda: Text.assemble(("✔ ", "green"), (accepted.id, "bold")))


def backfill_schedule(current: Session, schedule_id: ScheduleId, since: Moment, until: Moment) -> None:
    """Run past planned times, both ends included; those that were run before are not run again."""
    found = current.client.backfill_schedule(schedule_id, since=since, until=until)
    current.output.show(found, lambda: Text.assemble(("✔ ", "green"), f"{found.times} planned times"))


def delete_schedule(current: Session, schedule_id: ScheduleId) -> None:
    """Forget a schedule. Its jobs go on."""
    current.client.delete_schedule(schedule_id)
    deleted = {"id": schedule_id, "deleted": True}
    current.output.show(deleted, lambda: Text.assemble(("✔ ", "green"), f"{schedule_id} is no more"))


def _show(current: Session, schedule: Schedule) -> None:
    current.output.show(schedule, lambda: schedule_panel(schedule, datetime.now(UTC)))


def schedule_panel(schedule: Schedule, now: datetime) -> Panel:
    """Return everything that matters about a schedule."""
    facts = render.facts_grid()
    render.add_row(facts, "cron", f"{schedule.cron}  {schedule.description} ({schedule.time_zone})")
    render.add_row(facts, "payload", render.value_text(schedule.payload))
    render.add_row(facts, "overlap", f"{schedule.overlap}, catch up {schedule.catch_up}")
    if schedule.paused:
        render.add_row(facts, "state", Text("‖ paused", style="yellow"))
    for index, moment_ahead in enumerate(schedule.upcoming[:3]):
        render.add_row(
            facts,
            "next" if index == 0 else "",
            f"{moment_ahead:%a %Y-%m-%d %H:%M} UTC  {render.ago(moment_ahead, now)}",
        )
    for event in schedule.history[:10]:
        style = "green" if event.outcome == "started" else "yellow"
        line = Text.assemble(
            (event.outcome, style), f"  {event.reason}  {event.job_id or ''}{event.error or ''}".rstrip()
        )
        render.add_row(facts, f"{event.planned_at:%m-%d %H:%M}", line)
    return Panel(
        facts, title=Text(schedule.id), title_align="left", subtitle=Text(schedule.workflow), subtitle_align="right"
    )
