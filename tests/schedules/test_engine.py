"""The engine of a schedule in virtual time: planned times, overlap, catching up, control."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from orchestrator.errors import (
    ConflictError,
    ContradictionError,
    InvalidPayloadError,
    InvalidRequestError,
    RequestError,
    RetryableError,
    UnknownJobError,
    UnknownScheduleError,
    UnknownWorkflowError,
)
from orchestrator.lifecycle import JobStatus
from orchestrator.schedule import Overlap, Schedule
from orchestrator.workflow import Registry
from tests.schedules.workflows import report
from tests.schedules.world import DAY_MS, HOUR_MS, MINUTE_MS, ScheduleWorld, at

HOURLY = Schedule(id="s", workflow="report", cron="0 * * * *")
#: A job that runs for two and a half hours.
LONG = {"sleep_ms": 150 * MINUTE_MS}


def world_with(schedule: Schedule = HOURLY) -> ScheduleWorld:
    world = ScheduleWorld(report)
    world.add(schedule)
    return world


def run(world: ScheduleWorld, until: str) -> None:
    asyncio.run(world.until(until))


def changed(**changes: object) -> Schedule:
    return msgspec.structs.replace(HOURLY, **changes)


# -- planned times -----------------------------------------------------------------------------------------------------


def test_jobs_start_at_their_planned_times_and_know_them() -> None:
    world = world_with(changed(time_field="at", payload={"sleep_ms": 5}, tags=("org_1",)))
    run(world, "2026-11-24 13:30")
    assert world.planned("s") == ["2026-11-24 11:00", "2026-11-24 12:00", "2026-11-24 13:00"]
    first = world.created[0]
    assert first.job_id == HOURLY.job_id(at("2026-11-24 11:00"))
    assert first.options.tags == ("org_1", "schedule:s")
    view = world.view(first.job_id)
    assert (view.status, view.result) == (JobStatus.COMPLETED, "2026-11-24T11:00:00.000Z")
    assert view.created_at_ms - at("2026-11-24 11:00") < 100


def test_a_day_of_an_hourly_schedule_takes_little() -> None:
    world = world_with()
    host = world.hosts["s"]
    before, alarms = host.sql.rows_written, host.alarm_writes
    run(world, "2026-11-25 10:30")
    assert len(world.planned("s")) == 24
    assert host.alarm_writes - alarms <= 2 * 24
    assert host.sql.rows_written - before <= 8 * 24
    assert not [log for log in world.logs if log[0] != "info"]


def test_a_double_tick_changes_nothing() -> None:
    world = world_with()
    run(world, "2026-11-24 11:00")
    host = world.hosts["s"]
    asyncio.run(host.fire())
    rows = host.sql.rows_written
    for _ in range(3):
        asyncio.run(host.fire())
        world.ask("s", lambda engine: engine.wake())
    assert host.sql.rows_written == rows
    assert 0 <= (host.alarm_ms or 0) - at("2026-11-24 12:00") < 10  # never the time that has just fired
    run(world, "2026-11-24 11:59")
    assert world.planned("s") == ["2026-11-24 11:00"]


def test_an_early_alarm_starts_nothing() -> None:
    world = world_with()
    world.clock.time_ms = at("2026-11-24 11:00") - 1
    asyncio.run(world.hosts["s"].fire())
    assert world.created == []
    run(world, "2026-11-24 11:01")
    assert world.planned("s") == ["2026-11-24 11:00"]


def lose_the_alarm(world: ScheduleWorld, until: str) -> None:
    """Let time pass without an alarm, then look after the schedule as the platform's tick does."""
    world.hosts["s"].alarm_ms = None
    run(world, until)
    world.clock.time_ms = at(until)
    assert world.created == []
    world.ask("s", lambda engine: engine.wake())
    asyncio.run(world.run(until_ms=world.clock.now_ms() + MINUTE_MS))


