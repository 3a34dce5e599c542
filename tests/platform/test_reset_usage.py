"""``reset-usage`` on the standard scene, and its arithmetic of days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import LiteralString

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import steps
from durable.workflows import schedules
from orchestrator.schedule import check
from orchestrator.workflow import discover
from steps.platform import usage
from steps.platform.settings import PlatformSettings
from steps.platform.usage import Checked, begins_cycle, is_cycle_day, last_cycle_start
from tests.platform import scene
from tests.platform.counting import assert_counted
from tests.platform.picture import Row
from tests.platform.stage import Outcome, Play, Stage

#: The scene was last checked in January 2026; its cycle begins on the 15th.
CHECKED: LiteralString = """update organization set "usageLastChecked" = '2026-02-14 12:00:01'"""
SET: LiteralString = """update organization set "billingCycleStart" = $1"""


def run(stage: Stage, day: str, *days: str, settings: PlatformSettings | None = None, cycle_day: int = 15) -> Outcome:
    """Play noon of one day after the other."""

    async def prepare(play: Play) -> None:
        await play.admin.execute(CHECKED)
        await play.admin.execute(SET, cycle_day)
        if settings is not None:
            play.settings = msgspec.structs.replace(play.settings, platform=settings)
            play.world.services = play.services()

    async def later(play: Play) -> bool:
        for planned in days:
            await play.world.run()
            play.start("reset-usage", {"plannedAt": f"{planned}T12:00:00.000Z"})
        return True

    return stage.run("reset-usage", {"plannedAt": f"{day}T12:00:00.000Z"}, prepare=prepare, during=later)


def organization(outcome: Outcome, row_id: str = scene.ORGANIZATION) -> Row:
    return outcome.picture.row("organization", row_id)


def test_a_cycle_gives_deleted_pages_back_and_forgets_searches(stage: Stage) -> None:
    outcome = run(stage, "2026-02-15")
    then, now = outcome.before.row("organization", scene.ORGANIZATION), organization(outcome)
    assert (now["deletedPages"], now["searchUsage"]) == (0, 0)
    assert scene.number(now, "totalPages") == pytest.approx(scene.number(then, "totalPages") - 2.5)
    assert str(now["usageLastChecked"]) > str(then["usageLastChecked"])
    assert_counted(outcome.picture)
    assert outcome.picture.announced == []


def test_any_other_day_is_only_looked_at(stage: Stage) -> None:
    outcome = run(stage, "2026-02-15", cycle_day=16)
    then, now = outcome.before.row("organization", scene.ORGANIZATION), organization(outcome)
    assert {**now, "usageLastChecked": None} == {**then, "usageLastChecked": None}
    assert str(now["usageLastChecked"]) > str(then["usageLastChecked"])


def test_running_it_twice_changes_nothing_more(stage: Stage) -> None:
    """Scenario 8 of domain.md §9.4, from the cycle's end on."""
    once, twice = run(stage, "2026-02-15"), run(stage, "2026-02-15", "2026-02-15")
    for row_id in (scene.ORGANIZATION, scene.OTHER_ORGANIZATION):
        ours, theirs = organization(twice, row_id), organization(once, row_id)
        assert {**ours, "usageLastChecked": None} == {**theirs, "usageLastChecked": None}


def test_what_is_used_after_the_reset_outlives_a_repeated_batch(stage: Stage) -> None:
    """A batch whose commit went unheard is repeated, and by then the new cycle may have begun to count."""
    noon = datetime(2026, 2, 15, 12, tzinfo=UTC)

    async def prepare(play: Play) -> None:
        await play.admin.execute(CHECKED)

    async def again(play: Play) -> bool:
        await play.world.run()
        await play.admin.execute("""update organization set "searchUsage" = 5""")
        await usage.check(play.admin, noon, noon, [scene.ORGANIZATION], [])
        return True

    outcome = stage.run("reset-usage", {"plannedAt": "2026-02-15T12:00:00.000Z"}, prepare=prepare, during=again)
    assert organization(outcome)["searchUsage"] == 5


@pytest.mark.parametrize(("mode", "reset"), [("catch_up", True), ("original", False)])
def test_a_day_that_was_missed_is_caught_up_with(stage: Stage, mode: str, reset: bool) -> None:
    """The platform loses the reset until the next month (W-22)."""
    settings = PlatformSettings.from_env({"USAGE_RESET": mode})
    outcome = run(stage, "2026-02-18", settings=settings)
    assert (organization(outcome)["deletedPages"] == 0) is reset


@pytest.mark.parametrize("mode", ["catch_up", "original"])
def test_both_ways_agree_on_the_day(stage: Stage, mode: str) -> None:
    settings = PlatformSettings.from_env({"USAGE_RESET": mode})
    outcome = run(stage, "2026-02-15", settings=settings)
    assert organization(outcome)["deletedPages"] == 0


