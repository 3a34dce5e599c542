"""What ``orchestrator doctor`` looks at: pure checks of what others have read."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta

import msgspec

from orchestrator.cli.wrangler import Wrangler
from orchestrator.client import ConfigurationError
from orchestrator.client.answers import Job
from orchestrator.client.flow import Backend
from orchestrator.client.operator_answers import Alerts, CurrentKey, Lane
from orchestrator.client.settings import producer_target

CONFIGURATION, SWITCH, SERVER, PLATFORM = "configuration", "switch", "server", "platform"
#: From this date on Python Workers have sockets, and deleting an object's storage deletes its alarm (platform.md §1.4).
FIRST_DATE = date(2026, 10, 1)
#: Clocks that differ by more make signed requests fail and schedules surprising.
MAX_SKEW_S = 5.0
#: The cron comes every minute.
MAX_CRON_SILENCE = timedelta(minutes=3)


class State(enum.StrEnum):
    """How a finding is."""

    RIGHT = "right"
    NOTE = "note"
    WRONG = "wrong"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    area: str
    name: str
    state: State
    text: str
    #: How to mend it.
    mend: str | None = None


def check_config(config: Wrangler) -> Iterator[Finding]:
    """Check that ``wrangler.toml`` fits together."""

    def finding(name: str, problems: Sequence[str], fine: str, mend: str) -> Finding:
        if problems:
            return Finding(CONFIGURATION, name, State.WRONG, "; ".join(problems), mend)
        return Finding(CONFIGURATION, name, State.RIGHT, fine)

    too_old = _date(config.compatibility_date) < FIRST_DATE
    flags = [] if "python_workers" in config.compatibility_flags else ["the flag python_workers is missing"]
    old = [f"the compatibility date is {config.compatibility_date}"] if too_old else []
    mend = f'set compatibility_date to "{FIRST_DATE}" or later, and compatibility_flags to ["python_workers"]'
    yield finding("runtime", old + flags, f"Python Workers of {config.compatibility_date}", mend)
    made = {name for migration in config.migrations for name in migration.new_sqlite_classes}
    bound = {item.class_name for item in config.durable_objects.bindings}
    yield finding(
        "objects",
        [f"{name} is bound, but no migration makes it" for name in sorted(bound - made)],
        f"{len(bound)} classes, each made by a migration",
        "add the class to new_sqlite_classes of a new [[migrations]]",
    )
    yield _check_queues(config)
    buckets = [item.bucket_name for item in config.r2_buckets]
    yield finding("buckets", [] if buckets else ["no R2 bucket is bound"], ", ".join(buckets), "add [[r2_buckets]]")
    databases = [f"the id of {item.binding} is a placeholder" for item in config.hyperdrive if item.is_placeholder]
    if databases:
        mend = "before a deployment: `orchestrator provision` creates it; the local stack needs none"
        yield Finding(CONFIGURATION, "database", State.NOTE, "; ".join(databases), mend)
    else:
        missing = [] if config.hyperdrive else ["no Hyperdrive is bound"]
        yield finding("database", missing, "Hyperdrive is bound", "add [[hyperdrive]]")
    secrets = [] if "API_KEY" in config.secrets.required else ["API_KEY is not required: without it all is closed"]
    yield finding("secrets", secrets, ", ".join(config.secrets.required), 'add "API_KEY" to required in [secrets]')
    crons = [] if "* * * * *" in config.triggers.crons else ["no cron fires every minute: nothing heals lost alarms"]
    yield finding("cron", crons, "every minute", 'set crons to ["* * * * *"] in [triggers]')


def _check_queues(config: Wrangler) -> Finding:
    consumed = {item.queue for item in config.queues.consumers}
    sent_to = {item.queue for item in config.queues.producers}
    dead = config.dead_letter_queues()
    problems = [f"nobody consumes {name}" for name in sorted((sent_to | dead) - consumed)]
    problems += [
        f"{item.queue} has no dead-letter queue"
        for item in config.queues.consumers
        if item.dead_letter_queue is None and item.queue not in dead
    ]
    if problems:
        return Finding(CONFIGURATION, "queues", State.WRONG, "; ".join(problems), "add what is missing to [queues]")
    return Finding(CONFIGURATION, "queues", State.RIGHT, f"{len(consumed)} queues, dead letters consumed too")


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return date.min


def check_switch(env: Mapping[str, str]) -> Iterator[Finding]:
    """Check the variables of the plan's switch, where they are set."""
    if "USE_CLOUDFLARE_QUEUES" not in env:
        return
    try:
        found = producer_target(env)
    except ConfigurationError as error:
        yield Finding(SWITCH, "USE_CLOUDFLARE_QUEUES", State.WRONG, str(error), "set it; docs/clients.md explains them")
        return
    where = "here" if found.backend is Backend.ORCHESTRATOR else "at Trigger.dev"
    yield Finding(SWITCH, "USE_CLOUDFLARE_QUEUES", State.RIGHT, f"jobs start {where}, {found.url}")