@pytest.mark.parametrize("catch_up", ["all", "latest", "none"])
def test_a_tick_that_comes_a_little_late_loses_nothing(catch_up: str) -> None:
    world = world_with(changed(catch_up=catch_up))
    lose_the_alarm(world, "2026-11-24 11:01:50")
    assert world.outcomes("s") == [("11:00", "started", 1)]
    assert world.see("s").history[0].reason == "scheduled"


def test_of_missed_times_the_latest_is_run() -> None:
    world = world_with()
    lose_the_alarm(world, "2026-11-24 15:30")
    assert world.outcomes("s") == [("14:00", "missed", 4), ("15:00", "started", 1)]
    assert world.see("s").history[0].reason == "catch_up"


def test_no_missed_time_is_run() -> None:
    world = world_with(changed(catch_up="none"))
    lose_the_alarm(world, "2026-11-24 15:30")
    assert world.outcomes("s") == [("15:00", "missed", 5)]
    run(world, "2026-11-24 16:00:01")
    assert world.outcomes("s")[-1] == ("16:00", "started", 1)


def test_all_missed_times_are_run_within_the_window() -> None:
    world = world_with(changed(catch_up="all", catch_up_ms=3 * HOUR_MS, overlap="allow"))
    lose_the_alarm(world, "2026-11-24 15:30")
    assert world.outcomes("s") == [
        ("12:00", "missed", 2), ("13:00", "started", 1), ("14:00", "started", 1), ("15:00", "started", 1),
    ]  # fmt: skip
    assert [event.reason for event in world.see("s").history][:3] == ["catch_up"] * 3


def test_missed_times_are_run_one_after_the_other_where_jobs_must_not_overlap() -> None:
    world = world_with(changed(catch_up="all", payload={"sleep_ms": 5 * MINUTE_MS}))
    lose_the_alarm(world, "2026-11-24 13:30")
    assert world.planned("s") == ["2026-11-24 11:00"]
    run(world, "2026-11-24 13:59")
    assert world.planned("s") == ["2026-11-24 11:00", "2026-11-24 12:00", "2026-11-24 13:00"]
    views = [world.view(request.job_id) for request in world.created]
    ends = [view.finished_at_ms or 0 for view in views]
    assert all(view.created_at_ms >= end for view, end in zip(views[1:], ends[:-1], strict=True))


def test_a_backlog_is_bounded_and_drained_in_parts() -> None:
    every_minute = changed(cron="* * * * *", catch_up="all", catch_up_ms=16 * HOUR_MS, overlap="allow")
    world = world_with(every_minute)
    world.hosts["s"].alarm_ms = None
    world.clock.time_ms = at("2026-11-25 10:00:30")
    world.ask("s", lambda engine: engine.wake())
    assert world.see("s").waiting == 0
    run(world, "2026-11-25 10:00:59")
    assert len(world.created) == 16 * 60
    assert world.see("s").waiting == 0
    assert [log[1] for log in world.logs if log[0] == "error"] == []


# -- overlap -----------------------------------------------------------------------------------------------------------


def test_skip_drops_times_that_come_while_a_job_runs() -> None:
    world = world_with(changed(payload=LONG))
    run(world, "2026-11-24 14:30")
    assert world.outcomes("s") == [("11:00", "started", 1), ("13:00", "skipped", 2), ("14:00", "started", 1)]


def test_buffer_one_keeps_one_until_the_job_has_ended() -> None:
    world = world_with(changed(payload=LONG, overlap="buffer_one"))
    run(world, "2026-11-24 13:29")
    assert world.outcomes("s") == [("11:00", "started", 1), ("13:00", "skipped", 1)]
    assert world.see("s").waiting == 1
    run(world, "2026-11-24 13:32")
    assert world.outcomes("s")[-1] == ("12:00", "started", 1)
    started = world.view(world.created[1].job_id).created_at_ms
    assert 0 <= started - (world.view(world.created[0].job_id).finished_at_ms or 0) <= MINUTE_MS + 1_000


