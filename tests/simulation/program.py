"""Random workflows: what they consist of, and how they are written down for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from orchestrator.limits import RETENTION_MS
from orchestrator.schedule import CatchUp, Overlap


class Op(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """One thing that a workflow does."""


class Step(Op, frozen=True, tag="step"):
    #: How long it takes.
    ms: int = 0
    #: Attempts that fail before one succeeds; the policy allows three.
    fails: int = 0
    #: Attempts that hang until they time out.
    hangs: int = 0
    #: Slices it kills before it succeeds; -1 kills them all.
    kills: int = 0
    #: What makes it fail at once: always, or until somebody has mended the outside.
    broken: Literal["", "always", "until_mended"] = ""
    #: The result is too large for a row.
    big: bool = False


class Transaction(Op, frozen=True, tag="transaction"):
    fails: int = 0


class Loop(Op, frozen=True, tag="loop"):
    items: int = 10
    batch: int = 3
    #: The batch that fails once.
    fails_in: int = -1


class Sleep(Op, frozen=True, tag="sleep"):
    ms: int = 1_000


class Wait(Op, frozen=True, tag="wait"):
    """For an event, or for a token that somebody completes."""

    what: Literal["event", "token"] = "event"
    comes: bool = True
    #: How long it takes to come.
    after_ms: int = 500


class Undo(Op, frozen=True, tag="undo"):
    """Register an undo step."""

    transaction: bool = False
    fails: int = 0


class Rate(Op, frozen=True, tag="rate"):
    """Take a token of a bucket that all jobs share."""


class Notes(Op, frozen=True, tag="notes"):
    """Progress, metadata, a log line, a time, a random number, a side of a change."""


class Call(Op, frozen=True, tag="call"):
    """Run a child job and wait for it."""

    job: Job


class Start(Op, frozen=True, tag="start"):
    """Start a child job, and perhaps wait for it."""

    job: Job
    waits: bool = False


class Fan(Op, frozen=True, tag="fan"):
    """Run children, some at a time, and add up what they give."""

    jobs: tuple[Job, ...]
    window: int = 2
    collect: bool = True


class Gather(Op, frozen=True, tag="gather"):
    """Run branches side by side."""

    branches: tuple[tuple[Ops, ...], ...]


class Guard(Op, frozen=True, tag="guard"):
    """Go on when what is inside fails."""

    body: tuple[Ops, ...]


class Job(msgspec.Struct, frozen=True, omit_defaults=True):
    """One job: the workflow that reads its body, and the body."""

    body: tuple[Ops, ...]
    workflow: str = "plain"


Ops = Step | Transaction | Loop | Sleep | Wait | Undo | Rate | Notes | Call | Start | Fan | Gather | Guard


class Action(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody does to the first job."""

    what: Literal["cancel", "cancel_by_tag", "pause", "mend", "create_again", "delete", "lose_shard"]
    at_ms: int


class Cron(msgspec.Struct, frozen=True, omit_defaults=True):
    """A schedule that starts jobs until a time, and is paused when it has dealt with all of its times."""

    body: tuple[Ops, ...]
    every_minutes: int = 1
    minutes: int = 12
    overlap: Overlap = "skip"
    catch_up: CatchUp = "all"


class Keyed(msgspec.Struct, frozen=True, omit_defaults=True):
    """Calls with one idempotency key, one after the other."""

    #: When each call is made, after the one before was answered.
    waits_ms: tuple[int, ...]
    #: The key means a new job this long after its last one was created.
    window_ms: int = 0
    #: Each call puts the start of the job off by this.
    debounce_ms: int = 0


class Program(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job, how it is started, and what is done to it meanwhile."""

    job: Job
    queued: bool = False
    delay_ms: int = 0
    #: It expires when it has not started by then.
    ttl_ms: int = 0
    #: It fails when it has not ended this long after its start.
    max_ms: int = 0
    #: It is deleted this long after its end.
    retention_ms: int = RETENTION_MS
    #: It is paused after so many slices, and goes on when somebody allows it more.
    slices: int = 0
    always_replay: bool = False
    actions: tuple[Action, ...] = ()
    crons: tuple[Cron, ...] = ()
    keyed: tuple[Keyed, ...] = ()


def inner(op: Ops) -> list[tuple[Ops, ...]]:
    """Return the bodies within an operation."""
    if isinstance(op, (Call, Start)):
        return [op.job.body]
    if isinstance(op, Fan):
        return [job.body for job in op.jobs]
    if isinstance(op, Gather):
        return list(op.branches)
    return [op.body] if isinstance(op, Guard) else []


def every_op(body: tuple[Ops, ...]) -> Iterator[Ops]:
    """Yield all operations, at every depth."""
    for op in body:
        yield op
        for part in inner(op):
            yield from every_op(part)


def text_of(program: Program) -> str:
    """Return a program as a workflow of about this shape would be written."""
    lines = [f"# started {'through the queue' if program.queued else 'directly'}"]
    for name in ("delay_ms", "ttl_ms", "max_ms", "slices"):
        if getattr(program, name):
            lines.append(f"# {name}={getattr(program, name)}")
    if program.retention_ms != RETENTION_MS:
        lines.append(f"# retention_ms={program.retention_ms}")
    if program.always_replay:
        lines.append("# replayed in every slice")
    lines += [f"# after {action.at_ms} ms somebody does: {action.what}" for action in program.actions]
    lines += [f"# called with one key: {calls}" for calls in program.keyed]
    for cron in program.crons:
        facts = {name: getattr(cron, name) for name in ("every_minutes", "minutes", "overlap", "catch_up")}
        lines += [f"# a schedule: {_arguments(facts)}", *_body(cron.body, 1)]
    lines += [f"@workflow({program.job.workflow!r})", "async def main(job):"]
    return "\n".join([*lines, *_body(program.job.body, 1)])


def _body(body: tuple[Ops, ...], depth: int) -> list[str]:
    pad = "    " * depth
    lines: list[str] = []
    for op in body:
        if isinstance(op, Guard):
            lines += [f"{pad}try:", *_body(op.body, depth + 1), f"{pad}except StepFailedError: ..."]
        elif isinstance(op, Gather):
            lines.append(f"{pad}gather:")
            for branch in op.branches:
                lines += [f"{pad}    branch:", *_body(branch, depth + 2)]
        elif isinstance(op, (Call, Start, Fan)):
            jobs = op.jobs if isinstance(op, Fan) else (op.job,)
            extra = {name: getattr(op, name) for name in op.__struct_fields__ if name not in {"job", "jobs"}}
            lines.append(f"{pad}{type(op).__name__.lower()}({_arguments(extra)}):")
            for job in jobs:
                lines += [f"{pad}    child of {job.workflow!r}:", *_body(job.body, depth + 2)]
        else:
            fields = {
                name: getattr(op, name)
                for name, default in zip(op.__struct_fields__, op.__struct_defaults__, strict=True)
                if getattr(op, name) != default
            }
            lines.append(f"{pad}{type(op).__name__.lower()}({_arguments(fields)})")
    return lines or [f"{pad}pass"]


def _arguments(fields: dict[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in fields.items())