def test_many_organizations_are_walked(stage: Stage) -> None:
    async def prepare(play: Play) -> None:
        await play.admin.execute(
            """insert into organization (id, name, slug, "deletedPages", "totalPages", "createdAt", "usageLastChecked")
            select 'm' || n, 'Many', 'm' || n, 1, 3, timestamp '2026-01-01' + n % 28 * interval '1 day',
                '2026-02-14 12:01'
            from generate_series(1, 1000) n"""
        )

    outcome = stage.run("reset-usage", {"plannedAt": "2026-02-15T12:00:00Z"}, prepare=prepare)
    rows = [row for row in outcome.picture.tables["organization"] if row["name"] == "Many"]
    reset = [row for row in rows if row["deletedPages"] == 0]
    assert len(reset) == sum(1 for n in range(1, 1001) if 1 + n % 28 == 15)
    assert {row["totalPages"] for row in reset} == {2}
    checked = [row for row in rows if str(row["usageLastChecked"]) > "2026-02-15"]
    assert len(checked) == 1_000


@pytest.mark.parametrize("mode", ["catch_up", "original"])
def test_a_day_that_is_none_holds_up_nobody(stage: Stage, mode: str) -> None:
    """Nothing in the table keeps the day between 1 and 31."""

    async def prepare(play: Play) -> None:
        await play.admin.execute(CHECKED)
        await play.admin.execute(
            """insert into organization (id, name, slug, "billingCycleStart", "usageLastChecked")
            values ('m0', 'Odd', 'm0', 0, '2026-02-14 12:01')"""
        )
        platform = PlatformSettings.from_env({"USAGE_RESET": mode})
        play.settings = msgspec.structs.replace(play.settings, platform=platform)
        play.world.services = play.services()

    outcome = stage.run("reset-usage", {"plannedAt": "2026-02-15T12:00:00Z"}, prepare=prepare)
    assert organization(outcome)["deletedPages"] == 0


def test_it_is_scheduled_at_noon() -> None:
    (found,) = [schedule for schedule in schedules() if schedule.workflow == "reset-usage"]
    check(found, discover(steps), 1_770_000_000_000)
    noon = found.times.next_after(1_770_000_000_000)
    assert noon is not None
    assert datetime.fromtimestamp(noon / 1_000, UTC).strftime("%H:%M") == "12:00"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cycle_day", "until", "start"),
    [
        (31, "2026-02-28 12:00", "2026-02-28 12:00"),
        (31, "2024-02-29 12:00", "2024-02-29 12:00"),
        (31, "2026-04-30 12:00", "2026-04-30 12:00"),
        (31, "2026-04-30 11:59", "2026-03-31 12:00"),
        (15, "2026-02-15 12:00", "2026-02-15 12:00"),
        (15, "2026-02-14 12:00", "2026-01-15 12:00"),
        (15, "2026-01-14 12:00", "2025-12-15 12:00"),
        (1, "2026-03-31 23:59", "2026-03-01 12:00"),
    ],
)
def test_the_start_of_a_cycle(cycle_day: int, until: str, start: str) -> None:
    """The vectors of domain.md §9.1, and what lies between them."""
    assert last_cycle_start(cycle_day, at(until)) == at(start)


def test_without_a_day_the_creation_decides() -> None:
    created = Checked("o", None, at("2026-01-15 09:00"), at("2026-02-14 12:00"))
    assert begins_cycle(created, at("2026-02-15 12:00"))
    assert is_cycle_day(created, at("2026-02-15 12:00"))


def test_the_day_of_its_creation_begins_no_cycle() -> None:
    new = Checked("o", 15, at("2026-02-15 02:00"), at("2026-02-15 02:00"))
    assert not begins_cycle(new, at("2026-02-15 12:00"))
    assert begins_cycle(new, at("2026-03-15 12:00"))


DAYS = st.integers(min_value=0, max_value=800)


@given(cycle_day=st.integers(1, 31), created=DAYS, missed=st.sets(DAYS, max_size=400))
def test_every_cycle_begins_once_whatever_days_are_missed(cycle_day: int, created: int, missed: set[int]) -> None:
    """Against a model: walk the days, and count the cycle days since the last noon that took place."""
    first = at("2024-01-01 07:30") + timedelta(days=created)
    checked, open_cycle = first, False
    for day in range(created, created + 120):
        noon = at("2024-01-01 12:00") + timedelta(days=day)
        organization = Checked("o", cycle_day, first, checked)
        open_cycle = open_cycle or (is_cycle_day(organization, noon) and day > created)
        if day in missed:
            continue
        assert begins_cycle(organization, noon) == open_cycle, noon
        checked, open_cycle = noon + timedelta(seconds=3), False