def test_waiting_for_a_job_looks_less_and_less_often() -> None:
    world = world_with(changed(payload={"sleep_ms": 20 * HOUR_MS}, overlap="buffer_one"))
    run(world, "2026-11-24 12:00:30")
    ticks = world.ticks
    run(world, "2026-11-24 12:59")
    assert 50 <= world.ticks - ticks <= 70


def test_allow_runs_jobs_beside_each_other() -> None:
    world = world_with(changed(payload=LONG, overlap="allow"))
    run(world, "2026-11-24 13:20")
    assert [world.view(request.job_id).status for request in world.created] == [JobStatus.SUSPENDED] * 3


def test_cancel_other_cancels_the_job_that_runs() -> None:
    world = world_with(changed(payload=LONG, overlap="cancel_other"))
    run(world, "2026-11-24 13:20")
    assert [world.view(request.job_id).status for request in world.created] == [
        JobStatus.CANCELLED, JobStatus.CANCELLED, JobStatus.SUSPENDED,
    ]  # fmt: skip
    assert world.planned("s") == ["2026-11-24 11:00", "2026-11-24 12:00", "2026-11-24 13:00"]


def test_a_paused_job_has_not_ended() -> None:
    world = world_with(changed(payload=LONG, overlap="cancel_other"))
    run(world, "2026-11-24 11:30")
    world.call(world.created[0].job_id, lambda engine: engine.pause())
    run(world, "2026-11-24 12:01")
    assert world.view(world.created[0].job_id).status is JobStatus.CANCELLED


def test_a_job_that_is_gone_holds_nothing_up() -> None:
    world = world_with(changed(payload=LONG))
    run(world, "2026-11-24 11:30")
    world.failures["view"] = [UnknownJobError()]
    run(world, "2026-11-24 12:01")
    assert world.outcomes("s")[-1] == ("12:00", "started", 1)


def test_a_job_nobody_can_ask_counts_as_running() -> None:
    world = world_with()
    run(world, "2026-11-24 11:30")
    world.failures["view"] = [ConflictError("its object is broken")]
    run(world, "2026-11-24 12:01")
    assert world.outcomes("s")[-1] == ("12:00", "skipped", 1)


def test_a_job_that_does_not_answer_is_asked_again() -> None:
    world = world_with()
    run(world, "2026-11-24 11:30")
    world.failures["view"] = [RetryableError("overloaded", code="object_overloaded")] * 3
    run(world, "2026-11-24 12:01")
    assert world.outcomes("s")[-1] == ("12:00", "started", 1)
    assert [log[1] for log in world.logs if log[0] == "error"] == ["schedule.tick_failed"] * 3


# -- failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["create", "created"])
def test_a_start_that_fails_is_repeated_and_makes_one_job(moment: str) -> None:
    world = world_with()
    world.failures[moment] = [RetryableError("reset", code="object_unreachable"), RuntimeError("a bug")]
    run(world, "2026-11-24 11:10")
    assert world.outcomes("s") == [("11:00", "started", 1)]
    assert len(world.created) == 1


def test_a_failed_send_is_left_to_the_job() -> None:
    world = world_with()
    world.failures["enqueue"] = [RetryableError("down", code="queue_unavailable")]
    run(world, "2026-11-24 11:10")
    assert world.view(world.created[0].job_id).status is JobStatus.COMPLETED


def test_a_time_whose_workflow_is_gone_is_refused_and_the_next_one_is_not() -> None:
    world = world_with()
    known, world.hosts["s"].world.registry = world.registry, Registry([])
    for item in (*world.hosts.values(), *world.objects.values()):
        item.crash()
    run(world, "2026-11-24 11:30")
    assert world.outcomes("s") == [("11:00", "refused", 1)]
    assert (world.see("s").history[0].error or "").startswith("unknown_workflow: ")
    world.registry = known
    for item in (*world.hosts.values(), *world.objects.values()):
        item.crash()
    run(world, "2026-11-24 12:30")
    assert world.outcomes("s")[-1] == ("12:00", "started", 1)


