"""Commands for API keys and the audit log."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, cast

import typer
from rich.console import RenderableType
from rich.text import Text

from orchestrator.cli import render
from orchestrator.cli.command import Session, add_command, add_group
from orchestrator.cli.jobs import Since, Until, complete_workflow
from orchestrator.cli.listing import Column, Listing
from orchestrator.cli.values import duration, pairs
from orchestrator.client.keys import AuditFilter, Scope
from orchestrator.client.operator_answers import ApiKey, AuditEntry
from orchestrator.client.payloads import without_none

PANEL = "Operations"


class KeyScope(enum.StrEnum):
    """What a key may be used for."""

    ENQUEUE = "enqueue"
    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    keys = add_group(app, "keys", list_keys, panel=PANEL)
    add_command(keys, "create", create_key)
    add_command(keys, "revoke", revoke_key)
    add_command(keys, "current", current_key)
    add_command(app, "audit", audit, panel=PANEL)


def list_keys(current: Session) -> None:
    """List the API keys, newest first, those included that are of no use any more."""
    current.output.show_all(current.client.keys(), _keys_table)


def create_key(
    current: Session,
    name: Annotated[str, typer.Argument(help="For people.", metavar="NAME")],
    scope: Annotated[list[KeyScope], typer.Option("--scope", "-s", help="What it is for; may be repeated.")],
    workflow: Annotated[
        list[str] | None,
        typer.Option("--workflow", "-w", help="Only this workflow; may be repeated.", autocompletion=complete_workflow),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's jobs.")] = None,
    rate: Annotated[
        int | None, typer.Option(help="Requests per second; the deployment's own if left out.", min=1)
    ] = None,
    max_priority: Annotated[
        int | None, typer.Option(help="The most head start that its jobs get, in seconds.", min=0)
    ] = None,
    lane_key: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND=VALUE", help="What its jobs count as in lanes, whatever they say; may be repeated."),
    ] = None,
    expires_in: Annotated[
        timedelta | None,
        typer.Option(parser=duration, metavar="DURATION", help="Of use this long; 90 days if left out, 0 is for ever."),
    ] = None,
) -> None:
    """Make an API key. It is shown this once: what is kept cannot be turned back into it."""
    scopes = cast("list[Scope]", [item.value for item in scope])
    made = current.client.create_key(
        name,
        scopes,
        workflows=workflow,
        tenant=tenant,
        rate_per_s=rate,
        lane_keys=pairs(lane_key),
        max_priority=max_priority,
        expires_in=expires_in,
    )
    current.output.show(made, lambda: Text.assemble(("✔ ", "green"), f"{made.id}  ", (made.key, "bold")))


def revoke_key(current: Session, key_id: Annotated[str, typer.Argument(help="The key's id.", metavar="KEY")]) -> None:
    """End a key's use: within 30 seconds everywhere."""
    current.client.revoke_key(key_id)
    revoked = {"id": key_id, "revoked": True}
    current.output.show(revoked, lambda: Text.assemble(("✔ ", "green"), f"{key_id} is of no use any more"))


def current_key(current: Session) -> None:
    """Show what the key in use may do."""
    key = current.client.get_current_key()
    limits = "".join(
        f", {name} {value}" for name, value in (("tenant", key.tenant), ("workflows", key.workflows)) if value
    )
    current.output.show(key, lambda: Text(f"{key.id}: {', '.join(key.scopes)}{limits}"))


def audit(
    current: Session,
    target: Annotated[str | None, typer.Option(help="Only about this job, lane, schedule, letter or key.")] = None,
    key_id: Annotated[str | None, typer.Option("--key", help="Only by this key.")] = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Show who did what: control actions, newest first, refused ones included."""
    where = without_none(target=target, key_id=key_id, created_after=since, created_before=until)
    current.output.show_all(current.client.audit(**cast("AuditFilter", where)), _audit_table)


def _keys_table(keys: Sequence[ApiKey]) -> RenderableType:
    if not keys:
        return Text("no keys besides the deployment's own", style="bright_black")
    now = datetime.now(UTC)
    made = Listing("key", "name", "scopes", Column("age", right=True, spare=True), "ends", "only")
    for key in keys:
        only = [f"tenant {key.tenant}"] if key.tenant else []
        only += key.workflows or []
        ends = Text("revoked", style="red") if key.revoked_at else Text(render.ago(key.expires_at, now))
        age = render.age(key.created_at, now)
        made.add(key.id, key.name, ", ".join(key.scopes), age, ends, ", ".join(only))
    return made


def _audit_table(entries: Sequence[AuditEntry]) -> RenderableType:
    if not entries:
        return Text("no control actions", style="bright_black")
    now = datetime.now(UTC)
    made = Listing(Column("age", right=True), "operation", "target", "key", "answer")
    for entry in entries:
        answer = Text("lost", style="yellow") if entry.status is None else Text(str(entry.status))
        made.add(render.age(entry.at, now), entry.operation, entry.target, entry.key_id, answer)
    return made
