"""The list of schedules, and what a tick of the platform does: mend lost alarms, follow the code."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

import steps
from durable.schedule_index import ScheduleList, ScheduleQuery
from durable.schedule_round import go_round
from durable.workflows import registry, schedules
from orchestrator.errors import InvalidRequestError, OrchestratorError, UnknownScheduleError
from orchestrator.schedule import Schedule, check, discover_schedules
from orchestrator.schedule_model import ScheduleSummary
from orchestrator.testing import MemorySql
from tests.schedules.backend import WorldSchedules
from tests.schedules.workflows import report
from tests.schedules.world import MINUTE_MS, ScheduleWorld, at

HOURLY = Schedule(id="s", workflow="report", cron="0 * * * *", tags=("org_1", "org_1"))
DAILY = Schedule(id="daily", workflow="report", cron="0 12 * * *")


def backend() -> WorldSchedules:
    return WorldSchedules(ScheduleWorld(report))


def tick(found: WorldSchedules, *declared: Schedule, after_ms: int = MINUTE_MS) -> None:
    """Let a minute pass, with its alarms, and the platform tick."""
    world = found.world
    until_ms = world.clock.now_ms() + after_ms
    asyncio.run(world.run(until_ms=until_ms))
    world.clock.time_ms = until_ms
    asyncio.run(go_round(found, world.clock, declared))


def listed(found: WorldSchedules) -> list[str]:
    return [summary.id for summary in found.list.page(ScheduleQuery()).schedules]


def origins(found: WorldSchedules) -> list[tuple[str, str]]:
    return [(summary.id, summary.origin) for summary in found.list.page(ScheduleQuery()).schedules]


def test_declared_schedules_come_into_being_and_go() -> None:
    found = backend()
    tick(found, HOURLY, DAILY)
    assert origins(found) == [("daily", "code"), ("s", "code")]
    calls = len(found.calls)
    for _ in range(5):
        tick(found, HOURLY, DAILY)
    assert [method for method, _ in found.calls[calls:]] == ["round"] * 5
    tick(found, DAILY)
    assert origins(found) == [("daily", "code")]
    with pytest.raises(UnknownScheduleError):
        found.world.see("s")


def test_a_changed_declaration_is_followed() -> None:
    found = backend()
    tick(found, DAILY)
    tick(found, msgspec.structs.replace(DAILY, cron="0 13 * * *"))
    assert found.world.see("daily").cron == "0 13 * * *"


def test_schedules_of_the_api_are_left_alone() -> None:
    found = backend()
    asyncio.run(found.create(HOURLY))
    tick(found, DAILY)
    assert origins(found) == [("daily", "code"), ("s", "api")]


def test_a_declaration_that_is_refused_stops_no_other() -> None:
    found = backend()
    tick(found, msgspec.structs.replace(HOURLY, cron="0 0 30 2 *"), DAILY)
    assert listed(found) == ["daily"]
    assert ("error", "schedules.round_failed", {"schedule": "s", "error": "invalid_cron"}) in found.world.logs


@pytest.mark.parametrize("ticks", [[1], [1, 1, 1], [2], [0, 1]])
def test_a_lost_alarm_is_mended_by_the_second_tick_after(ticks: Sequence[int]) -> None:
    found = backend()
    asyncio.run(found.create(HOURLY))
    asyncio.run(found.world.until("2026-11-24 10:59:20"))
    found.world.hosts["s"].alarm_ms = None
    tick(found)
    assert found.world.created == []  # twenty seconds late is not late
    for minutes in ticks:
        tick(found, after_ms=minutes * MINUTE_MS)
    asyncio.run(found.world.until("2026-11-24 11:59"))
    assert found.world.outcomes("s") == [("11:00", "started", 1)]
    assert found.world.see("s").history[0].reason == ("scheduled" if ticks != [2] else "catch_up")


def test_double_ticks_change_nothing() -> None:
    found = backend()
    tick(found, DAILY)
    asyncio.run(found.world.until("2026-11-24 11:59:59"))
    for _ in range(5):
        tick(found, DAILY, after_ms=400)
    asyncio.run(found.world.until("2026-11-24 12:30"))
    assert found.world.planned("daily") == ["2026-11-24 12:00"]


def test_a_schedule_that_cannot_be_mended_is_looked_after_less_and_less_often() -> None:
    found = backend()
    asyncio.run(found.create(HOURLY))
    asyncio.run(found.world.until("2026-11-24 10:59:30"))
    found.world.hosts["s"].alarm_ms = None
    found.failures["view"] = [RuntimeError("broken")] * 100
    for _ in range(60):
        tick(found)
    looks = [method for method, _ in found.calls].count("view")
    assert 5 <= looks <= 12
    assert [log[1] for log in found.world.logs].count("schedules.round_failed") == looks


def test_what_the_list_alone_knows_is_forgotten() -> None:
    found = backend()
    asyncio.run(found.create(HOURLY))
    summary = found.list.page(ScheduleQuery()).schedules[0]
    found.list.publish(msgspec.structs.replace(summary, id="ghost", due_at_ms=1))
    assert listed(found) == ["ghost", "s"]
    tick(found)
    assert listed(found) == ["s"]


def test_a_list_that_does_not_answer_is_no_failure_of_the_tick() -> None:
    found = backend()
    found.failures["round"] = [RuntimeError("down")]
    tick(found, DAILY)
    assert listed(found) == []
    tick(found, DAILY)
    assert listed(found) == ["daily"]


# -- the list ----------------------------------------------------------------------------------------------------------


def summary(name: str, *, revision: int = 1, gone: bool = False, tags: tuple[str, ...] = ()) -> ScheduleSummary:
    return ScheduleSummary(
        id=name, workflow="report", cron="0 * * * *", time_zone="UTC", origin="api", paused=False, tags=tags,
        created_at_ms=1, updated_at_ms=2, next_at_ms=3, due_at_ms=4, fingerprint="x", revision=revision, gone=gone,
    )  # fmt: skip


def test_the_newest_revision_wins() -> None:
    found = ScheduleList(MemorySql())
    found.publish(summary("s", revision=2, tags=("new",)))
    found.publish(summary("s", revision=1, tags=("old",)))
    found.publish(summary("s", revision=1, gone=True))
    assert [item.tags for item in found.page(ScheduleQuery()).schedules] == [("new",)]
    assert found.page(ScheduleQuery(tag="old")).schedules == []
    found.publish(summary("s", revision=3, gone=True))
    assert found.page(ScheduleQuery()).schedules == found.page(ScheduleQuery(tag="new")).schedules == []


def test_pages_follow_each_other() -> None:
    found = ScheduleList(MemorySql())
    for number in range(7):
        found.publish(summary(f"s{number}", tags=("even",) if number % 2 == 0 else ()))
    names: list[str] = []
    cursor = None
    while True:
        page = found.page(ScheduleQuery(cursor=cursor, limit=3))
        names += [item.id for item in page.schedules]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert names == [f"s{number}" for number in range(7)]
    even = found.page(ScheduleQuery(tag="even", workflow="report", limit=3))
    assert [item.id for item in even.schedules] == ["s0", "s2", "s4"]
    assert [item.id for item in found.page(ScheduleQuery(tag="even", cursor=even.next_cursor)).schedules] == ["s6"]
    assert found.page(ScheduleQuery(workflow="other")).schedules == []
    for bad in ("é", "*", "x"):
        with pytest.raises(InvalidRequestError):
            found.page(ScheduleQuery(cursor=bad))


def test_a_newer_list_is_not_touched() -> None:
    sql = MemorySql()
    sql.execute("create table schema_version (version integer primary key)")
    sql.execute("insert into schema_version (version) values (99)")
    with pytest.raises(OrchestratorError) as refused:
        ScheduleList(sql).page(ScheduleQuery())
    assert refused.value.error_code == "schema"


# -- the code's own ----------------------------------------------------------------------------------------------------


def test_every_schedule_of_the_code_is_valid() -> None:
    assert {schedule.id for schedule in schedules()} >= {"diagnostic-hourly"}
    assert discover_schedules(steps) == schedules()
    for schedule in schedules():
        check(schedule, registry(), at("2026-11-24 10:00"))