def test_the_index_hears_of_every_change_even_later() -> None:
    world = ScheduleWorld(report)
    world.failures["publish"] = [RetryableError("down"), RuntimeError("a bug"), RetryableError("down")]
    world.add(HOURLY)
    assert world.listed == {}
    run(world, "2026-11-24 10:05")
    listed = world.listed["s"]
    assert (listed.workflow, listed.cron, listed.paused, listed.gone) == ("report", "0 * * * *", False, False)
    assert listed.next_at_ms == listed.due_at_ms == at("2026-11-24 11:00")
    run(world, "2026-11-24 11:05")
    assert world.listed["s"].next_at_ms == world.listed["s"].due_at_ms == at("2026-11-24 12:00")
    world.ask("s", lambda engine: engine.pause())
    run(world, "2026-11-24 11:06")
    assert (world.listed["s"].paused, world.listed["s"].due_at_ms) == (True, None)


# -- control -----------------------------------------------------------------------------------------------------------


def test_a_paused_schedule_lets_its_times_pass() -> None:
    world = world_with()
    for _ in range(2):
        assert world.ask("s", lambda engine: engine.pause()).paused
    assert world.see("s").upcoming == ()
    run(world, "2026-11-24 13:30")
    assert world.hosts["s"].alarm_ms is None
    for _ in range(2):
        assert not world.ask("s", lambda engine: engine.resume()).paused
    assert world.see("s").upcoming[0] == at("2026-11-24 14:00")
    run(world, "2026-11-24 14:30")
    assert world.outcomes("s") == [("14:00", "started", 1)]


def test_pausing_drops_what_was_buffered() -> None:
    world = world_with(changed(payload=LONG, overlap="buffer_one"))
    run(world, "2026-11-24 12:30")
    assert world.see("s").waiting == 1
    world.ask("s", lambda engine: engine.pause())
    run(world, "2026-11-24 16:30")
    assert world.planned("s") == ["2026-11-24 11:00"]


def test_it_may_begin_paused() -> None:
    world = world_with(changed(paused=True))
    assert world.see("s").paused
    run(world, "2026-11-24 12:30")
    assert world.created == []


def test_run_now_starts_a_job_whatever_else_runs() -> None:
    world = world_with(changed(payload=LONG))
    run(world, "2026-11-24 11:30")
    world.ask("s", lambda engine: engine.pause())
    first = asyncio.run(world.ask_async("s", lambda engine: engine.run_now("a key")))
    again = asyncio.run(world.ask_async("s", lambda engine: engine.run_now("a key")))
    other = asyncio.run(world.ask_async("s", lambda engine: engine.run_now("other")))
    assert (first.id, first.deduplicated, again.id, again.deduplicated) == (first.id, False, first.id, True)
    assert other.id != first.id
    run(world, "2026-11-24 11:31")
    assert [world.view(request.job_id).status for request in world.created] == [JobStatus.SUSPENDED] * 3
    assert [event.reason for event in world.see("s").history] == ["manual", "manual", "scheduled"]


def test_a_job_run_by_hand_counts_as_running() -> None:
    world = world_with(changed(payload=LONG))
    asyncio.run(world.ask_async("s", lambda engine: engine.run_now("a key")))
    run(world, "2026-11-24 11:30")
    assert world.outcomes("s")[-1] == ("11:00", "skipped", 1)


def test_run_now_is_kept_when_the_job_cannot_be_made_yet() -> None:
    world = world_with()
    world.failures["create"] = [RetryableError("down", code="object_unreachable")]
    created = asyncio.run(world.ask_async("s", lambda engine: engine.run_now("a key")))
    assert (created.status, world.created) == (JobStatus.QUEUED, [])
    run(world, "2026-11-24 10:10")
    assert world.view(created.id).status is JobStatus.COMPLETED


def test_run_now_says_when_the_job_is_refused() -> None:
    world = world_with()
    world.failures["create"] = [InvalidPayloadError("the model has changed")]
    with pytest.raises(InvalidPayloadError):
        asyncio.run(world.ask_async("s", lambda engine: engine.run_now("a key")))
    assert (world.see("s").waiting, world.see("s").history[0].outcome) == (0, "refused")