def check_key(key: CurrentKey) -> Finding:
    """Tell what the key in use may do."""
    limits = [f"tenant {key.tenant}"] if key.tenant else []
    limits += [f"workflows {', '.join(key.workflows)}"] if key.workflows else []
    text = f"{key.id}: {', '.join(key.scopes)}" + (f"; only {', '.join(limits)}" if limits else "")
    return Finding(SERVER, "key", State.RIGHT, text)


def check_lanes(lanes: Sequence[Lane]) -> Iterator[Finding]:
    """Tell of lanes that somebody has paused."""
    for lane in lanes:
        if lane.paused:
            mend = f"`orchestrator lanes resume {lane.name}`"
            yield Finding(SERVER, f"lane {lane.name}", State.NOTE, f"it is paused; {lane.waiting} jobs wait", mend)


def check_alerts(found: Alerts, now: datetime) -> Iterator[Finding]:
    """Tell of alerts that fire, of a cron that does not come, and of nobody being told.

    None of it means that the setup is wrong: `orchestrator alerts` is there to exit with 1.
    """
    for alert in found.alerts:
        if alert.status == "firing":
            text = f"{alert.subject}: {alert.value:g}, the threshold is {alert.threshold:g}"
            yield Finding(SERVER, f"alert {alert.alert}", State.NOTE, text, "`orchestrator alerts`, and its runbook")
    late = found.evaluated_at is None or now - found.evaluated_at > MAX_CRON_SILENCE
    if late:
        text = "alerts were never evaluated" if found.evaluated_at is None else "alerts were not evaluated of late"
        mend = "does the cron fire? wait two minutes after a first deployment; `npx wrangler tail` shows it"
        yield Finding(SERVER, "cron", State.NOTE, text, mend)
    if found.silent_because:
        yield Finding(SERVER, "alerts", State.NOTE, "nobody is told of alerts", found.silent_because)


def check_clock(ours: datetime, theirs: datetime) -> Iterator[Finding]:
    """Compare our clock with the server's, which was read a moment later."""
    skew_s = (theirs - ours).total_seconds()
    if abs(skew_s) > MAX_SKEW_S:
        side = "behind" if skew_s > 0 else "ahead of"
        mend = "set this machine's clock, for instance by NTP"
        yield Finding(SERVER, "clock", State.WRONG, f"ours is {abs(skew_s):.0f} s {side} the server's", mend)
    else:
        yield Finding(SERVER, "clock", State.RIGHT, "ours and the server's agree")


class _Part(msgspec.Struct, frozen=True):
    name: str
    ok: bool
    detail: str


class _Report(msgspec.Struct, frozen=True):
    parts: list[_Part]
    settings: dict[str, bool]


_MENDS = {
    "database": "check the Hyperdrive binding and the database behind it; apply the files of steps/platform/schema",
    "bucket": "create the bucket: `orchestrator provision`",
}


def check_job(job: Job) -> Iterator[Finding]:
    """Read what the job ``diagnostic-platform`` has found."""
    if job.status != "completed":
        why = "" if job.error is None else f" ({job.error.code})"
        yield Finding(
            PLATFORM, "job", State.WRONG, f"{job.id} has {job.status}{why}", f"`orchestrator events {job.id}`"
        )
        return
    took = "" if job.finished_at is None else f" in {(job.finished_at - job.created_at).total_seconds():.1f} s"
    yield Finding(PLATFORM, "job", State.RIGHT, f"queue, object and alarm took a job to its end{took}")
    report = msgspec.convert(job.result, _Report)
    for part in report.parts:
        state = State.RIGHT if part.ok else State.WRONG
        yield Finding(PLATFORM, part.name, state, part.detail, None if part.ok else _MENDS.get(part.name.split()[0]))
    unset = _unset(report.settings)
    text = f"{sum(report.settings.values())} set" + (f"; not set: {', '.join(unset)}" if unset else "")
    yield Finding(PLATFORM, "settings", State.RIGHT, text)


def _unset(settings: Mapping[str, bool]) -> list[str]:
    """Return the settings without a value; a family that has none is named once."""
    used = {name.partition(".")[0] for name, is_set in settings.items() if is_set}
    missing = sorted(name for name, is_set in settings.items() if not is_set)
    families = (name.partition(".")[0] for name in missing)
    return list(
        dict.fromkeys(name if family in used else family for name, family in zip(missing, families, strict=True))
    )
