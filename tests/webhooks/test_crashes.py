"""A delivery's or dispatcher's object stops at any write or database operation: what is left is as undisturbed."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from tests.embeddings.stub_server import Reply
from tests.webhooks.stage import Hook, Play, Row, Stage
from tests.webhooks.stubs import Delivered

#: Refuses connections, so that a delivery fails for good after three attempts: every run of this takes a while.
NOBODY = "http://127.0.0.1:1/hooks/wh_failing"


class Left(msgspec.Struct):
    """Everything that a run leaves behind and that must not depend on what happened to it."""

    hooks: list[Row]
    organization: Row
    waiting: int
    identities: list[tuple[str, str]]
    log: list[Row]
    emails: list[Row]
    results: list[tuple[str, object]]


class Played(msgspec.Struct):
    left: Left
    writes: int
    operations: int
    crashes: int
    received: int


def late(item: Delivered) -> Reply:
    """Take the event at the second attempt."""
    return Reply(503) if item.attempt == 1 else Reply(200, b"thanks")


def run(
    stage: Stage,
    *,
    always_replay: bool = False,
    crash_at: tuple[int, ...] = (),
    before: int = 0,
    after: int = 0,
) -> Played:
    async def body(play: Play) -> Played:
        # One gets everything at once, one gets its event at the second attempt, one is at its last failure.
        await play.add_hook(Hook(id="wh_fine", triggers=["document.error"]))
        await play.add_hook(Hook(id="wh_slow", failures=3, triggers=["ingest_job.ready"]))
        await play.add_hook(Hook(id="wh_failing", failures=19, triggers=["document.ready"], url=NOBODY))
        stage.receivers.answers["wh_slow"] = late
        await play.announce("document.ready", source={"type": "TEXT", "text": "x"})
        await play.announce("document.error")
        await play.announce("ingest_job.ready")
        await play.announce("document.deleted")
        await play.deliver()
        return Played(await left(play), play.world.writes, play.database.operations, play.world.crashes, received(play))

    return stage.play(
        body,
        always_replay=always_replay,
        crash_at=crash_at,
        crash_before_operation=before,
        crash_after_operation=after,
        settings={"WEBHOOK_UNREACHABLE_RETRIES": "brief"},
    )


def received(play: Play) -> int:
    return len(play.stage.receivers.delivered)


async def left(play: Play) -> Left:
    untimed = ("createdAt", "updatedAt", "lastFailedAt", "disabledAt")
    hooks = await play.rows('select to_jsonb(t) from "Webhook" t order by id')
    views = [play.world.view(job_id) for job_id in sorted(play.world.objects)]
    return Left(
        hooks=[{k: (v is not None if k in untimed else v) for k, v in hook.items()} for hook in hooks],
        organization={k: v for k, v in (await play.organization()).items() if k not in (*untimed, "usageLastChecked")},
        waiting=await play.waiting(),
        identities=sorted(play.stage.receivers.identities()),
        log=sorted(play.stage.tinybird.rows, key=repr),
        emails=play.stage.resend.sent,
        # The dispatcher's counts may be less than what was handed over: its last batch is not counted twice.
        results=[(view.id, view.result) for view in views if view.workflow == "send-webhook"],
    )


def distinct(rows: list[Row]) -> list[Row]:
    return [row for at, row in enumerate(rows) if row not in rows[:at]]


def assert_same(found: Played, expected: Played, when: str) -> None:
    assert found.crashes >= 1, when
    # The log takes a row again when its step dies after writing it; an email has a key and is sent once.
    assert distinct(found.left.log) == expected.left.log, when
    assert msgspec.structs.replace(found.left, log=[]) == msgspec.structs.replace(expected.left, log=[]), when
    assert found.received <= expected.received + 1, when


@pytest.fixture
def expected(stage: Stage) -> Played:
    undisturbed = run(stage)
    assert undisturbed.received == 3
    assert len(undisturbed.left.identities) == 2
    assert len(undisturbed.left.emails) == 1
    assert len(undisturbed.left.results) == len(undisturbed.left.log) == 3
    assert undisturbed.left.waiting == 0
    return undisturbed


def test_a_crash_before_every_write(stage: Stage, expected: Played) -> None:
    assert expected.writes > 80
    for write in range(1, expected.writes + 1):
        assert_same(run(stage, crash_at=(write,)), expected, f"crashed before write {write}")


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_crash_at_every_database_operation(stage: Stage, expected: Played, side: str) -> None:
    crash: Callable[[int], Played] = (
        (lambda number: run(stage, before=number)) if side == "before" else (lambda number: run(stage, after=number))
    )
    for number in range(1, expected.operations + 1):
        assert_same(crash(number), expected, f"crashed {side} operation {number}")


def test_replay_alone_changes_nothing(stage: Stage, expected: Played) -> None:
    assert run(stage, always_replay=True).left == expected.left