def test_a_backfill_runs_past_times_once_and_in_turn() -> None:
    world = world_with(changed(payload={"sleep_ms": MINUTE_MS}))
    for _ in range(2):
        found = world.ask("s", lambda engine: engine.backfill(at("2026-11-24 06:00"), at("2026-11-24 08:59")))
        assert (found.times, found.first_ms, found.last_ms) == (3, at("2026-11-24 06:00"), at("2026-11-24 08:00"))
    assert world.see("s").waiting == 3
    run(world, "2026-11-24 10:01")
    assert len(world.created) == 1
    run(world, "2026-11-24 10:50")
    assert world.planned("s") == ["2026-11-24 06:00", "2026-11-24 07:00", "2026-11-24 08:00"]
    world.ask("s", lambda engine: engine.backfill(at("2026-11-24 06:00"), at("2026-11-24 08:59")))
    run(world, "2026-11-24 11:50")
    assert len(world.created) == 4
    assert world.planned("s")[-1] == "2026-11-24 11:00"


def test_a_backfill_runs_at_once_where_jobs_may_overlap() -> None:
    world = world_with(changed(payload=LONG, overlap="allow"))
    world.ask("s", lambda engine: engine.backfill(at("2026-11-20 00:00"), at("2026-11-22 23:59")))
    run(world, "2026-11-24 10:01")
    assert len(world.created) == 72


def test_a_backfill_may_be_empty_and_may_not_be_senseless() -> None:
    world = world_with(changed(cron="* * * * *"))
    now_ms = world.clock.now_ms()
    found = world.ask("s", lambda engine: engine.backfill(now_ms - 10, now_ms))
    assert (found.times, found.first_ms) == (0, None)
    with pytest.raises(ContradictionError):
        world.ask("s", lambda engine: engine.backfill(now_ms, now_ms - 1))
    with pytest.raises(ContradictionError):
        world.ask("s", lambda engine: engine.backfill(now_ms, now_ms + 1))
    with pytest.raises(InvalidRequestError) as too_many:
        world.ask("s", lambda engine: engine.backfill(now_ms - DAY_MS, now_ms))
    assert too_many.value.error_code == "too_many_times"
    world.ask("s", lambda engine: engine.backfill(now_ms - 600 * MINUTE_MS, now_ms))
    with pytest.raises(ConflictError) as full:
        world.ask("s", lambda engine: engine.backfill(now_ms - 1_200 * MINUTE_MS, now_ms - 600 * MINUTE_MS))
    assert full.value.error_code == "backlog_full"


# -- changes -----------------------------------------------------------------------------------------------------------


def test_creating_it_again_changes_nothing() -> None:
    world = world_with()
    assert world.ask("s", lambda engine: engine.create(HOURLY)).deduplicated
    with pytest.raises(ConflictError) as other:
        world.ask("s", lambda engine: engine.create(changed(cron="5 * * * *")))
    assert other.value.error_code == "schedule_exists"


def test_a_changed_expression_counts_from_now() -> None:
    world = world_with(changed(cron="0 12 * * *"))
    view = world.ask("s", lambda engine: engine.update({"cron": "*/15 * * * *", "payload": {"sleep_ms": 1}}))
    assert view.description == "Every 15th minute of every hour"
    run(world, "2026-11-24 10:31")
    assert world.outcomes("s") == [("10:15", "started", 1), ("10:30", "started", 1)]
    assert world.created[0].payload == {"sleep_ms": 1}


def test_a_time_that_has_come_by_the_old_expression_is_still_run() -> None:
    world = world_with(changed(cron="0 11 * * *"))
    world.clock.time_ms = at("2026-11-24 11:00:01")
    world.ask("s", lambda engine: engine.update({"cron": "0 18 * * *"}))
    run(world, "2026-11-24 18:30")
    assert world.planned("s") == ["2026-11-24 11:00", "2026-11-24 18:00"]


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"cron": "0 0 30 2 *"}, RequestError, "invalid_cron"),
        ({"time_zone": "Mars/Olympus"}, RequestError, "unknown_time_zone"),
        ({"workflow": "nothing"}, UnknownWorkflowError, "unknown_workflow"),
        ({"payload": {"other": 1}}, InvalidPayloadError, "invalid_payload"),
        ({"payload": 5}, InvalidPayloadError, "invalid_payload"),
        ({"time_field": "nothing"}, InvalidPayloadError, "invalid_payload"),
        ({"time_field": "at", "payload": {"at": "x"}}, ContradictionError, "contradictory_options"),
        ({"time_field": "at", "payload": []}, ContradictionError, "contradictory_options"),
        ({"catch_up": "none", "catch_up_ms": HOUR_MS}, ContradictionError, "contradictory_options"),
        ({"catch_up": "all", "cron": "* * * * *"}, ContradictionError, "contradictory_options"),
        ({"catch_up_ms": 1}, InvalidRequestError, "invalid_request"),
        ({"catch_up_ms": 400 * DAY_MS}, InvalidRequestError, "invalid_request"),
        ({"overlap": "sometimes"}, InvalidRequestError, "invalid_request"),
        ({"tags": ["x"] * 16}, InvalidRequestError, "invalid_request"),
        ({"tags": [""]}, InvalidRequestError, "invalid_request"),
        ({"id": "other"}, InvalidRequestError, "invalid_request"),
        ({"paused": True}, InvalidRequestError, "invalid_request"),
    ],
)
def test_changes_that_make_no_sense_are_refused(
    changes: dict[str, object], error: type[RequestError], code: str
) -> None:
    world = world_with()
    before = world.see("s")
    with pytest.raises(error) as refused:
        world.ask("s", lambda engine: engine.update(changes))
    assert refused.value.error_code == code
    assert world.see("s") == before


@pytest.mark.parametrize("name", ["", "x" * 101, ".x", "a b", "a/b", "ä"])
def test_names_that_cannot_be_ids_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError):
        ScheduleWorld(report).ask("s", lambda engine: engine.create(changed(id=name)))


def test_changing_nothing_changes_nothing() -> None:
    world = world_with()
    rows = world.hosts["s"].sql.rows_written
    world.ask("s", lambda engine: engine.update({"cron": "0 * * * *"}))
    assert world.hosts["s"].sql.rows_written == rows


@pytest.mark.parametrize("overlap", ["skip", "buffer_one", "allow", "cancel_other"])
def test_the_policy_may_change_while_jobs_run(overlap: Overlap) -> None:
    world = world_with(changed(payload=LONG, overlap="allow"))
    run(world, "2026-11-24 12:30")
    world.ask("s", lambda engine: engine.update({"overlap": overlap}))
    run(world, "2026-11-24 13:10")
    expected = {"skip": 2, "buffer_one": 2, "allow": 3, "cancel_other": 1}
    running = [world.view(request.job_id).status for request in world.created]
    assert running.count(JobStatus.SUSPENDED) == expected[overlap]


# -- the end -----------------------------------------------------------------------------------------------------------


def test_a_deleted_schedule_leaves_nothing_but_its_jobs() -> None:
    world = world_with(changed(payload=LONG))
    run(world, "2026-11-24 11:30")
    world.ask("s", lambda engine: engine.delete())
    for method in ("view", "pause", "resume", "delete"):
        with pytest.raises(UnknownScheduleError):
            world.ask("s", lambda engine, method=method: getattr(engine, method)())
    run(world, "2026-11-24 11:31")
    assert world.listed["s"].gone
    host = world.hosts["s"]
    assert host.sql.execute("select count(*) from event")[0][0] == 0
    assert host.sql.execute("select count(*) from schedule")[0][0] == 0
    run(world, "2026-11-24 16:30")
    assert host.alarm_ms is None
    assert [world.view(request.job_id).status for request in world.created] == [JobStatus.COMPLETED]


def test_a_deleted_schedule_may_be_made_again() -> None:
    world = world_with()
    world.ask("s", lambda engine: engine.delete())
    assert not world.ask("s", lambda engine: engine.create(changed(cron="30 * * * *"))).deduplicated
    run(world, "2026-11-24 11:10")
    assert (world.listed["s"].gone, world.listed["s"].cron) == (False, "30 * * * *")
    assert world.planned("s") == ["2026-11-24 10:30"]


def test_asking_after_what_never_was_stores_nothing() -> None:
    world = ScheduleWorld(report)
    with pytest.raises(UnknownScheduleError):
        world.see("never")
    world.ask("never", lambda engine: engine.wake())
    world.ask("never", lambda engine: engine.retire())
    assert world.hosts["never"].sql.rows_written == 0
    assert world.hosts["never"].sql.execute("select name from sqlite_master") == []
    assert world.hosts["never"].alarm_ms is None


# -- schedules of the code ---------------------------------------------------------------------------------------------


def test_a_declared_schedule_follows_its_declaration() -> None:
    world = ScheduleWorld(report)
    for _ in range(3):
        world.ask("s", lambda engine: engine.declare(HOURLY))
    rows = world.hosts["s"].sql.rows_written
    world.ask("s", lambda engine: engine.declare(HOURLY))
    assert world.hosts["s"].sql.rows_written == rows
    world.ask("s", lambda engine: engine.declare(changed(cron="30 * * * *")))
    run(world, "2026-11-24 11:10")
    assert world.planned("s") == ["2026-11-24 10:30"]
    assert world.see("s").origin == "code"


def test_a_declared_schedule_is_controlled_but_not_changed_by_callers() -> None:
    world = ScheduleWorld(report)
    world.ask("s", lambda engine: engine.declare(HOURLY))
    for call in ("delete", "update"):
        with pytest.raises(ConflictError) as refused:
            world.ask("s", lambda engine, call=call: engine.delete() if call == "delete" else engine.update({}))
        assert refused.value.error_code == "declared_in_code"
    world.ask("s", lambda engine: engine.pause())
    world.ask("s", lambda engine: engine.declare(changed(cron="30 * * * *")))
    assert world.see("s").paused


def test_two_releases_that_take_turns_lose_no_time() -> None:
    world = ScheduleWorld(report)
    world.ask("s", lambda engine: engine.declare(HOURLY))
    run(world, "2026-11-24 10:59")
    world.ask("s", lambda engine: engine.retire())
    run(world, "2026-11-24 11:00:30")
    assert world.listed["s"].gone
    with pytest.raises(UnknownScheduleError):
        world.see("s")
    world.ask("s", lambda engine: engine.declare(HOURLY))
    run(world, "2026-11-24 11:01")
    assert world.planned("s") == ["2026-11-24 11:00"]
    assert not world.listed["s"].gone


def test_a_declaration_takes_over_a_schedule_of_the_api() -> None:
    world = world_with(changed(cron="30 * * * *"))
    world.ask("s", lambda engine: engine.retire())
    assert world.see("s").origin == "api"
    world.ask("s", lambda engine: engine.declare(HOURLY))
    assert (world.see("s").origin, world.see("s").cron) == ("code", "0 * * * *")


def test_a_time_that_comes_is_looked_at_at_once_however_long_something_else_waited() -> None:
    """A missed time waits for the job that runs, and is looked at once a minute; the next time stops that job."""
    world = ScheduleWorld(report)
    schedule = Schedule(
        id="s",
        workflow="report",
        cron="*/10 * * * *",
        payload={"sleep_ms": 60 * MINUTE_MS},
        time_field="at",
        overlap="cancel_other",
    )
    world.add(schedule)
    run(world, "2026-11-24 10:15")
    world.ask("s", lambda engine: engine.backfill(at("2026-11-24 09:40"), at("2026-11-24 09:45")))
    run(world, "2026-11-24 10:21")
    (line,) = [line for line in world.see("s").history if line.planned_ms == at("2026-11-24 10:20")]
    assert line.outcome == "started"
    assert line.at_ms - line.planned_ms < 2_000
